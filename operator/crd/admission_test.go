package crd_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/sextantdb/sextant/operator/api"
	"github.com/sextantdb/sextant/operator/crd/crdtest"
)

// TestAdmission plays the scripts in testdata/admission. They store objects, change
// them, and show what is answered:
//
//	create            an object as YAML
//	patch of=kind/name     a merge patch as YAML
//	status of=kind/name    a merge patch of the status as YAML
//	show of=kind/name      what is stored
//
// A change that is refused isn't stored.
func TestAdmission(t *testing.T) {
	server := load(t)
	datadriven.Walk(t, "testdata/admission", func(t *testing.T, path string) {
		t.Helper()
		stored := map[string]*unstructured.Unstructured{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			var of string
			d.MaybeScanArgs(t, "of", &of)
			var object *unstructured.Unstructured
			var err error
			switch d.Cmd {
			case "create":
				object, err = server.Create(parse(t, []byte(d.Input)))
			case "patch":
				require.Contains(t, stored, of)
				object, err = server.Update(merge(t, stored[of], d.Input), stored[of])
			case "status":
				require.Contains(t, stored, of)
				object, err = server.UpdateStatus(merge(t, stored[of], d.Input), stored[of])
			case "show":
				require.Contains(t, stored, of)
				text, err := yaml.Marshal(stored[of].Object)
				require.NoError(t, err)
				return string(text)
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			if err != nil {
				return err.Error()
			}
			stored[object.GetKind()+"/"+object.GetName()] = object
			return "ok"
		})
	})
}

func parse(t *testing.T, text []byte) *unstructured.Unstructured {
	t.Helper()
	content, err := yaml.YAMLToJSONStrict(text)
	require.NoError(t, err)
	object := &unstructured.Unstructured{}
	require.NoError(t, object.UnmarshalJSON(content))
	return object
}

func merge(t *testing.T, object *unstructured.Unstructured, patch string) *unstructured.Unstructured {
	t.Helper()
	content, err := object.MarshalJSON()
	require.NoError(t, err)
	change, err := yaml.YAMLToJSONStrict([]byte(patch))
	require.NoError(t, err)
	merged, err := jsonpatch.MergePatch(content, change)
	require.NoError(t, err)
	return parse(t, merged)
}

// documents returns the objects of a file.
func documents(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var objects []*unstructured.Unstructured
	for r := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := r.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		objects = append(objects, parse(t, document))
	}
}

// TestExamples: what we tell users to apply is accepted as it stands, and the Go
// types know every field of it.
func TestExamples(t *testing.T) {
	server := load(t)
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	seen := 0
	require.NoError(t, filepath.WalkDir(examples, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		if entry.IsDir() || filepath.Ext(path) != ".yaml" || filepath.Base(filepath.Dir(path)) == "patches" {
			return nil
		}
		t.Run(strings.TrimPrefix(path, examples+"/"), func(t *testing.T) {
			for _, object := range documents(t, path) {
				content, err := object.MarshalJSON()
				require.NoError(t, err)
				_, _, err = decoder.Decode(content, nil, nil)
				require.NoError(t, err)
				if _, err := server.Create(object); !errors.Is(err, crdtest.ErrUnknownKind) {
					require.NoError(t, err)
					seen++
				}
			}
		})
		return nil
	}))
	require.Greater(t, seen, 20)
}

// TestPatches: the patches that we tell users to apply to the first example are
// accepted.
func TestPatches(t *testing.T) {
	server := load(t)
	cluster, err := server.Create(documents(t, filepath.Join(examples, "cluster.yaml"))[0])
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(examples, "patches", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	after := map[string]string{"start": "stop", "unexpose": "expose"}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			old := cluster
			if before, ok := after[name]; ok {
				old = patched(t, server, old, filepath.Join(examples, "patches", before+".yaml"))
			}
			require.NotEqual(t, old, patched(t, server, old, file))
		})
	}
}

func patched(t *testing.T, server *crdtest.Server, old *unstructured.Unstructured, file string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	content, err := yaml.YAMLToJSONStrict(text)
	require.NoError(t, err)
	patch, err := jsonpatch.DecodePatch(content)
	require.NoError(t, err)
	before, err := old.MarshalJSON()
	require.NoError(t, err)
	changed, err := patch.Apply(before)
	require.NoError(t, err)
	object, err := server.Update(parse(t, changed), old)
	require.NoError(t, err)
	return object
}
