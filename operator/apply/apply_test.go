package apply_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sextantdb/sextant/operator/api"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/apply"
	"github.com/sextantdb/sextant/operator/naming"
)

// server is an API server in memory that counts what is applied.
func server(t *testing.T, writes *int, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	return interceptor.NewClient(
		fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().WithObjects(objects...).Build(),
		interceptor.Funcs{Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			*writes++
			return c.Apply(ctx, o, opts...)
		}},
	)
}

func service(ports ...int32) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "s", Labels: map[string]string{"a": "b"}},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"x": "y"}},
	}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "p", Port: p, TargetPort: intstr.FromInt32(p)})
	}
	return s
}

func TestWritesOnlyWhatChanges(t *testing.T) {
	ctx, writes := t.Context(), 0
	owner := &appsv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "c", UID: "1"}}
	c := server(t, &writes, owner)
	put := func(s *corev1.Service) bool {
		t.Helper()
		changed, err := apply.Owned(ctx, c, owner, s)
		require.NoError(t, err)
		return changed
	}
	require.True(t, put(service(1)))
	require.False(t, put(service(1)), "nothing changed")
	require.Equal(t, 1, writes)

	live := &corev1.Service{}
	require.NoError(t, c.Get(ctx, client.ObjectKeyFromObject(service()), live))
	require.Equal(t, "c", live.OwnerReferences[0].Name)
	live.Spec.ClusterIP = "10.0.0.1" // what the server fills in
	live.Annotations["other"] = "theirs"
	require.NoError(t, c.Update(ctx, live))
	require.False(t, put(service(1)), "fields of others are theirs")

	require.NoError(t, c.Get(ctx, client.ObjectKeyFromObject(live), live))
	live.Spec.Selector["x"] = "z"
	require.NoError(t, c.Update(ctx, live))
	require.True(t, put(service(1)), "somebody changed a field of ours")
	require.NoError(t, c.Get(ctx, client.ObjectKeyFromObject(live), live))
	require.Equal(t, "y", live.Spec.Selector["x"])
	require.Equal(t, "theirs", live.Annotations["other"])

	without := service(1)
	without.Labels = nil
	require.True(t, put(without), "a field was taken back")
	require.NoError(t, c.Get(ctx, client.ObjectKeyFromObject(live), live))
	require.Empty(t, live.Labels)
	require.False(t, put(without))
}

func TestObjectsOfOthersAreLeftAlone(t *testing.T) {
	writes := 0
	theirs := service(1)
	owner := &appsv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "c", UID: "1"}}
	c := server(t, &writes, owner, theirs)
	_, err := apply.Owned(t.Context(), c, owner, service(2))
	require.ErrorContains(t, err, "there is one that Component c doesn't own")
	require.Zero(t, writes)
}

// TestSecretsAreNotHashed: the annotation with the hash tells nothing of a Secret's values, and they are followed all the
// same.
func TestSecretsAreNotHashed(t *testing.T) {
	ctx, writes := t.Context(), 0
	owner := &appsv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "c", UID: "1"}}
	c := server(t, &writes, owner)
	hash := map[string]bool{}
	put := func(changed bool, data map[string][]byte) {
		t.Helper()
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "s"}, Data: data}
		got, err := apply.Owned(ctx, c, owner, secret)
		require.NoError(t, err)
		require.Equal(t, changed, got)
		require.NoError(t, c.Get(ctx, client.ObjectKeyFromObject(secret), secret))
		require.Equal(t, data, secret.Data)
		hash[secret.Annotations[naming.AnnotationApplied]] = true
	}
	put(true, map[string][]byte{"a": []byte("x"), "b": []byte("y")})
	put(true, map[string][]byte{"a": []byte("z"), "b": []byte("y")})
	put(false, map[string][]byte{"a": []byte("z"), "b": []byte("y")})
	require.Len(t, hash, 1)
	put(true, map[string][]byte{"a": []byte("z")})
}

func TestContains(t *testing.T) {
	type m = map[string]any
	type l = []any
	for name, c := range map[string]struct {
		have, want any
		is         bool
	}{
		"more entries":            {m{"a": "b", "c": "d"}, m{"a": "b"}, true},
		"another value":           {m{"a": "b"}, m{"a": "c"}, false},
		"a missing entry":         {m{}, m{"a": "c"}, false},
		"an empty one is missing": {m{}, m{"a": m{"b": l{}}}, true},
		"longer lists":            {l{m{"a": int64(1)}, m{}}, l{m{"a": int64(1)}}, false},
		"elements with defaults":  {l{m{"a": int64(1), "d": true}}, l{m{"a": int64(1)}}, true},
		"a list for a map":        {l{}, m{"a": "b"}, false},
		"nothing":                 {nil, m{}, true},
	} {
		require.Equal(t, c.is, apply.Contains(c.have, c.want), name)
	}
}

// The API server compares the identity; the one in memory doesn't.
func TestOnlyTheVeryObjectIsDeleted(t *testing.T) {
	writes := 0
	there := service(1)
	there.UID = "this one"
	var asked client.DeleteOptions
	c := interceptor.NewClient(server(t, &writes, there), interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			asked.ApplyOptions(opts)
			return c.Delete(ctx, o, opts...)
		},
	})
	require.NoError(t, apply.Delete(t.Context(), c, there))
	require.EqualValues(t, "this one", *asked.Preconditions.UID)
	require.NoError(t, apply.Delete(t.Context(), c, there), "it is gone")
}
