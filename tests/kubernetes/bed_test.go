package kubernetes_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

const (
	// limit is how long anything may take before it counts as never, look the time between two
	// looks at it.
	limit, look = 5 * time.Minute, 200 * time.Millisecond
	// The names of the examples.
	clusterName, componentName, set = "qdrant-cluster", "qdrant", "qdrant-cluster-qdrant"
)

// bed is a cluster of nodes and what is known of it.
type bed struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // that of the test
	c   client.Client
	// door is the service of the cluster, once that runs.
	door *door
}

// newBed makes sure that there is no cluster, and removes the one that the test makes.
func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, ctx: context.Background(), c: client.WithFieldValidation(place.c, metav1.FieldValidationStrict)}
	b.clear()
	t.Cleanup(func() {
		if t.Failed() {
			b.describe()
		}
		b.clear()
	})
	return b
}

// runs makes the cluster of the examples, changed, and waits until it runs.
func (b *bed) runs(replicas int32, change ...func(*appsv1.Cluster)) {
	b.t.Helper()
	c := sample.One[appsv1.Cluster](b.t, place.root, "cluster.yaml", demo)
	c.Spec.ComponentSpecs[0].Replicas = replicas
	for _, do := range change {
		do(c)
	}
	began := time.Now()
	require.NoError(b.t, b.c.Create(b.ctx, c))
	b.phase(appsv1.ClusterRunning)
	figure(b.t, fmt.Sprintf("%d nodes", replicas), "apply to Running", time.Since(began).Round(100*time.Millisecond))
	b.find()
}

// find finds the service of the cluster's component: by its address, as the name service may be on a machine that a test loses.
func (b *bed) find() {
	b.t.Helper()
	var s corev1.Service
	require.NoError(b.t, b.c.Get(b.ctx, key(set), &s))
	b.door = newDoor(net.JoinHostPort(s.Spec.ClusterIP, "6333"), "")
}

// eventually waits until nothing is missing any more.
func (b *bed) eventually(what string, missing func() (string, error)) {
	b.t.Helper()
	b.within(limit, what, missing)
}

// within is eventually with another limit.
func (b *bed) within(limit time.Duration, what string, missing func() (string, error)) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	for {
		why, err := missing()
		if err == nil && why == "" {
			return
		}
		if pause(ctx, look) != nil {
			require.FailNow(b.t, what+": not within "+limit.String(), "missing: %s (%v)", why, err)
		}
	}
}

func key(name string) client.ObjectKey { return client.ObjectKey{Namespace: demo, Name: name} }

func (b *bed) cluster() (*appsv1.Cluster, error) {
	c := new(appsv1.Cluster)
	return c, b.c.Get(b.ctx, key(clusterName), c)
}

// phase waits until the cluster is in a phase, for its present spec.
func (b *bed) phase(want appsv1.ClusterPhase) {
	b.t.Helper()
	b.eventually("cluster "+string(want), func() (string, error) {
		c, err := b.cluster()
		if err == nil && c.Status.Phase == want && c.Status.ObservedGeneration == c.Generation {
			return "", nil
		}
		return fmt.Sprintf("it is %s (%s)", c.Status.Phase, c.Status.Message), err
	})
}

func (b *bed) change(do func(*appsv1.Cluster)) {
	b.t.Helper()
	b.eventually("a change", func() (string, error) {
		c, err := b.cluster()
		if err != nil {
			return "", err
		}
		do(c)
		return "", b.c.Update(b.ctx, c)
	})
}

// patch applies a patch of the examples.
func (b *bed) patch(path string) {
	b.t.Helper()
	c := &appsv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: demo, Name: clusterName}}
	require.NoError(b.t, b.c.Patch(b.ctx, c, client.RawPatch(types.JSONPatchType, sample.Patch(b.t, place.root, path))))
}

// op carries out an operation of the examples and waits until it has succeeded.
func (b *bed) op(path string) *operationsv1alpha1.OpsRequest {
	b.t.Helper()
	o := sample.One[operationsv1alpha1.OpsRequest](b.t, place.root, "ops/"+path, demo)
	began := time.Now()
	require.NoError(b.t, b.c.Create(b.ctx, o))
	return b.succeeds(o.Name, began)
}

func (b *bed) succeeds(name string, began time.Time) *operationsv1alpha1.OpsRequest {
	b.t.Helper()
	o := new(operationsv1alpha1.OpsRequest)
	b.eventually("operation "+name, func() (string, error) {
		err := b.c.Get(b.ctx, key(name), o)
		if err == nil && o.Status.Phase.Finished() {
			require.Equal(b.t, operationsv1alpha1.OpsSucceed, o.Status.Phase, "%v", o.Status.Conditions)
			return "", nil
		}
		return fmt.Sprintf("it is %s, %s", o.Status.Phase, o.Status.Progress), err
	})
	figure(b.t, name, "took", time.Since(began).Round(100*time.Millisecond))
	return o
}

// ask asks for what the examples ask for in a file, as an operation or as a patch.
func (b *bed) ask(way, file string) {
	b.t.Helper()
	if way == "patch" {
		b.patch(file)
		return
	}
	b.op(file)
}

var ways = []string{"op", "patch"}

// list lists the objects of the cluster.
func (b *bed) list(list client.ObjectList) error {
	err := b.c.List(b.ctx, list, client.InNamespace(demo), client.MatchingLabels{naming.LabelInstance: clusterName})
	if err != nil {
		return fmt.Errorf("list %T: %w", list, err)
	}
	return nil
}

func (b *bed) pods() (map[string]*corev1.Pod, error) {
	var list corev1.PodList
	err := b.list(&list)
	all := map[string]*corev1.Pod{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, err
}

func (b *bed) mustPods() map[string]*corev1.Pod {
	b.t.Helper()
	all, err := b.pods()
	require.NoError(b.t, err)
	return all
}

func (b *bed) claims() (map[string]*corev1.PersistentVolumeClaim, error) {
	var list corev1.PersistentVolumeClaimList
	err := b.list(&list)
	all := map[string]*corev1.PersistentVolumeClaim{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, err
}

func podName(ordinal int) string   { return fmt.Sprintf("%s-%d", set, ordinal) }
func claimName(ordinal int) string { return "data-" + podName(ordinal) }

func names[T any](all map[string]T) []string {
	var list []string
	for name := range all {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func ready(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// restarts is how often the node in a pod was started anew. Kubernetes lists containers in any order.
func restarts(p *corev1.Pod) int32 {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.Name == "qdrant" {
			return s.RestartCount
		}
	}
	return -1
}

// membership is GET /cluster.
type membership struct {
	ID    string `json:"cluster_id"`
	Peers map[string]struct {
		URI      string `json:"uri"`
		Fenced   bool   `json:"fenced"`
		Replicas int    `json:"replicas"`
	} `json:"peers"`
	Raft struct {
		Role string `json:"role"`
	} `json:"raft_info"`
}

// agree waits until every pod sees the same members, so many of them, and returns the cluster's
// identity.
func (b *bed) agree(members int) (id string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%d members everywhere", members), func() (string, error) {
		pods, err := b.pods()
		if err != nil || len(pods) != members {
			return fmt.Sprintf("%d pods", len(pods)), err
		}
		seen := map[string]bool{}
		for name := range pods {
			var m membership
			if err := b.door.at(podHost(name)).ask(b.ctx, "GET", "/cluster", nil, &m); err != nil {
				return "", err
			}
			if len(m.Peers) != members {
				return fmt.Sprintf("%s sees %d members", name, len(m.Peers)), nil
			}
			seen[m.ID] = true
			id = m.ID
		}
		if len(seen) != 1 {
			return fmt.Sprintf("%d identities", len(seen)), nil
		}
		return "", nil
	})
	return id
}

// spread waits until no node has more than one copy more than another.
func (b *bed) spread() {
	b.t.Helper()
	b.eventually("copies spread", func() (string, error) {
		var m membership
		if _, err := b.door.patiently(b.ctx, "GET", "/cluster", nil, &m); err != nil {
			return "", err
		}
		var counts []int
		for _, p := range m.Peers {
			counts = append(counts, p.Replicas)
		}
		if slices.Max(counts)-slices.Min(counts) > 1 {
			return fmt.Sprintf("nodes have %v", counts), nil
		}
		return "", nil
	})
}

// inSync waits until every shard of c1 has both its copies, in sync.
func (b *bed) inSync() {
	const collection, copies = "c1", 2
	b.t.Helper()
	b.eventually(collection+" in sync", func() (string, error) {
		counts, err := b.copies(collection)
		for shard, n := range counts {
			if n < copies {
				return fmt.Sprintf("shard %d has %d copies", shard, n), err
			}
		}
		return "", err
	})
}

// copies are the numbers of active copies by shard.
func (b *bed) copies(collection string) (map[int]int, error) {
	type replica struct {
		Shard int    `json:"shard_id"`
		State string `json:"state"`
	}
	var layout struct {
		Local  []replica `json:"local_shards"`
		Remote []replica `json:"remote_shards"`
	}
	_, err := b.door.patiently(b.ctx, "GET", "/collections/"+collection+"/cluster", nil, &layout)
	counts := map[int]int{}
	for _, r := range append(layout.Local, layout.Remote...) {
		counts[r.Shard] += 0
		if r.State == "Active" {
			counts[r.Shard]++
		}
	}
	if err == nil && len(counts) == 0 {
		err = fmt.Errorf("%s has no shards", collection)
	}
	return counts, err
}

// clear removes the cluster and all that belongs to it.
func (b *bed) clear() {
	b.t.Helper()
	require.NoError(b.t, b.c.DeleteAllOf(b.ctx, &operationsv1alpha1.OpsRequest{}, client.InNamespace(demo)))
	c, err := b.cluster()
	if apierrors.IsNotFound(err) {
		return
	}
	require.NoError(b.t, err)
	began := time.Now()
	b.change(func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = appsv1.WipeOut })
	require.NoError(b.t, client.IgnoreNotFound(b.c.Delete(b.ctx, c)))
	b.gone()
	figure(b.t, "cluster", "delete to gone", time.Since(began).Round(100*time.Millisecond))
}

// gone waits until nothing of the cluster is left, and tells what was waited for when that takes long.
func (b *bed) gone() {
	b.t.Helper()
	began := time.Now()
	last := ""
	b.eventually("everything gone", func() (string, error) {
		why, err := b.left()
		if why != last && time.Since(began) > 30*time.Second {
			b.t.Logf("%s after the deletion: %s", time.Since(began).Round(time.Second), why)
		}
		last = why
		return why, err
	})
}

// left says what is left of the cluster.
func (b *bed) left() (string, error) {
	for _, list := range []client.ObjectList{
		&appsv1.ClusterList{}, &appsv1.ComponentList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{}, &corev1.ServiceList{},
		&corev1.SecretList{},
	} {
		err := b.list(list)
		if _, ours := list.(*appsv1.ClusterList); ours && err == nil {
			err = b.c.List(b.ctx, list, client.InNamespace(demo)) // it has the label of nobody
		}
		if items, _ := meta.ExtractList(list); err != nil || len(items) > 0 {
			return fmt.Sprintf("%d of %T are left", len(items), list), err
		}
	}
	return "", nil
}

// describe prints what is known, for a test that failed.
func (b *bed) describe() {
	var out strings.Builder
	for _, list := range []client.ObjectList{&appsv1.ClusterList{}, &appsv1.ComponentList{}, &operationsv1alpha1.OpsRequestList{}} {
		if err := b.c.List(b.ctx, list, client.InNamespace(demo)); err != nil {
			fmt.Fprintln(&out, err)
			continue
		}
		items, _ := meta.ExtractList(list)
		for _, item := range items {
			if o, ok := item.(client.Object); ok {
				o.SetManagedFields(nil)
			}
			text, err := sigsyaml.Marshal(item)
			fmt.Fprintf(&out, "--- %v\n%s", err, text)
		}
	}
	pods, err := b.pods()
	for _, name := range names(pods) {
		p := pods[name]
		fmt.Fprintf(&out, "pod %s on %s: %s, ready %t, deleted %v\n", name, p.Spec.NodeName, p.Status.Phase, ready(p), p.DeletionTimestamp)
		for _, s := range p.Status.ContainerStatuses {
			fmt.Fprintf(&out, "  %s: ready %t, restarts %d, %s\n", s.Name, s.Ready, s.RestartCount, s.State.String())
		}
	}
	var events corev1.EventList
	err2 := b.c.List(b.ctx, &events, client.InNamespace(demo))
	for i := range events.Items {
		e := &events.Items[i]
		fmt.Fprintf(&out, "event %s/%s %s: %s\n", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	b.t.Log(out.String(), err, err2)
}
