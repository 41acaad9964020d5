package crd_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/operator/crd"
)

func TestFinish(t *testing.T) {
	finished, err := crd.Finish([]byte(`
metadata: {name: things.example.com}
spec:
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        properties:
          metadata: {type: object}
          spec:
            properties:
              sizes:
                additionalProperties: {x-kubernetes-int-or-string: true, pattern: '[KMGTPE]i'}
              share: {x-kubernetes-int-or-string: true, pattern: '%'}
`))
	require.NoError(t, err)
	require.YAMLEq(t, `
metadata: {name: things.example.com, labels: {app.kubernetes.io/part-of: sextant}}
spec:
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        properties:
          metadata:
            type: object
            properties:
              name: {type: string, maxLength: 253}
              generateName: {type: string, maxLength: 253}
          spec:
            properties:
              sizes:
                additionalProperties: {x-kubernetes-int-or-string: true, pattern: '[KMGTPE]i', maxLength: 64}
              share: {x-kubernetes-int-or-string: true, pattern: '%'}
`, string(finished))
}

func TestFinishRefusesWhatIsNoDefinition(t *testing.T) {
	for _, text := range []string{
		``,
		`[]`,
		`spec: {}`,
		`metadata: {name: x}`,
		`{metadata: {name: x}, spec: {versions: []}}`,
		`{metadata: {name: x}, spec: {versions: [{name: v1}]}}`,
	} {
		_, err := crd.Finish([]byte(text))
		require.Error(t, err, text)
	}
}
