package process

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sextantdb/sextant/deploy/charts/sextant"
	"github.com/sextantdb/sextant/operator/api"
	"github.com/sextantdb/sextant/operator/crd"
)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s, err := api.NewScheme()
	require.NoError(t, err)
	return s
}

func TestTheDefinitionsAreThoseOfTheChart(t *testing.T) {
	names, err := definitions()
	require.NoError(t, err)
	all, err := sextant.Definitions()
	require.NoError(t, err)
	var shipped []string
	for _, d := range all {
		object := unstructured.Unstructured{Object: d}
		require.Equal(t, crd.OwnerValue, object.GetLabels()[crd.OwnerLabel])
		shipped = append(shipped, object.GetName())
	}
	require.ElementsMatch(t, shipped, names)
}

// TestWhoseTheDefinitionsAre goes from a cluster with another operator to one that is ours.
func TestWhoseTheDefinitionsAre(t *testing.T) {
	empty := runtime.NewScheme()
	empty.AddKnownTypeWithName(definitionKind, &unstructured.Unstructured{})
	empty.AddKnownTypeWithName(definitionKind.GroupVersion().WithKind(definitionKind.Kind+"List"), &unstructured.UnstructuredList{})
	all, err := sextant.Definitions()
	require.NoError(t, err)
	c := fake.NewClientBuilder().WithScheme(empty).Build()
	check := func() error {
		owners, err := ownersOfDefinitions(t.Context(), c)
		require.NoError(t, err)
		return checkDefinitions(owners)
	}
	for i, d := range all {
		object := unstructured.Unstructured{Object: runtime.DeepCopyJSON(d)}
		switch {
		case i == 0:
			continue
		case object.GetName() == "clusters.apps.kubeblocks.io":
			object.SetLabels(nil)
		case object.GetName() == "components.apps.kubeblocks.io":
			object.SetLabels(map[string]string{crd.OwnerLabel: "other"})
		}
		require.NoError(t, c.Create(t.Context(), &object))
	}
	first, _, _ := unstructured.NestedString(all[0], "metadata", "name")
	require.EqualError(t, check(), "these definitions belong to another operator (they lack the label app.kubernetes.io/part-of=sextant): "+
		"clusters.apps.kubeblocks.io, components.apps.kubeblocks.io; two operators of one kind work against each other: "+
		"remove the other one, then start with --take-over, which replaces its definitions\n"+
		"these definitions are missing: "+first+"; kubectl apply --server-side -f deploy/charts/sextant/crds")

	owners, err := ownersOfDefinitions(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, takeOver(t.Context(), c, owners, &Options{Logger: slog.New(slog.DiscardHandler)}))
	require.NoError(t, check())
	owners, err = ownersOfDefinitions(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, takeOver(t.Context(), nil, owners, &Options{}), "there is nothing left to take over")
}

func TestWhatIsRefused(t *testing.T) {
	err := Run(t.Context(), &Options{NodeLostAfter: time.Millisecond})
	require.EqualError(t, err, "the operator's namespace isn't known: say --namespace\n"+
		"--node-lost-after 1ms is too short: a machine that restarts would lose its data\n--cluster-domain must not be empty")
}

func TestOnlyOwnObjectsAreCached(t *testing.T) {
	o, err := cacheOptions("kb-system")
	require.NoError(t, err)
	require.Len(t, o.ByObject, len(labelled()))
	for kind, by := range o.ByObject {
		require.True(t, isLabelled(kind), "%T", kind)
		of := by.Label
		if _, ok := kind.(*corev1.ConfigMap); ok {
			require.Len(t, by.Namespaces, 2)
			of = by.Namespaces[cache.AllNamespaces].LabelSelector
			// Templates of files are the chart's.
			require.Equal(t, "app.kubernetes.io/managed-by in (Helm,kubeblocks)", by.Namespaces["kb-system"].LabelSelector.String())
		}
		require.Equal(t, "app.kubernetes.io/managed-by=kubeblocks", of.String())
	}
	require.False(t, isLabelled(&corev1.Node{}))
}

func TestWhatIsKeptIsLight(t *testing.T) {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}},
		Status: corev1.NodeStatus{
			Images:     []corev1.ContainerImage{{Names: []string{"i"}}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady}},
		},
	}
	got, err := lighten(n)
	require.NoError(t, err)
	require.Equal(t, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady}}},
	}, got)
	other, err := lighten("text")
	require.NoError(t, err)
	require.Equal(t, "text", other)
}

// noted counts the reads of a client.
type noted struct {
	client.Client
	gets int
}

func (n *noted) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	n.gets++
	return n.Client.Get(ctx, key, o, opts...)
}

// TestWhatTheCacheDoesNotHave has a user's Secret, which no cache of our own objects holds.
func TestWhatTheCacheDoesNotHave(t *testing.T) {
	key := client.ObjectKey{Namespace: "demo", Name: "mine"}
	meta := metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}
	live := &noted{Client: fake.NewClientBuilder().WithScheme(scheme(t)).
		WithObjects(&corev1.Secret{ObjectMeta: meta}, &storagev1.StorageClass{ObjectMeta: meta}).Build()}
	cached := &noted{Client: fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(&corev1.ConfigMap{ObjectMeta: meta}).Build()}
	now := time.Unix(1000, 0)
	c := &fallback{Client: cached, live: live, now: func() time.Time { return now }}

	var secret corev1.Secret
	require.NoError(t, c.Get(t.Context(), key, &secret))
	require.Equal(t, "mine", secret.Name)
	require.NoError(t, c.Get(t.Context(), key, &corev1.ConfigMap{}))
	require.Equal(t, 1, live.gets, "what the cache has is not asked for again")
	require.True(t, apierrors.IsNotFound(c.Get(t.Context(), key, &storagev1.StorageClass{})), "all of these are in the cache")
	require.True(t, apierrors.IsNotFound(c.Get(t.Context(), client.ObjectKey{Name: "nobody"}, &corev1.Secret{})))
	require.Equal(t, []int{4, 2}, []int{cached.gets, live.gets})

	// A Secret that isn't there is asked for every few seconds by each cluster without a key.
	nobody := client.ObjectKey{Name: "nobody"}
	require.True(t, apierrors.IsNotFound(c.Get(t.Context(), nobody, &corev1.Secret{})))
	require.Equal(t, 2, live.gets)
	now = now.Add(absentFor)
	require.True(t, apierrors.IsNotFound(c.Get(t.Context(), nobody, &corev1.Secret{})))
	require.Equal(t, 3, live.gets)
	for i := range 2 * absentMost {
		require.Error(t, c.Get(t.Context(), client.ObjectKey{Name: strconv.Itoa(i)}, &corev1.Secret{}))
	}
	require.LessOrEqual(t, len(c.absent), absentMost)
}
