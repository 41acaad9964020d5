package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/operator/fleet"
	"github.com/sextantdb/sextant/tests/operator/kubelet"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

const (
	// limit is how long anything may take before it counts as never.
	limit = 90 * time.Second
	// look is the time between two looks at something that is waited for.
	look = 25 * time.Millisecond
	// The names of the examples.
	clusterName, componentName, set = "qdrant-cluster", "qdrant", "qdrant-cluster-qdrant"
)

// bed is a namespace with machines, a world and an operator.
type bed struct {
	t        *testing.T
	ctx      context.Context //nolint:containedctx // that of the test
	ns       string
	c        client.Client
	world    *fleet.World
	machines *kubelet.Kubelet
}

var namespaces atomic.Int64

// newBed makes a bed with so many machines. What was made in it is deleted when the test is over.
func newBed(t *testing.T, machines int) *bed {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	direct, err := client.New(plane.config, client.Options{Scheme: plane.scheme})
	require.NoError(t, err)
	b := &bed{
		t: t, ctx: ctx, ns: fmt.Sprintf("demo-%d", namespaces.Add(1)), world: fleet.New(),
		c: client.WithFieldValidation(direct, metav1.FieldValidationStrict),
	}
	require.NoError(t, b.c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.ns}}))
	b.machines, err = kubelet.New(ctx, kubelet.Options{
		Config: plane.config, Scheme: plane.scheme, Namespace: b.ns, World: b.world, Machines: machines, Log: b.log,
	})
	require.NoError(t, err)
	ended := make(chan error, 2)
	go func() { ended <- b.machines.Run(ctx) }()
	go func() {
		b.world.Run(ctx)
		ended <- nil
	}()
	t.Cleanup(func() {
		defer func() {
			cancel()
			require.NoError(t, errors.Join(<-ended, <-ended))
			require.Empty(t, b.world.Violations(), "what must never happen")
		}()
		if t.Failed() {
			b.describe()
		}
		b.clear()
	})
	return b
}

// clear deletes the cluster with all that belongs to it, as a user would.
func (b *bed) clear() {
	b.world.Stopping(true)
	b.machines.HoldGrowth(false)
	c, err := b.cluster()
	if apierrors.IsNotFound(err) {
		return
	}
	require.NoError(b.t, err)
	require.NoError(b.t, b.tryChange(func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = appsv1.WipeOut }))
	require.NoError(b.t, client.IgnoreNotFound(b.c.Delete(b.ctx, c)))
	b.gone()
}

// gone waits until nothing of the cluster is left.
func (b *bed) gone() {
	b.t.Helper()
	b.eventually("everything gone", func() (string, error) {
		for _, list := range []client.ObjectList{
			&appsv1.ClusterList{}, &appsv1.ComponentList{}, &workloadsv1.InstanceSetList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{},
			&corev1.ServiceList{}, &corev1.SecretList{}, &policyv1.PodDisruptionBudgetList{}, &rbacv1.RoleBindingList{},
		} {
			options := []client.ListOption{client.InNamespace(b.ns)}
			if _, ok := list.(*corev1.SecretList); ok { // users have Secrets of their own
				options = append(options, client.MatchingLabels{naming.LabelInstance: clusterName})
			}
			if err := b.c.List(b.ctx, list, options...); err != nil {
				return "", fmt.Errorf("list what is left: %w", err)
			}
			items, err := meta.ExtractList(list)
			if err != nil || len(items) > 0 {
				return fmt.Sprintf("%d of %T are left", len(items), list), err
			}
		}
		return "", nil
	})
}

// log is for what goes on beside the test, also when it is over.
func (b *bed) log(format string, args ...any) {
	if b.ctx.Err() == nil {
		b.t.Logf(format, args...)
	}
}

// eventually waits until look finds nothing missing any more.
func (b *bed) eventually(what string, missing func() (string, error)) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		why, err := missing()
		if err == nil && why == "" {
			return
		}
		if failed := operator.failed(); failed != nil {
			require.FailNow(b.t, "the operator fails", "%v", failed)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.FailNow(b.t, what+": not within "+limit.String(), "missing: %s (%v)", why, err)
		}
	}
}

// key is the name of an object of the test.
func (b *bed) key(name string) client.ObjectKey { return client.ObjectKey{Namespace: b.ns, Name: name} }

// apply creates the cluster of the examples, changed.
func (b *bed) apply(change ...func(*appsv1.Cluster)) {
	b.t.Helper()
	require.NoError(b.t, b.create(change...))
}

func (b *bed) create(change ...func(*appsv1.Cluster)) error {
	c := sample.One[appsv1.Cluster](b.t, root, "cluster.yaml", b.ns)
	for _, do := range change {
		do(c)
	}
	if err := b.c.Create(b.ctx, c); err != nil {
		return fmt.Errorf("create the cluster: %w", err)
	}
	return nil
}

func replicas(n int32) func(*appsv1.Cluster) {
	return func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].Replicas = n }
}

// runs makes a cluster of n nodes and waits until it runs.
func (b *bed) runs(n int32, change ...func(*appsv1.Cluster)) {
	b.t.Helper()
	b.apply(append(change, replicas(n))...)
	b.phase(appsv1.ClusterRunning)
}

// cluster, component, its are the objects as they are.
func (b *bed) cluster() (*appsv1.Cluster, error) {
	c := new(appsv1.Cluster)
	return c, b.c.Get(b.ctx, b.key(clusterName), c)
}

func (b *bed) component() (*appsv1.Component, error) {
	c := new(appsv1.Component)
	return c, b.c.Get(b.ctx, b.key(set), c)
}

func (b *bed) its() (*workloadsv1.InstanceSet, error) {
	c := new(workloadsv1.InstanceSet)
	return c, b.c.Get(b.ctx, b.key(set), c)
}

// phase waits until the cluster is in a phase, for its present spec.
func (b *bed) phase(want appsv1.ClusterPhase) {
	b.t.Helper()
	b.eventually("cluster "+string(want), func() (string, error) {
		c, err := b.cluster()
		if err != nil {
			return "", err
		}
		if c.Status.Phase == want && c.Status.ObservedGeneration == c.Generation {
			return "", nil
		}
		return fmt.Sprintf("it is %s (%s), seen %d of %d", c.Status.Phase, c.Status.Message, c.Status.ObservedGeneration, c.Generation), nil
	})
}

// change changes the cluster.
func (b *bed) change(do func(*appsv1.Cluster)) {
	b.t.Helper()
	require.NoError(b.t, b.tryChange(do))
}

func (b *bed) tryChange(do func(*appsv1.Cluster)) error {
	for {
		c, err := b.cluster()
		if err != nil {
			return err
		}
		do(c)
		if err := b.c.Update(b.ctx, c); !apierrors.IsConflict(err) {
			return err //nolint:wrapcheck // the test looks at what the API server says
		}
	}
}

// patch applies a patch of the examples to the cluster.
func (b *bed) patch(path string) {
	b.t.Helper()
	c := &appsv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: clusterName}}
	require.NoError(b.t, b.c.Patch(b.ctx, c, client.RawPatch(types.JSONPatchType, sample.Patch(b.t, root, path))))
}

// op creates an operation of the examples, changed, and returns its name.
func (b *bed) op(path string, change ...func(*operationsv1alpha1.OpsRequest)) string {
	b.t.Helper()
	o := sample.One[operationsv1alpha1.OpsRequest](b.t, root, "ops/"+path, b.ns)
	for _, do := range change {
		do(o)
	}
	require.NoError(b.t, b.c.Create(b.ctx, o))
	return o.Name
}

// ends waits until an operation has come to an end, and expects which.
func (b *bed) ends(name string, want operationsv1alpha1.OpsPhase) *operationsv1alpha1.OpsRequest {
	b.t.Helper()
	o := new(operationsv1alpha1.OpsRequest)
	b.eventually("operation "+name+" "+string(want), func() (string, error) {
		err := b.c.Get(b.ctx, b.key(name), o)
		if err == nil && o.Status.Phase.Finished() && o.Status.Phase != want {
			require.FailNow(b.t, "operation "+name+" is "+string(o.Status.Phase), conditions(o.Status.Conditions))
		}
		if err == nil && o.Status.Phase == want {
			return "", nil
		}
		return fmt.Sprintf("it is %s, %s: %s", o.Status.Phase, o.Status.Progress, conditions(o.Status.Conditions)), err
	})
	return o
}

func conditions(all []metav1.Condition) string {
	var lines []string
	for _, c := range all {
		lines = append(lines, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(lines, "; ")
}

// pods are those of the cluster by name.
func (b *bed) pods() (map[string]*corev1.Pod, error) {
	var list corev1.PodList
	err := b.c.List(b.ctx, &list, client.InNamespace(b.ns), client.MatchingLabels{naming.LabelInstance: clusterName})
	all := map[string]*corev1.Pod{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, err
}

// claims are those of the cluster by name.
func (b *bed) claims() (map[string]*corev1.PersistentVolumeClaim, error) {
	var list corev1.PersistentVolumeClaimList
	err := b.c.List(b.ctx, &list, client.InNamespace(b.ns), client.MatchingLabels{naming.LabelInstance: clusterName})
	all := map[string]*corev1.PersistentVolumeClaim{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, err
}

func names[T any](all map[string]T) []string {
	var list []string
	for name := range all {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func podName(ordinal int) string { return fmt.Sprintf("%s-%d", set, ordinal) }

func claimName(ordinal int) string { return "data-" + podName(ordinal) }

func ordinals(name func(int) string, n ...int) []string {
	var all []string
	for _, i := range n {
		all = append(all, name(i))
	}
	return all
}

// load fills the cluster, with copies and without, and begins to write and read.
func (b *bed) load() {
	b.t.Helper()
	require.NoError(b.t, b.world.CreateCollection("c2", 2, 1))
	b.redundant()
}

// redundant is load with nothing of which there is only one copy: what can be read all the time, whichever
// node stops.
func (b *bed) redundant() {
	b.t.Helper()
	require.NoError(b.t, b.world.CreateCollection("c1", 4, 2))
	b.world.StartLoad()
}

// whole waits until all data is there, with all its copies.
func (b *bed) whole() {
	b.t.Helper()
	b.eventually("data whole", func() (string, error) { return b.world.Whole(), nil })
}

// describe prints what is known, for a test that failed.
func (b *bed) describe() {
	var out strings.Builder
	lists := []client.ObjectList{
		&appsv1.ClusterList{}, &appsv1.ComponentList{}, &workloadsv1.InstanceSetList{}, &operationsv1alpha1.OpsRequestList{}, &corev1.PodList{},
		&corev1.PersistentVolumeClaimList{},
	}
	for _, list := range lists {
		if err := b.c.List(b.ctx, list, client.InNamespace(b.ns)); err != nil {
			fmt.Fprintln(&out, err)
			continue
		}
		u, err := sigsyaml.Marshal(list)
		fmt.Fprintf(&out, "--- %T %v\n%s\n", list, err, withoutManaged(string(u)))
	}
	var events corev1.EventList
	if err := b.c.List(b.ctx, &events, client.InNamespace(b.ns)); err == nil {
		for i := range events.Items {
			e := &events.Items[i]
			fmt.Fprintf(&out, "event %s %s/%s %s: %s\n", e.EventTime.Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	fmt.Fprintf(&out, "world: %q, copies %v, violations %q\n", b.world.Whole(), b.world.Spread(), b.world.Violations())
	b.t.Log(out.String())
}

// withoutManaged leaves out who manages which field.
func withoutManaged(text string) string {
	var kept []string
	skipping := -1
	for line := range strings.SplitSeq(text, "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if skipping >= 0 && (indent > skipping || strings.HasPrefix(strings.TrimSpace(line), "- ") && indent >= skipping) {
			continue
		}
		skipping = -1
		if strings.TrimSpace(line) == "managedFields:" {
			skipping = indent
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}
