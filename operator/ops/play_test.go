package ops

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// TestPlays plays whole lives of operations:
//
//	cluster                       a cluster of three nodes that runs
//	create [file=example] [name=]   an operation, from the input or from examples/kubernetes/ops
//	patch ops|cluster name        a merge patch by a user
//	delete name                   deletes an operation
//	follow                        the other controllers take note of the Cluster
//	pod state name...             up, leads, going, new, failed, gone
//	settle                        everything comes to the state that is asked for
//	phase cluster component       phases of cluster and component
//	resize pod asked has          the size of a claim
//	service name [address] [gone]   a Service, with an address, or none any more
//	machine name                  there is a Node of that name
//	dropclaim pod, class pod name   a claim goes, or is of another storage class
//	restricted                    the set can't make the change under its podUpdatePolicy
//	refuse, accept                the server refuses changes of the Cluster, with the input, or not
//	show-rebuild                  the marks for rebuilds
//	delete-cluster                the cluster begins to go
//	agent [done] [word=] [deaf]   how actions go
//	needs mebibytes pod...        how much memory nodes need; others don't answer
//	too-little                    the Cluster's spec is refused, with the input
//	later duration                time passes
//
// After each the reconciler runs until it is at rest, and what changed is shown.
func TestPlays(t *testing.T) {
	datadriven.Walk(t, "testdata/plays", func(t *testing.T, path string) {
		t.Helper()
		w := newWorld(t, false)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			w.t = t
			w.do(d)
			w.reconcile()
			return w.show()
		})
		w.t = t
		writes := w.writes
		w.reconcile()
		require.Equal(t, writes, w.writes, "writes at rest")
	})
}

// TestKilled plays them with operators that die, one before each write that the play takes: those that come after
// must reach the same end.
func TestKilled(t *testing.T) {
	datadriven.Walk(t, "testdata/plays", func(t *testing.T, path string) {
		t.Helper()
		play := func(frail bool) string {
			w := newWorld(t, frail)
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				w.t = t
				w.do(d)
				w.reconcile()
				return d.Expected
			})
			w.t = t
			return w.all()
		}
		require.Equal(t, play(false), play(true))
	})
}

func (w *world) do(d *datadriven.TestData) {
	arg := func(i int) string { return d.CmdArgs[i].Key }
	switch d.Cmd {
	case "cluster":
		w.cluster()
	case "create":
		w.createOps(d)
	case "patch":
		w.patch(arg(0), arg(1), d.Input)
	case "delete":
		op := &opsv1.OpsRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: arg(0)}}
		require.NoError(w.t, w.client.Delete(w.ctx, op))
	case "follow":
		w.follow()
	case "pod":
		for i := 1; i < len(d.CmdArgs); i++ {
			w.pod(naming.Component(clusterName, component)+"-"+arg(i), arg(0))
		}
	case "settle":
		w.settle()
	case "phase":
		w.phase(appsv1.ClusterPhase(arg(0)), appsv1.ComponentPhase(arg(1)))
	case "resize":
		w.resize(naming.Component(clusterName, component)+"-"+arg(0), arg(1), arg(2))
	case "machine":
		w.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: arg(0)}})
	case "dropclaim":
		w.dropClaim(naming.Component(clusterName, component) + "-" + arg(0))
	case "class":
		edit(w, naming.Claim("data", naming.Component(clusterName, component)+"-"+arg(0)), &corev1.PersistentVolumeClaim{},
			func(o *corev1.PersistentVolumeClaim) { o.Spec.StorageClassName = new(arg(1)) })
	case "show-rebuild":
		set := &workloadsv1.InstanceSet{}
		w.read(naming.Component(clusterName, component), set)
		w.told = append(w.told, set.Annotations[naming.AnnotationRebuild])
	case "refuse":
		w.refuses = d.Input
	case "accept":
		w.refuses = ""
	case "delete-cluster":
		edit(w, clusterName, &appsv1.Cluster{}, func(o *appsv1.Cluster) { o.Finalizers = []string{naming.FinalizerCluster} })
		require.NoError(w.t, w.client.Delete(w.ctx, &appsv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clusterName}}))
	case "service":
		w.service(d)
	case "agent":
		w.agents.outcome, w.agents.deafness = nodes.Outcome{}, ""
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "done":
				w.agents.outcome.Done = true
			case "word":
				w.agents.outcome = nodes.Outcome{Done: true, Word: a.Vals[0], Message: d.Input}
			case "deaf":
				w.agents.deafness = "connection refused"
			}
		}
	case "restricted":
		edit(w, naming.Component(clusterName, component), &workloadsv1.InstanceSet{}, func(o *workloadsv1.InstanceSet) {
			o.Status.Conditions = []metav1.Condition{{
				Type: workloadsv1.ConditionInstanceUpdateRestricted, Status: metav1.ConditionTrue, Reason: "StrictInPlace", Message: d.Input,
				LastTransitionTime: metav1.NewTime(w.now),
			}}
		})
	case "needs":
		mebibytes, err := strconv.ParseUint(arg(0), 10, 64)
		require.NoError(w.t, err)
		w.agents.needs = map[string]uint64{}
		for i := 1; i < len(d.CmdArgs); i++ {
			w.agents.needs[naming.Component(clusterName, component)+"-"+arg(i)] = mebibytes << 20
		}
	case "too-little":
		edit(w, clusterName, &appsv1.Cluster{}, func(o *appsv1.Cluster) {
			o.Status.Conditions = []metav1.Condition{{
				Type: appsv1.ConditionProvisioningStarted, Status: metav1.ConditionFalse, Reason: memory.ReasonBelowNeed, Message: d.Input,
				ObservedGeneration: o.Generation, LastTransitionTime: metav1.NewTime(w.now),
			}}
		})
	case "later":
		by, err := time.ParseDuration(arg(0))
		require.NoError(w.t, err)
		w.now = w.now.Add(by)
	default:
		w.t.Fatalf("unknown command %s", d.Cmd)
	}
}

// createOps creates operations; times of creation differ, as they mostly do.
func (w *world) createOps(d *datadriven.TestData) {
	text, times, name := d.Input, 1, ""
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "file":
			content, err := os.ReadFile(filepath.Join(examples, "ops", a.Vals[0]+".yaml"))
			require.NoError(w.t, err)
			text = string(content)
		case "name":
			name = a.Vals[0]
		case "times":
			times, _ = strconv.Atoi(a.Vals[0])
		}
	}
	for i := range times {
		op := &opsv1.OpsRequest{}
		require.NoError(w.t, yaml.UnmarshalStrict([]byte(text), op))
		op.Namespace = namespace
		if op.Spec.ClusterName == "" {
			op.Spec.ClusterName = clusterName
		}
		if name != "" {
			op.Name = name
		}
		if times > 1 {
			op.Name += "-" + strconv.Itoa(i)
		}
		w.create(op)
	}
}

func (w *world) service(d *datadriven.TestData) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: d.CmdArgs[0].Key}}
	require.NoError(w.t, client.IgnoreNotFound(w.client.Delete(w.ctx, service)))
	service.ResourceVersion = ""
	service.Spec.Type = corev1.ServiceTypeLoadBalancer
	for _, a := range d.CmdArgs[1:] {
		switch {
		case a.Key == "gone":
			return
		case strings.Contains(a.Key, "."):
			service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: a.Key}}
		}
	}
	w.create(service)
}
