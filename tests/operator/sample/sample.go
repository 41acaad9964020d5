// Package sample reads the manifests that users start from, and watches what comes of them, for tests.
package sample

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// Dir is the folder of the examples, seen from the root of the repository.
const Dir = "examples/kubernetes"

// Read reads the objects of a file.
func Read(path string) ([]*unstructured.Unstructured, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read a manifest: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	all, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return all, nil
}

// Parse reads objects from YAML.
func Parse(r io.Reader) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(r, 4096); ; {
		o := new(unstructured.Unstructured)
		switch err := d.Decode(o); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("object %d: %w", len(all), err)
		case len(o.Object) > 0:
			all = append(all, o)
		}
	}
}

// One reads the only object of an example, as one of a type, into a namespace. Fields that the type
// doesn't have fail the test.
func One[T any](tb testing.TB, root, path, namespace string) *T {
	tb.Helper()
	objects, err := Read(filepath.Join(root, Dir, path))
	require.NoError(tb, err)
	require.Len(tb, objects, 1)
	objects[0].SetNamespace(namespace)
	raw, err := objects[0].MarshalJSON()
	require.NoError(tb, err)
	v := new(T)
	require.NoError(tb, sigsyaml.UnmarshalStrict(raw, v))
	return v
}

// Patch reads a patch of the examples, as JSON.
func Patch(tb testing.TB, root, path string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join(root, Dir, "patches", path))
	require.NoError(tb, err)
	patch, err := sigsyaml.YAMLToJSON(raw)
	require.NoError(tb, err)
	return patch
}
