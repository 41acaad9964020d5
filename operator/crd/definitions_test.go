package crd_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sextantdb/sextant/operator/api"
	"github.com/sextantdb/sextant/operator/api/group"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/crd"
	"github.com/sextantdb/sextant/operator/crd/crdtest"
)

const (
	definitions = "../../deploy/charts/sextant/crds"
	examples    = "../../examples/kubernetes"
)

func load(t *testing.T) *crdtest.Server {
	t.Helper()
	server, err := crdtest.Load(definitions)
	require.NoError(t, err)
	return server
}

// TestKinds pins what users type and see: groups, plurals, short names, columns.
func TestKinds(t *testing.T) {
	server := load(t)
	datadriven.RunTest(t, "testdata/kinds", func(*testing.T, *datadriven.TestData) string {
		var out strings.Builder
		for _, d := range server.Definitions() {
			names := d.Spec.Names
			for _, version := range d.Spec.Versions {
				fmt.Fprintf(&out, "%s/%s %s %s", d.Spec.Group, version.Name, names.Kind, names.Plural)
				if len(names.ShortNames) > 0 {
					fmt.Fprintf(&out, " (%s)", strings.Join(names.ShortNames, ","))
				}
				fmt.Fprintf(&out, " %s [%s]\n ", d.Spec.Scope, strings.Join(names.Categories, ","))
				for _, column := range version.AdditionalPrinterColumns {
					fmt.Fprintf(&out, " %s=%s", column.Name, column.JSONPath)
				}
				out.WriteString("\n")
			}
		}
		return out.String()
	})
}

// TestDefinitionsBelongToTheScheme: the markers that name the groups agree with the
// constants, and the scheme knows every kind and its list.
func TestDefinitionsBelongToTheScheme(t *testing.T) {
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	var defined []string
	for _, d := range load(t).Definitions() {
		require.Truef(t, strings.HasSuffix(d.Spec.Group, "."+group.Domain), "group %s", d.Spec.Group)
		require.Equal(t, crd.OwnerValue, d.Labels[crd.OwnerLabel], d.Name)
		gv := schema.GroupVersion{Group: d.Spec.Group, Version: d.Spec.Versions[0].Name}
		require.Truef(t, scheme.Recognizes(gv.WithKind(d.Spec.Names.Kind)), "%s %s", gv, d.Spec.Names.Kind)
		require.Truef(t, scheme.Recognizes(gv.WithKind(d.Spec.Names.ListKind)), "%s %s", gv, d.Spec.Names.ListKind)
		defined = append(defined, gv.WithKind(d.Spec.Names.Kind).String())
	}
	for gvk := range scheme.AllKnownTypes() {
		ours := strings.HasSuffix(gvk.Group, "."+group.Domain)
		internal := strings.HasSuffix(gvk.Kind, "List") || strings.HasSuffix(gvk.Kind, "Options") || gvk.Kind == "WatchEvent"
		if ours && !internal {
			require.Contains(t, defined, gvk.String())
		}
	}
}

// TestSizes: every definition is well below what the API server stores, and all of
// them together fit into the Secret in which Helm keeps a release (1 MiB, of
// compressed text in base64).
func TestSizes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(definitions, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Lessf(t, len(text), 600<<10, "%s", file)
		_, err = w.Write(text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.Less(t, packed.Len(), 400<<10)
}

// TestStartedOperationsAreFixed: the rule that fixes the spec of a started operation
// names every field, also those that are added later. CEL can't say "all but one".
func TestStartedOperationsAreFixed(t *testing.T) {
	elsewhere := []string{"clusterName", "type"} // never change, by rules of their own
	var rules []string
	for _, d := range load(t).Definitions() {
		if d.Spec.Names.Kind == "OpsRequest" {
			for _, r := range d.Spec.Versions[0].Schema.OpenAPIV3Schema.XValidations {
				rules = append(rules, r.Rule)
			}
		}
	}
	rule := strings.Join(rules, "")
	for field := range reflect.TypeFor[operationsv1alpha1.OpsRequestSpec]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "cancel" {
			require.NotContains(t, rule, "self.spec.cancel ")
		} else if !slices.Contains(elsewhere, name) {
			require.Containsf(t, rule, "self.spec."+name+" == oldSelf.spec."+name, "the rule says nothing of %s", name)
		}
	}
}
