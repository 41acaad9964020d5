package kubernetes_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/internal/testbed/history"
	"github.com/sextantdb/sextant/internal/testbed/load"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/kubernetes/schedule"
)

const (
	// envChaos is how long TestChaos goes on, envSeed what it does.
	envChaos, envSeed = "CHAOS_DURATION", "CHAOS_SEED"
	// register is the collection whose points are written again and again. Like c1 it has chaosShards shards, with chaosCopies
	// copies of each.
	register                 = "register"
	chaosShards, chaosCopies = 4, 2
	// stepLimit is how long the cluster may take to be well again after anything.
	stepLimit = 10 * time.Minute
	// verdict is how long the history of a point may be looked at after a step, and lastVerdict in the end, when there are
	// many and each has been looked at before.
	verdict, lastVerdict = 20 * time.Second, 2 * time.Second
)

// TestChaos treats a cluster badly for CHAOS_DURATION, while users operate it and clients write and read. After each step it waits
// until all is well, and checks that no acknowledged write is lost, that what clients saw can be true, and that there is one
// cluster with one leader. The seed chooses what is done, not what comes of it.
func TestChaos(t *testing.T) {
	text := os.Getenv(envChaos)
	if text == "" {
		t.Skip(envChaos + " is not set: run `make chaos-kubernetes`")
	}
	duration, err := time.ParseDuration(text)
	require.NoError(t, err)
	seed := chaosSeed(t)
	c := startChaos(t, seed)
	end := time.Now().Add(duration)
	steps := 0
	for s := schedule.New(seed); time.Now().Before(end); steps++ {
		c.step(s.Next())
	}
	c.finish()
	figure(t, "chaos for "+duration.String(), "steps", steps)
}

func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64() //nolint:gosec // any will do
	if text := os.Getenv(envSeed); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", envSeed, seed)
	return seed
}

// chaos is a cluster that is treated badly.
type chaos struct {
	t    *testing.T
	b    *bed
	out  *outage
	load *load.Load
	// id is the identity of the cluster.
	id string
	// written are the points that nobody writes any more.
	written []uint64
	// unsettled are the times in which reads of any copy may be old, because a node may not know yet that it is out of sync.
	unsettled []span

	mu        sync.Mutex
	strangers []string // guarded by mu: nodes that belong to another cluster
}

// span is from one time of the history to another.
type span struct{ from, to time.Duration }

// startChaos makes the cluster, and has clients work on it until the test is over.
func startChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	b := newBed(t)
	c := &chaos{t: t, b: b, out: newOutage(t)}
	t.Cleanup(func() {
		if t.Failed() {
			c.describe()
		}
	})
	b.runs(3)
	b.door.fill(t)
	b.door.must(t, http.MethodDelete, "/collections/c2", nil) // with one copy it would be lost by all rights
	b.door.must(t, http.MethodPut, "/collections/"+register, map[string]any{
		"vectors":      map[string]any{"size": load.Dim, "distance": "Euclid"},
		"shard_number": chaosShards, "replication_factor": chaosCopies,
	})
	c.id = b.agree(3)
	c.settle("the start")

	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { c.watch(ctx) })
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	var clients []load.Client
	for i := range 6 {
		clients = append(clients, load.NewREST(fmt.Sprintf("client %d", i), b.door.base, register, &http.Client{Transport: chaosTransport()}))
	}
	c.load = load.Start(t, seed, 50*time.Millisecond, clients)
	c.progress()
	return c
}

// chaosTransport may reach another node with each request, and doesn't wait long for one that is gone.
func chaosTransport() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}
}

// step does what is due, and expects that all is well in the end.
func (c *chaos) step(s schedule.Step) {
	c.t.Helper()
	began, from := time.Now(), c.load.Log.Now()
	c.t.Logf("%s %s", began.Format(time.TimeOnly), s)
	op := c.ask(s)
	if s.Fault != schedule.NoFault {
		if op != "" {
			require.NoError(c.t, pause(c.b.ctx, s.After))
		}
		c.fault(s)
	}
	if op != "" {
		c.done(op, s)
	}
	c.settle(s.String())
	if s.Fault == schedule.CutMachine {
		c.unsettled = append(c.unsettled, span{from, c.load.Log.Now()})
	}
	figure(c.t, s.String(), "well again after", time.Since(began).Round(time.Second))
	c.check()
}

// ask asks for the operation of a step, and returns its name; "" is none.
func (c *chaos) ask(s schedule.Step) string {
	c.t.Helper()
	name := func(o *operationsv1alpha1.OpsRequest) { o.Name = fmt.Sprintf("chaos-%d", s.Number) }
	switch s.Operation {
	case schedule.Restart:
		return c.b.request("restart.yaml", name)
	case schedule.Enlarge:
		return c.b.request("vertical-scaling.yaml", name, resources("600m", "640Mi"))
	case schedule.Shrink:
		return c.b.request("vertical-scaling.yaml", name, resources("500m", "512Mi"))
	case schedule.ScaleOut:
		return c.b.request("scale-out.yaml", name)
	case schedule.ScaleIn:
		return c.b.request("scale-in.yaml", name)
	case schedule.Upgrade:
		return c.b.request("upgrade.yaml", name, toVersion("1.14.0"))
	case schedule.Downgrade:
		return c.b.request("upgrade.yaml", name, toVersion("1.10.0"))
	case schedule.Switchover:
		pods := c.b.mustPods()
		followers := slices.DeleteFunc(names(pods), func(n string) bool { return pods[n].Labels[naming.LabelRole] == "leader" })
		return c.b.request("switchover.yaml", name, func(o *operationsv1alpha1.OpsRequest) {
			o.Spec.Switchover[0].InstanceName, o.Spec.Switchover[0].CandidateName = "*", followers[s.Pod%len(followers)]
		})
	default:
		return ""
	}
}

func resources(cpu, memory string) func(*operationsv1alpha1.OpsRequest) {
	return func(o *operationsv1alpha1.OpsRequest) {
		list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
		o.Spec.VerticalScaling[0].Resources = appsv1.Resources{Limits: list, Requests: list}
	}
}

func toVersion(v string) func(*operationsv1alpha1.OpsRequest) {
	return func(o *operationsv1alpha1.OpsRequest) { o.Spec.Upgrade.Components[0].ServiceVersion = &v }
}

// done waits until an operation has succeeded. A switchover may fail when the one that hands over, or takes over, is gone.
func (c *chaos) done(name string, s schedule.Step) {
	c.t.Helper()
	o := new(operationsv1alpha1.OpsRequest)
	c.b.within(stepLimit, "operation of "+s.String(), func() (string, error) {
		err := c.b.c.Get(c.b.ctx, key(name), o)
		if err == nil && o.Status.Phase.Finished() {
			return "", nil
		}
		return fmt.Sprintf("it is %s, %s", o.Status.Phase, o.Status.Progress), err
	})
	if o.Status.Phase == operationsv1alpha1.OpsFailed && s.Operation == schedule.Switchover && s.Fault != schedule.NoFault {
		c.t.Logf("%s: it failed: %v", s, o.Status.Conditions)
	} else {
		require.Equal(c.t, operationsv1alpha1.OpsSucceed, o.Status.Phase, "%s: %v", s, o.Status.Conditions)
	}
	require.NoError(c.t, client.IgnoreNotFound(c.b.c.Delete(c.b.ctx, o)))
}

// fault treats the cluster badly, and ends doing so.
func (c *chaos) fault(s schedule.Step) {
	c.t.Helper()
	switch s.Fault {
	case schedule.CrashNode:
		c.crash(s)
	case schedule.DeletePod:
		pod := c.chosen(s, c.b.mustPods())
		require.NoError(c.t, client.IgnoreNotFound(c.b.c.Delete(c.b.ctx, pod, client.GracePeriodSeconds(0))))
		c.another(pod, s)
	case schedule.CutMachine, schedule.KillMachine:
		c.machine(s)
	case schedule.KillOperator:
		c.b.killOperator()
	case schedule.LoseDisk:
		c.loseDisk(s)
	default:
	}
}

// chosen is the pod that a step is about, of those that there are.
func (c *chaos) chosen(s schedule.Step, pods map[string]*corev1.Pod) *corev1.Pod {
	c.t.Helper()
	all := names(pods)
	require.NotEmpty(c.t, all)
	return pods[all[s.Pod%len(all)]]
}

func (c *chaos) crash(s schedule.Step) {
	c.t.Helper()
	pod := c.chosen(s, c.b.mustPods())
	if err := c.out.f.crash(pod.UID); err != nil {
		// An operation may have taken it down a moment ago.
		require.NotEqual(c.t, schedule.NoOperation, s.Operation, "%v", err)
		c.t.Logf("%s: %v", s, err)
		return
	}
	c.another(pod, s)
}

// another waits until a pod is another one, or has another process; one that leaves may be gone.
func (c *chaos) another(pod *corev1.Pod, s schedule.Step) {
	c.t.Helper()
	c.b.within(stepLimit, pod.Name+" anew", func() (string, error) {
		pods, err := c.b.pods()
		now := pods[pod.Name]
		if err == nil && (now == nil && s.Operation == schedule.ScaleIn || now != nil && (now.UID != pod.UID || restarts(now) > restarts(pod))) {
			return "", nil
		}
		return "not yet", err
	})
}

// machine takes a machine away for a while: one that has just one pod of the cluster. Where there is none a process is killed.
func (c *chaos) machine(s schedule.Step) {
	c.t.Helper()
	pods, many := c.b.mustPods(), map[string]int{}
	for _, p := range pods {
		many[p.Spec.NodeName]++
	}
	for name, p := range pods {
		if many[p.Spec.NodeName] != 1 || p.Spec.NodeName == "" {
			delete(pods, name)
		}
	}
	if len(pods) == 0 {
		c.t.Logf("%s: no machine has just one pod", s)
		c.crash(s)
		return
	}
	pod := c.chosen(s, pods)
	machine := pod.Spec.NodeName
	if s.Fault == schedule.CutMachine {
		c.out.cut(machine)
	} else {
		c.out.kill(machine)
	}
	require.NoError(c.t, pause(c.b.ctx, s.For))
	c.out.back(machine)
	c.ended(pod, s)
}

// ended waits until the process of a pod has ended that was replaced while its machine was away: the machine hears of that
// when it is back, and until then the process answers whoever still has its address.
func (c *chaos) ended(pod *corev1.Pod, s schedule.Step) {
	c.t.Helper()
	c.b.within(stepLimit, pod.Name+" as it was before "+s.String()+" to end", func() (string, error) {
		pods, err := c.b.pods()
		if now := pods[pod.Name]; err != nil || now != nil && now.UID == pod.UID {
			return "", err
		}
		runs, err := c.out.f.runs(pod.UID)
		if runs {
			return "it runs", err
		}
		return "", err
	})
}

// loseDisk takes a claim away with the pod that uses it.
func (c *chaos) loseDisk(s schedule.Step) {
	c.t.Helper()
	pod := c.chosen(s, c.b.mustPods())
	claims, err := c.b.claims()
	require.NoError(c.t, err)
	lost := claims["data-"+pod.Name]
	require.NotNil(c.t, lost)
	require.NoError(c.t, c.b.c.Delete(c.b.ctx, lost))
	require.NoError(c.t, client.IgnoreNotFound(c.b.c.Delete(c.b.ctx, pod, client.GracePeriodSeconds(0))))
	c.b.within(stepLimit, "another claim for "+pod.Name, func() (string, error) {
		claims, err := c.b.claims()
		if now := claims[lost.Name]; now != nil && now.UID != lost.UID {
			return "", err
		}
		return "not yet", err
	})
}

// settle waits until all is well: machines and pods are ready, all nodes see all others, one leads and is labelled so, and
// every copy is in sync.
func (c *chaos) settle(after string) {
	c.t.Helper()
	c.b.within(stepLimit, "all well after "+after, c.unwell)
}

// unwell says what isn't well.
func (c *chaos) unwell() (string, error) {
	cluster, err := c.b.cluster()
	if err != nil {
		return "", err
	}
	if s := &cluster.Status; s.Phase != appsv1.ClusterRunning || s.ObservedGeneration != cluster.Generation {
		return fmt.Sprintf("the cluster is %s (%s)", s.Phase, s.Message), nil
	}
	if why, err := c.machinesAway(); why != "" || err != nil {
		return why, err
	}
	pods, err := c.b.pods()
	if err != nil {
		return "", err
	}
	many := int(cluster.Spec.ComponentSpecs[0].Replicas)
	if len(pods) != many {
		return fmt.Sprintf("there are %d pods, not %d", len(pods), many), nil
	}
	leaders := 0
	for _, name := range names(pods) {
		if why, err := c.unwellAt(pods[name], many); why != "" || err != nil {
			return name + ": " + why, err
		}
		if pods[name].Labels[naming.LabelRole] == "leader" {
			leaders++
		}
	}
	if leaders != 1 {
		return fmt.Sprintf("%d pods are labelled as the leader", leaders), nil
	}
	return "", nil
}

// machinesAway says which machine isn't ready.
func (c *chaos) machinesAway() (string, error) {
	var list corev1.NodeList
	if err := c.b.c.List(c.b.ctx, &list); err != nil {
		return "", fmt.Errorf("list machines: %w", err)
	}
	for i := range list.Items {
		ready := slices.ContainsFunc(list.Items[i].Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready {
			return "machine " + list.Items[i].Name + " isn't ready", nil
		}
	}
	return "", nil
}

// unwellAt says what isn't well at a node, or as it sees the others.
func (c *chaos) unwellAt(p *corev1.Pod, many int) (string, error) {
	if !ready(p) {
		return "it isn't ready", nil
	}
	d := newDoor(podAddress(p), "")
	var m membership
	if err := d.ask(c.b.ctx, http.MethodGet, "/cluster", nil, &m); err != nil {
		return "it doesn't answer", err
	}
	require.Equal(c.t, c.id, m.ID, "%s belongs to another cluster", p.Name)
	if len(m.Peers) != many {
		return fmt.Sprintf("it sees %d members, not %d", len(m.Peers), many), nil
	}
	for _, peer := range m.Peers {
		if peer.Fenced {
			return peer.URI + " counts as gone", nil
		}
	}
	if role := p.Labels[naming.LabelRole]; !strings.EqualFold(role, m.Raft.Role) {
		return fmt.Sprintf("its label is %q, it says %q", role, m.Raft.Role), nil
	}
	for _, collection := range []string{"c1", register} {
		all, _, err := d.layout(c.b.ctx, collection)
		if err != nil {
			return "it doesn't tell of " + collection, err
		}
		if why := spread(all, chaosShards, chaosCopies); why != "" {
			return collection + ": " + why, nil
		}
	}
	return "", nil
}

// watch asks every node again and again to which cluster it belongs.
func (c *chaos) watch(ctx context.Context) {
	for pause(ctx, time.Second) == nil {
		pods, err := c.b.pods()
		if err != nil {
			continue // machines are away
		}
		for name, p := range pods {
			var m membership
			ask, cancel := context.WithTimeout(ctx, time.Second)
			if p.Status.PodIP != "" && newDoor(podAddress(p), "").ask(ask, http.MethodGet, "/cluster", nil, &m) == nil && m.ID != "" && m.ID != c.id {
				c.mu.Lock()
				c.strangers = append(c.strangers, fmt.Sprintf("%s belonged to %s at %s", name, m.ID, time.Now().Format(time.TimeOnly)))
				c.mu.Unlock()
			}
			cancel()
		}
	}
}

// progress waits until every client has got some writes acknowledged.
func (c *chaos) progress() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.b.ctx, stepLimit)
	defer cancel()
	require.NoError(c.t, c.load.Progress(ctx, 3), "every client writes")
}

// check holds what clients have seen since the last check against what there is now.
func (c *chaos) check() {
	c.t.Helper()
	c.progress()
	c.mu.Lock()
	require.Empty(c.t, c.strangers, "there is a second cluster")
	c.mu.Unlock()
	ids := c.load.Next()
	c.written = append(c.written, ids...)
	c.read(ids)
	c.judge(ids, verdict)
	c.b.door.whole(c.t, "c1")
}

// read reads points through every node, as they are now, and notes what it saw.
func (c *chaos) read(ids []uint64) {
	c.t.Helper()
	for name, p := range c.b.mustPods() {
		from := load.NewREST(name, "http://"+podAddress(p), register, &http.Client{Transport: chaosTransport()})
		for some := range slices.Chunk(ids, 500) {
			c.b.within(stepLimit, "points through "+name, func() (string, error) {
				ctx, cancel := context.WithTimeout(c.b.ctx, load.OpTime)
				defer cancel()
				op := history.Op{Client: c.load.Clients(), Kind: history.Read, Call: c.load.Log.Now(), Where: name + ", in the end"}
				got, err := from.Read(ctx, some, true)
				if err != nil {
					return "", err
				}
				op.Return = c.load.Log.Now()
				for _, op.ID = range some {
					op.Got = got[op.ID]
					c.load.Log.Add(op)
				}
				return "", nil
			})
		}
	}
}

// judge expects that what was seen of points can be true.
func (c *chaos) judge(ids []uint64, patience time.Duration) {
	c.t.Helper()
	about := map[uint64]bool{}
	for _, id := range ids {
		about[id] = true
	}
	ops := slices.DeleteFunc(c.load.Log.Ops(), func(o history.Op) bool { return !about[o.ID] })
	require.NoError(c.t, history.CheckAny(ops, c.exempt))
	undecided, err := history.CheckNow(ops, patience)
	require.NoError(c.t, err)
	c.t.Logf("%d operations on %d points can be true, %d operations failed so far", len(ops), len(ids), c.load.Failed())
	if undecided > 0 {
		c.t.Logf("no verdict on the histories of %d points in the time", undecided)
	}
}

// exempt tells whether a read of any copy may have been old.
func (c *chaos) exempt(o history.Op) bool {
	return slices.ContainsFunc(c.unsettled, func(s span) bool { return o.Return >= s.from && o.Call <= s.to })
}

// finish ends the load, and holds all that clients have ever seen against what there is.
func (c *chaos) finish() {
	c.t.Helper()
	c.load.End()
	c.written = append(c.written, c.load.Next()...)
	c.settle("the end")
	c.read(c.written)
	c.judge(c.written, lastVerdict)
	c.b.door.whole(c.t, "c1")
	c.b.within(stepLimit, "copies that are equal", c.differing)
	c.t.Logf("what failed how often: %v", c.load.Errors())
}
