// Package apply writes objects to the API server, but only when something would change: a
// round of a controller over a cluster at rest writes nothing.
//
// What is applied are the fields that an object sets; all others belong to somebody else.
// An object that was applied carries a hash of them (naming.AnnotationApplied). It is left alone
// when the hash is the same, so that nothing is to be removed, and the object on the server still
// has all of them, so that nobody has changed them.
//
// Callers: the controllers of the operator.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sextantdb/sextant/operator/naming"
)

// FieldOwner is under whose name the operator's fields are.
const FieldOwner = client.FieldOwner("sextant-operator")

// Owned applies an object as one that an owner controls: it goes with the owner, and the owner's
// controller hears of its changes. The object must have a name; it isn't changed. An object of the
// name that somebody else controls is an error. Changed tells whether something was written.
func Owned(ctx context.Context, c client.Client, owner client.Object, desired client.Object) (changed bool, err error) {
	object, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return false, fmt.Errorf("apply %T: its copy is no object", desired)
	}
	if err := controllerutil.SetControllerReference(owner, object, c.Scheme()); err != nil {
		return false, fmt.Errorf("apply %s %s: %w", kindOf(c, object), object.GetName(), err)
	}
	return Object(ctx, c, object)
}

// Object applies an object that nobody controls. It isn't changed.
func Object(ctx context.Context, c client.Client, desired client.Object) (changed bool, err error) {
	want, err := fields(c, desired)
	if err != nil {
		return false, err
	}
	name := want.GetKind() + " " + client.ObjectKeyFromObject(desired).String()
	hash, err := hashOf(hashable(want))
	if err != nil {
		return false, fmt.Errorf("apply %s: %w", name, err)
	}
	annotations := want.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[naming.AnnotationApplied] = hash
	want.SetAnnotations(annotations)

	live, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return false, fmt.Errorf("apply %s: its copy is no object", name)
	}
	switch err := c.Get(ctx, client.ObjectKeyFromObject(desired), live); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return false, fmt.Errorf("apply %s: look for it: %w", name, err)
	default:
		if err := sameController(live, desired); err != nil {
			return false, fmt.Errorf("apply %s: %w", name, err)
		}
		have, err := fields(c, live)
		if err != nil {
			return false, err
		}
		if live.GetAnnotations()[naming.AnnotationApplied] == hash && Contains(have.Object, want.Object) {
			return false, nil
		}
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), FieldOwner, client.ForceOwnership); err != nil {
		return false, fmt.Errorf("apply %s: %w", name, err)
	}
	return true, nil
}

// Delete deletes this very object, and not another one that has taken its name meanwhile. One that is
// gone is fine.
func Delete(ctx context.Context, c client.Client, object client.Object, options ...client.DeleteOption) error {
	uid := object.GetUID()
	err := c.Delete(ctx, object, append(options, client.Preconditions{UID: &uid})...)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s: %w", kindOf(c, object), object.GetName(), err)
	}
	return nil
}

// sameController refuses objects of the same name that somebody else made.
func sameController(live, desired client.Object) error {
	for _, want := range desired.GetOwnerReferences() {
		if want.Controller == nil || !*want.Controller {
			continue
		}
		for _, have := range live.GetOwnerReferences() {
			if have.UID == want.UID {
				return nil
			}
		}
		return fmt.Errorf("there is one that %s %s doesn't own", want.Kind, want.Name)
	}
	return nil
}

// fields returns what an object sets, without its status and what the server fills in.
func fields(c client.Client, object client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("apply %T %s: %w", object, object.GetName(), err)
	}
	gvk, err := apiutil.GVKForObject(object, c.Scheme())
	if err != nil {
		return nil, fmt.Errorf("apply %T %s: %w", object, object.GetName(), err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	delete(content, "status")
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation"} {
		unstructured.RemoveNestedField(content, "metadata", field)
	}
	return u, nil
}

// hashable is what the hash of an object is made from: all of it, but of a Secret only which entries it has. From a hash
// in an annotation nobody is to guess a short key; that a value changed is seen by looking at it.
func hashable(object *unstructured.Unstructured) map[string]any {
	if object.GroupVersionKind() != corev1.SchemeGroupVersion.WithKind("Secret") {
		return object.Object
	}
	content := object.DeepCopy().Object
	for _, field := range []string{"data", "stringData"} {
		entries, ok := content[field].(map[string]any)
		if !ok {
			continue
		}
		for key := range entries {
			entries[key] = ""
		}
	}
	return content
}

func hashOf(content map[string]any) (string, error) {
	raw, err := json.Marshal(content) // keys are sorted
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16]), nil
}

func kindOf(c client.Client, object client.Object) string {
	gvk, err := apiutil.GVKForObject(object, c.Scheme())
	if err != nil {
		return fmt.Sprintf("%T", object)
	}
	return gvk.Kind
}

// Contains tells whether have has everything that want has: the entries of maps, and of
// lists as many elements, in order. What the server adds to maps doesn't matter. Both are what
// JSON decodes to.
func Contains(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return len(want) == 0 && have == nil
		}
		for key, w := range want {
			h, ok := have[key]
			if !ok && !empty(w) || !Contains(h, w) && (!empty(w) || h != nil) {
				return false
			}
		}
		return true
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			return len(want) == 0 && len(have) == 0
		}
		for i := range want {
			if !Contains(have[i], want[i]) {
				return false
			}
		}
		return true
	default:
		return have == want
	}
}

// empty tells whether a value says nothing: the server may leave it out.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for _, e := range v {
			if !empty(e) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	default:
		return false
	}
}
