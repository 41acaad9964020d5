// Package sextant is the Helm chart, of which the operator carries the definitions of its kinds: it can put them in
// the place of another operator's. Helm leaves definitions alone that are there already.
package sextant

import (
	"embed"
	"fmt"

	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml
var files embed.FS

// Definitions returns the definitions of the operator's kinds.
func Definitions() ([]map[string]any, error) {
	entries, err := files.ReadDir("crds")
	if err != nil {
		return nil, fmt.Errorf("list the definitions: %w", err)
	}
	var all []map[string]any
	for _, e := range entries {
		raw, err := files.ReadFile("crds/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read a definition: %w", err)
		}
		var one map[string]any
		if err := yaml.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("read the definition %s: %w", e.Name(), err)
		}
		all = append(all, one)
	}
	return all, nil
}
