package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/deploy/charts/sextant"
	"github.com/sextantdb/sextant/operator/api"
	"github.com/sextantdb/sextant/operator/api/group"
	"github.com/sextantdb/sextant/operator/apply"
	"github.com/sextantdb/sextant/operator/crd"
)

var definitionKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// readyDefinitions makes sure that the definitions of our kinds are there and ours.
func readyDefinitions(ctx context.Context, config *rest.Config, o *Options) error {
	c, err := client.New(config, client.Options{Scheme: runtime.NewScheme()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	owners, err := ownersOfDefinitions(ctx, c)
	if err != nil {
		return err
	}
	if o.TakeOver {
		return takeOver(ctx, c, owners, o)
	}
	return checkDefinitions(owners)
}

// ownersOfDefinitions returns the definitions that we need: by name whose they are ("" is not said), without those
// that aren't there.
func ownersOfDefinitions(ctx context.Context, c client.Client) (map[string]*string, error) {
	names, err := definitions()
	if err != nil {
		return nil, err
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(definitionKind.GroupVersion().WithKind(definitionKind.Kind + "List"))
	if err := c.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list the definitions of kinds: %w", err)
	}
	owners := map[string]*string{}
	for _, name := range names {
		owners[name] = nil
	}
	for i := range list.Items {
		d := &list.Items[i]
		if _, ours := owners[d.Name]; ours {
			owners[d.Name] = new(d.Labels[crd.OwnerLabel])
		}
	}
	return owners, nil
}

// definitions are the names of the definitions of our kinds.
func definitions() ([]string, error) {
	scheme, err := api.NewScheme()
	if err != nil {
		return nil, err
	}
	var names []string
	for kind := range scheme.AllKnownTypes() {
		if strings.HasSuffix(kind.Group, "."+group.Domain) && scheme.Recognizes(kind.GroupVersion().WithKind(kind.Kind+"List")) {
			plural, _ := meta.UnsafeGuessKindToResource(kind)
			names = append(names, plural.Resource+"."+kind.Group)
		}
	}
	slices.Sort(names)
	return names, nil
}

// checkDefinitions refuses definitions that are missing or somebody else's.
func checkDefinitions(owners map[string]*string) error {
	var missing, foreign []string
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		switch owner := owners[name]; {
		case owner == nil:
			missing = append(missing, name)
		case *owner != crd.OwnerValue:
			foreign = append(foreign, name)
		}
	}
	var errs []error
	if len(foreign) > 0 {
		errs = append(errs, fmt.Errorf("these definitions belong to another operator (they lack the label %s=%s): %s; "+
			"two operators of one kind work against each other: remove the other one, then start with --take-over, which replaces its definitions",
			crd.OwnerLabel, crd.OwnerValue, strings.Join(foreign, ", ")))
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("these definitions are missing: %s; kubectl apply --server-side -f deploy/charts/sextant/crds", strings.Join(missing, ", ")))
	}
	return errors.Join(errs...)
}

// takeOver puts our definitions in the place of those that are missing or somebody else's.
func takeOver(ctx context.Context, c client.Client, owners map[string]*string, o *Options) error {
	ours, err := sextant.Definitions()
	if err != nil {
		return fmt.Errorf("read the definitions: %w", err)
	}
	for _, object := range ours {
		name, _, _ := unstructured.NestedString(object, "metadata", "name")
		if owner := owners[name]; owner != nil && *owner == crd.OwnerValue {
			continue
		}
		want := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
		if err := c.Apply(ctx, want, apply.FieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("take over the definition %s: %w", name, err)
		}
		o.Logger.WarnContext(ctx, "took over a definition", "definition", name)
	}
	return nil
}
