// Package crd finishes the custom resource definitions that controller-gen makes
// from the API types (`make generate`), before they become part of the chart.
//
// Three things can't be said with markers on the types. The API server only accepts
// CEL rules whose cost it can bound, so every string that a rule reads needs a
// greatest length, and quantities and object names have none in the generated
// schema. And the operator must be able to see whether the definitions in a cluster
// are its own: the group names are KubeBlocks', whose definitions may be there.
package crd

import (
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	// OwnerLabel marks the definitions that belong to this project, whose name is its value.
	OwnerLabel = "app.kubernetes.io/part-of"
	// OwnerValue is the project's name.
	OwnerValue = "sextant"

	// maxQuantity is far more than any quantity that means something.
	maxQuantity = 64
	// maxName is what Kubernetes allows for the name of any object.
	maxName = 253
)

// Finish takes one generated definition as YAML and returns it finished.
func Finish(generated []byte) ([]byte, error) {
	var definition map[string]any
	if err := yaml.UnmarshalStrict(generated, &definition); err != nil {
		return nil, fmt.Errorf("parse the generated definition: %w", err)
	}
	metadata, ok := definition["metadata"].(map[string]any)
	if !ok {
		return nil, errors.New("the generated definition has no metadata")
	}
	metadata["labels"] = map[string]any{OwnerLabel: OwnerValue}
	spec, _ := definition["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	if len(versions) == 0 {
		return nil, fmt.Errorf("the generated definition %v has no versions", metadata["name"])
	}
	for _, v := range versions {
		version, _ := v.(map[string]any)
		holder, _ := version["schema"].(map[string]any)
		schema, ok := holder["openAPIV3Schema"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("version %v of the generated definition %v has no schema", version["name"], metadata["name"])
		}
		boundNames(schema)
		boundQuantities(schema)
	}
	finished, err := yaml.Marshal(definition)
	if err != nil {
		return nil, fmt.Errorf("write the definition %v: %w", metadata["name"], err)
	}
	return finished, nil
}

// boundNames gives the names of objects a greatest length. The API server takes the
// schema of metadata for its rules only if both names are in it.
func boundNames(schema map[string]any) {
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return
	}
	properties["metadata"] = map[string]any{
		"type": "object",
		"properties": map[string]any{
			"name":         map[string]any{"type": "string", "maxLength": maxName},
			"generateName": map[string]any{"type": "string", "maxLength": maxName},
		},
	}
}

// boundQuantities gives all quantities below node a greatest length.
func boundQuantities(node any) {
	switch node := node.(type) {
	case map[string]any:
		pattern, _ := node["pattern"].(string)
		if node["x-kubernetes-int-or-string"] == true && strings.Contains(pattern, "[KMGTPE]i") {
			node["maxLength"] = maxQuantity
		}
		for _, child := range node {
			boundQuantities(child)
		}
	case []any:
		for _, child := range node {
			boundQuantities(child)
		}
	}
}
