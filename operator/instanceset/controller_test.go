package instanceset

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	nodeclient "github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/operator/api"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// access answers as the nodes of a cluster with a leader and nothing in it.
type access struct {
	nodes.Access
	leader string
	acts   []string
	fail   error
}

func (a *access) View(context.Context, *nodes.Component) (*nodeclient.View, error) {
	c := &nodeclient.Cluster{Status: "enabled", Peers: map[uint64]nodeclient.Peer{}, Raft: nodeclient.Raft{Leader: 1}}
	for i := range uint64(3) {
		c.Peers[i+1] = nodeclient.Peer{URI: fmt.Sprintf("http://c-%d.c-headless.demo.svc.cluster.local:6335", i)}
	}
	return &nodeclient.View{Cluster: c}, a.fail
}

func (a *access) Cluster(context.Context, *nodes.Component, nodes.Pod) (*nodeclient.Cluster, error) {
	return nil, errors.New("not asked")
}

func (a *access) Role(_ context.Context, _ *nodes.Component, pod nodes.Pod) (nodes.Role, error) {
	if pod.Name == a.leader {
		return nodes.Role{Name: "leader", Term: 2}, nil
	}
	return nodes.Role{Name: "follower", Term: 2}, a.fail
}

func (a *access) Drain(_ context.Context, _ *nodes.Component, peer uint64, on bool) error {
	a.acts = append(a.acts, fmt.Sprintf("drain %d %t", peer, on))
	return a.fail
}

func (a *access) Act(_ context.Context, _ *nodes.Component, pod nodes.Pod, action string, parameters map[string]string) (nodes.Outcome, error) {
	a.acts = append(a.acts, fmt.Sprintf("%s at %s %v", action, pod.Name, parameters))
	return nodes.Outcome{Done: true}, a.fail
}

// bench is a controller on a fake API server.
type bench struct {
	t      *testing.T
	k8s    client.WithWatch
	access *access
	r      *reconciler
	now    time.Time
	writes int
	// refuse makes creations of objects of a kind fail, and deletions where it says delete before the kind.
	refuse map[string]error
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{t: t, access: &access{leader: "c-0"}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), refuse: map[string]error{}}
	scheme, err := api.NewScheme()
	require.NoError(t, err)
	w := newWorld()
	set := w.set
	set.Finalizers = nil
	component := &appsv1.Component{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "demo"}}
	objects = append(objects, set, component, w.knodes["n0"])
	count := func(err error) error {
		if err == nil {
			b.writes++
		}
		return err
	}
	b.k8s = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&workloadsv1.InstanceSet{}, &corev1.Pod{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if err := b.refuse[fmt.Sprintf("%T", o)]; err != nil {
					return err
				}
				o.SetUID(types.UID("uid-of-" + o.GetName() + strconv.Itoa(b.writes)))
				return count(c.Create(ctx, o, opts...))
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				return count(c.Patch(ctx, o, p, opts...))
			},
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				if err := b.refuse[fmt.Sprintf("delete %T", o)]; err != nil {
					return err
				}
				return count(c.Delete(ctx, o, opts...))
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				return count(c.SubResource(sub).Patch(ctx, o, p, opts...))
			},
		}).Build()
	b.r = newReconciler(b.k8s, b.k8s, events.NewFakeRecorder(1000), Options{Nodes: b.access})
	b.r.now = func() time.Time { return b.now }
	return b
}

// round reconciles once.
func (b *bench) round() reconcile.Result {
	b.t.Helper()
	result, err := b.r.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "demo", Name: "c"}})
	require.NoError(b.t, err)
	return result
}

func (b *bench) set() *workloadsv1.InstanceSet {
	b.t.Helper()
	var s workloadsv1.InstanceSet
	require.NoError(b.t, b.k8s.Get(b.t.Context(), types.NamespacedName{Namespace: "demo", Name: "c"}, &s))
	return &s
}

func (b *bench) pods() map[string]*corev1.Pod {
	b.t.Helper()
	var list corev1.PodList
	require.NoError(b.t, b.k8s.List(b.t.Context(), &list))
	out := map[string]*corev1.Pod{}
	for i := range list.Items {
		out[list.Items[i].Name] = &list.Items[i]
	}
	return out
}

func (b *bench) claims() []corev1.PersistentVolumeClaim {
	b.t.Helper()
	var list corev1.PersistentVolumeClaimList
	require.NoError(b.t, b.k8s.List(b.t.Context(), &list))
	return list.Items
}

// run has all pods run and be ready.
func (b *bench) run() {
	b.t.Helper()
	for _, p := range b.pods() {
		p.Spec.NodeName = "n0"
		require.NoError(b.t, b.k8s.Update(b.t.Context(), p))
		p.Status.Phase, p.Status.PodIP = corev1.PodRunning, "10.0.0.1"
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(b.now)}}
		require.NoError(b.t, b.k8s.Status().Update(b.t.Context(), p))
	}
	b.now = b.now.Add(time.Minute)
}

// up brings the set up.
func (b *bench) up() {
	b.t.Helper()
	b.round() // the finalizer
	b.round()
	b.run()
	b.round()
	b.round()
}

func TestASetComesUpAndIsLeftAlone(t *testing.T) {
	b := newBench(t)
	b.up()
	set := b.set()
	require.Contains(t, set.Finalizers, naming.FinalizerInstanceSet)
	require.EqualValues(t, 3, set.Status.AvailableReplicas)
	require.True(t, meta.IsStatusConditionTrue(set.Status.Conditions, workloadsv1.ConditionInstanceAvailable))
	require.Equal(t, "leader", b.pods()["c-0"].Labels[naming.LabelRole])
	require.Equal(t, "follower", b.pods()["c-2"].Labels[naming.LabelRole])
	var claim corev1.PersistentVolumeClaim
	require.NoError(t, b.k8s.Get(t.Context(), types.NamespacedName{Namespace: "demo", Name: "data-c-1"}, &claim))
	require.Nil(t, claim.Spec.StorageClassName)

	before := b.writes
	b.now = b.now.Add(time.Hour)
	require.Equal(t, look, b.round().RequeueAfter)
	require.Equal(t, before, b.writes, "at rest nothing is written")
}

func TestOnePodAfterAnotherIsReplaced(t *testing.T) {
	b := newBench(t)
	b.up()
	set := b.set()
	set.Spec.Template.Annotations = map[string]string{naming.AnnotationRestart: "now"}
	require.NoError(t, b.k8s.Update(t.Context(), set))
	var order []string
	for range 3 {
		before := b.pods()
		b.round()
		for name := range before {
			if b.pods()[name] == nil {
				order = append(order, name)
			}
		}
		b.round() // the new one
		require.Len(t, b.pods(), 3)
		b.run()
	}
	require.Equal(t, []string{"c-2", "c-1", "c-0"}, order)
	require.Contains(t, b.access.acts[0], "switchover at c-0 map[KB_SWITCHOVER_CURRENT_FQDN:c-0.c-headless.demo.svc.cluster.local KB_SWITCHOVER_CURRENT_NAME:c-0]")
	b.round()
	require.EqualValues(t, 3, b.set().Status.UpdatedReplicas)
}

func TestAMemberLeavesOnceItsPodEnds(t *testing.T) {
	b := newBench(t)
	b.up()
	set := b.set()
	set.Spec.Replicas = new(int32(2))
	require.NoError(t, b.k8s.Update(t.Context(), set))
	b.access.fail = errors.New("not now")
	b.round()
	require.Len(t, b.pods(), 3)
	require.Contains(t, meta.FindStatusCondition(b.set().Status.Conditions, workloadsv1.ConditionInstanceReady).Message, "not now")
	b.access.fail = nil
	b.round()
	require.Equal(t, []string{"drain 3 true"}, b.access.acts)
	require.Len(t, b.pods(), 2)
	b.round()
	require.Equal(t, "memberLeave at c-0 map[KB_LEAVE_MEMBER_POD_FQDN:c-2.c-headless.demo.svc.cluster.local KB_LEAVE_MEMBER_POD_NAME:c-2]",
		b.access.acts[len(b.access.acts)-1])
}

func TestWhatTheServerRefusesIsTold(t *testing.T) {
	b := newBench(t)
	b.refuse["*v1.Pod"] = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "c-0", errors.New("exceeded quota"))
	b.round()
	b.round()
	c := meta.FindStatusCondition(b.set().Status.Conditions, workloadsv1.ConditionInstanceFailure)
	require.Equal(t, metav1.ConditionTrue, c.Status)
	require.Equal(t, "PodRefused", c.Reason)
	require.Contains(t, c.Message, "create the pod c-0: pods \"c-0\" is forbidden: exceeded quota")
	require.True(t, b.set().Status.InstanceStatus[0].Failed)
	delete(b.refuse, "*v1.Pod")
	b.up()
	require.True(t, meta.IsStatusConditionFalse(b.set().Status.Conditions, workloadsv1.ConditionInstanceFailure))
}

func TestAPodOfSomebodyElseIsLeftAlone(t *testing.T) {
	b := newBench(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "c-1", Namespace: "demo", Labels: map[string]string{naming.LabelInstance: "c"}}})
	b.round()
	b.round()
	require.Contains(t, meta.FindStatusCondition(b.set().Status.Conditions, workloadsv1.ConditionInstanceFailure).Message,
		"there is a pod c-1 that doesn't belong to the set")
	require.Empty(t, b.pods()["c-1"].OwnerReferences)
}

func TestDeletionTakesPodsThenClaims(t *testing.T) {
	b := newBench(t)
	b.up()
	require.NoError(t, b.k8s.Delete(t.Context(), b.set()))
	b.round()
	require.Empty(t, b.pods())
	b.round()
	require.Empty(t, b.claims())
	require.Zero(t, b.round().RequeueAfter, "a set that is gone is left alone")
}

// Somebody who deletes what a cluster is made of, and not the cluster, loses no data: it is made anew.
func TestClaimsStayWhileTheClusterStays(t *testing.T) {
	owned := func(by client.Object, kind string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: "c", Namespace: "demo", UID: types.UID("uid of the " + kind + "'s part"),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(by, appsv1.GroupVersion.WithKind(kind))},
		}
	}
	for name, c := range map[string]struct {
		deleted bool
		policy  appsv1.TerminationPolicy
		another bool
		stay    bool
	}{
		"the cluster runs":                     {policy: appsv1.WipeOut, stay: true},
		"the cluster goes":                     {policy: appsv1.Delete, deleted: true},
		"its policy keeps the cluster":         {policy: appsv1.DoNotTerminate, deleted: true, stay: true},
		"another cluster of the name is there": {policy: appsv1.Delete, another: true},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &appsv1.Cluster{
				ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "demo", UID: "uid", Finalizers: []string{naming.FinalizerCluster}},
				Spec:       appsv1.ClusterSpec{TerminationPolicy: c.policy},
			}
			component := &appsv1.Component{ObjectMeta: owned(cluster, "Cluster")}
			if c.another {
				cluster.UID = "another"
			}
			b := newBench(t, cluster)
			b.up()
			var have appsv1.Component
			require.NoError(t, b.k8s.Get(t.Context(), client.ObjectKeyFromObject(component), &have))
			have.UID, have.OwnerReferences = component.UID, component.OwnerReferences
			require.NoError(t, b.k8s.Update(t.Context(), &have))
			set := b.set()
			set.OwnerReferences = owned(component, "Component").OwnerReferences
			require.NoError(t, b.k8s.Update(t.Context(), set))
			if c.deleted {
				require.NoError(t, b.k8s.Delete(t.Context(), cluster))
			}
			require.NoError(t, b.k8s.Delete(t.Context(), b.set()))
			b.round()
			require.Empty(t, b.pods())
			b.round()
			require.Len(t, b.claims(), map[bool]int{true: 3}[c.stay])
			require.Zero(t, b.round().RequeueAfter, "the set is gone")
		})
	}
}

// An operator that ends between two writes must leave the rest to the next one: nothing else knows the claims of a
// set that is gone.
func TestADeletionThatIsCutShortLeavesNoClaims(t *testing.T) {
	b := newBench(t)
	b.up()
	require.NoError(t, b.k8s.Delete(t.Context(), b.set()))
	b.round()
	b.refuse["delete *v1.PersistentVolumeClaim"] = errors.New("the connection is lost")
	_, err := b.r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "demo", Name: "c"}})
	require.ErrorContains(t, err, "the connection is lost")
	require.Contains(t, b.set().Finalizers, naming.FinalizerInstanceSet)
	clear(b.refuse)
	b.round()
	require.Empty(t, b.claims())
}
