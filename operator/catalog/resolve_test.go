package catalog_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/catalog"
)

// shelf is what the scripts put objects on.
type shelf struct {
	clusterDef *appsv1.ClusterDefinition
	defs       []appsv1.ComponentDefinition
	versions   []appsv1.ComponentVersion
}

// put adds the documents of a script. An object of the same kind and name is replaced.
func (s *shelf) put(t *testing.T, text string) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "---\n") {
		var kind struct{ Kind string }
		require.NoError(t, yaml.Unmarshal([]byte(doc), &kind))
		switch kind.Kind {
		case "ClusterDefinition":
			s.clusterDef = &appsv1.ClusterDefinition{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(doc), s.clusterDef))
		case "ComponentDefinition":
			var d appsv1.ComponentDefinition
			require.NoError(t, yaml.UnmarshalStrict([]byte(doc), &d))
			s.defs = append(slices.DeleteFunc(s.defs, func(o appsv1.ComponentDefinition) bool { return o.Name == d.Name }), d)
		case "ComponentVersion":
			var v appsv1.ComponentVersion
			require.NoError(t, yaml.UnmarshalStrict([]byte(doc), &v))
			s.versions = append(slices.DeleteFunc(s.versions, func(o appsv1.ComponentVersion) bool { return o.Name == v.Name }), v)
		default:
			t.Fatalf("unknown kind %q", kind.Kind)
		}
	}
}

func said(text string, err error) string {
	if err != nil {
		return fmt.Sprintf("%s: %s\n", catalog.ReasonOf(err), err)
	}
	return text + "\n"
}

// TestResolve plays the scripts in testdata/resolve:
//
//	put        objects as YAML
//	resolve    a componentSpec as YAML; topology=, no-cluster-definition, and was=(definition,version)
//	images of=definition version=
//	versions of=definition
func TestResolve(t *testing.T) {
	datadriven.Walk(t, "testdata/resolve", func(t *testing.T, path string) {
		t.Helper()
		var s shelf
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			var of, version, topology string
			d.MaybeScanArgs(t, "of", &of)
			d.MaybeScanArgs(t, "version", &version)
			d.MaybeScanArgs(t, "topology", &topology)
			def := &appsv1.ComponentDefinition{}
			if i := slices.IndexFunc(s.defs, func(d appsv1.ComponentDefinition) bool { return d.Name == of }); i >= 0 {
				def = &s.defs[i]
			}
			switch d.Cmd {
			case "put":
				s.put(t, d.Input)
				return ""
			case "resolve":
				return s.resolve(t, d, topology)
			case "images":
				images, err := catalog.Images(def, version, s.versions)
				var lines []string
				for _, name := range slices.Sorted(maps.Keys(images)) {
					lines = append(lines, name+" "+images[name])
				}
				return said(strings.Join(lines, "\n"), err)
			case "versions":
				return strings.Join(catalog.ServiceVersions(def, s.versions), " ") + "\n"
			default:
				t.Fatalf("unknown command %s", d.Cmd)
				return ""
			}
		})
	})
}

func (s *shelf) resolve(t *testing.T, d *datadriven.TestData, topology string) string {
	t.Helper()
	clusterDef := s.clusterDef
	if d.HasArg("no-cluster-definition") {
		clusterDef = nil
	}
	var spec appsv1.ClusterComponentSpec
	require.NoError(t, yaml.UnmarshalStrict([]byte(d.Input), &spec))
	var choice catalog.Choice
	var err error
	if d.HasArg("was") {
		var definition, version string
		d.ScanArgs(t, "was", &definition, &version)
		choice, err = catalog.ResolveAgain(definition, version, clusterDef, topology, &spec, s.defs, s.versions)
	} else {
		choice, err = catalog.Resolve(clusterDef, topology, &spec, s.defs, s.versions)
	}
	if err != nil {
		return said("", err)
	}
	return said(choice.Definition.Name+" "+choice.ServiceVersion, nil)
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		match         bool
	}{
		{"qdrant-1.0.2", "qdrant-1.0.2", true},
		{"qdrant-1.0.2", "qdrant-1.0.20", false},
		{"qdrant-1.0.2", "qdrant-1.0.2-alpha.0", true},
		{"qdrant-1", "qdrant-1.0.2", true},
		{"qdrant-1", "qdrant-10.0.2", false},
		{"qdrant", "qdrant-1.0.2", true},
		{"qdrant", "my-qdrant-1.0.2", false},
		{"^qdrant-", "qdrant-1.0.2", true},
		{"^qdrant-", "my-qdrant-1.0.2", false},
		{"^qdrant-1\\.[0-9]+\\.2$", "qdrant-1.0.2", true},
		{"", "qdrant-1.0.2", false},
	} {
		p, err := catalog.ParsePattern(c.pattern)
		require.NoError(t, err, c.pattern)
		require.Equal(t, c.match, p.Match(c.name), "%s on %s", c.pattern, c.name)
	}
	_, err := catalog.ParsePattern("^qdrant-(")
	require.ErrorContains(t, err, `"^qdrant-(" is neither the name of a ComponentDefinition nor a regular expression`)
	require.Equal(t, catalog.ReasonInvalidPattern, catalog.ReasonOf(err))
}

func TestVersionsAreOrdered(t *testing.T) {
	sorted := []string{"", "none", "0.9", "1", "1.9.7", "1.10.0-alpha.2", "1.10.0-alpha.10", "1.10.0", "1.10.1", "1.10.1.3", "2.0"}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, catalog.CompareVersions)
	require.Equal(t, sorted, shuffled)
}
