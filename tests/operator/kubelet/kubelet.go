// Package kubelet stands in for all of Kubernetes that runs pods, where the operator is tested
// against nothing but an API server: scheduler, kubelets, volumes, garbage collector. Pods
// become processes of package engine, in the test itself.
//
// It does what matters to an operator the way Kubernetes does it: variables are resolved when a
// container starts and a missing one keeps it from starting; a pod that is deleted ends
// gracefully, and stays as long as nobody hears of its machine; a new image restarts the
// container in its pod; claims are bound to the machine of their first pod, stay with it,
// are protected while they are used, and grow; what has lost its owner goes.
//
// Like Kubernetes it works on what it sees, in rounds, and remembers only what runs.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/sextantdb/sextant/tests/operator/fleet"
)

const (
	// pace is the time between two rounds.
	pace = 50 * time.Millisecond
	// labelTest says to which test a machine belongs.
	labelTest = "test.sextantdb.example/namespace"
)

// Options are what a stand-in needs.
type Options struct {
	Config *rest.Config
	Scheme *runtime.Scheme
	// Namespace is the only one that it works for.
	Namespace string
	// World runs the processes.
	World *fleet.World
	// Machines is how many there are at first.
	Machines int
	// Log is told what couldn't be done.
	Log func(format string, args ...any)
}

// Kubelet is the stand-in. It is safe for concurrent use.
type Kubelet struct {
	o       Options
	cluster cluster.Cluster
	// client writes, and reads what was seen.
	client client.Client
	kinds  []client.ObjectList

	mu       sync.Mutex
	machines map[string]*machine
	running  map[types.UID]*container
	// bound are the machines that pods were bound to.
	bound map[types.UID]string
	// volumes are the volumes of claims that are bound.
	volumes map[types.UID]string
	// hold keeps claims from growing.
	hold bool
}

// machine is a node of Kubernetes.
type machine struct {
	name string
	// dead is one without power, cut one without network, gone one that was removed.
	dead, cut, gone bool
}

func (m *machine) silent() bool { return m.dead || m.cut || m.gone }

// container is what runs for a pod: its first container, which the others come and go with.
type container struct {
	machine *machine
	process *fleet.Process
	// images are those that run, by container; restarts is how often each began again.
	images   map[string]string
	restarts map[string]int32
	started  metav1.Time
	// problem keeps a container from starting.
	problem *corev1.ContainerStateWaiting
	ip      string
	// ending is closed when the process has ended.
	ending chan struct{}
}

// New makes a stand-in and its machines. The storage classes local, which is the default
// one and can grow, and local-fixed, which can't, are there for all tests.
func New(ctx context.Context, o Options) (*Kubelet, error) {
	c, err := cluster.New(o.Config, func(co *cluster.Options) {
		co.Scheme = o.Scheme
		co.Cache = cache.Options{DefaultNamespaces: map[string]cache.Config{o.Namespace: {}}}
	})
	if err != nil {
		return nil, fmt.Errorf("connect the kubelets: %w", err)
	}
	k := &Kubelet{
		o: o, cluster: c, client: c.GetClient(), machines: map[string]*machine{},
		running: map[types.UID]*container{}, bound: map[types.UID]string{}, volumes: map[types.UID]string{}, kinds: kinds(),
	}
	direct, err := client.New(o.Config, client.Options{Scheme: o.Scheme})
	if err != nil {
		return nil, fmt.Errorf("connect the kubelets: %w", err)
	}
	if err := ensureClasses(ctx, direct); err != nil {
		return nil, err
	}
	for range o.Machines {
		if _, err := k.addMachine(ctx, direct); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func ensureClasses(ctx context.Context, c client.Client) error {
	mode, keep := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete
	for name, grows := range map[string]bool{"local": true, "local-fixed": false} {
		class := &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "test.sextantdb.example/local",
			VolumeBindingMode: &mode, ReclaimPolicy: &keep, AllowVolumeExpansion: &grows,
		}
		if grows {
			class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		}
		if err := c.Create(ctx, class); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make the storage class %s: %w", name, err)
		}
	}
	return nil
}

// Run works until ctx ends. Processes that run then are the world's to end.
func (k *Kubelet) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- k.cluster.Start(ctx) }()
	if !k.cluster.GetCache().WaitForCacheSync(ctx) {
		return errors.Join(errors.New("the kubelets' caches aren't filled"), <-failed)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.round(ctx)
		case err := <-failed:
			if err != nil {
				return fmt.Errorf("watch for the kubelets: %w", err)
			}
			return nil
		}
	}
}

// round looks at everything once.
func (k *Kubelet) round(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var pods corev1.PodList
	var claims corev1.PersistentVolumeClaimList
	if err := errors.Join(k.client.List(ctx, &pods), k.client.List(ctx, &claims)); err != nil {
		k.complain(ctx, "look around", err)
		return
	}
	k.claims(ctx, &claims, &pods)
	k.forgotten(&pods)
	for i := range pods.Items {
		k.complain(ctx, "run "+pods.Items[i].Name, k.pod(ctx, &pods.Items[i], pods.Items))
	}
	k.complain(ctx, "collect garbage", k.collect(ctx))
}

// complain tells of an error that isn't only that the round worked on what was seen a moment ago.
func (k *Kubelet) complain(ctx context.Context, what string, err error) {
	if err == nil || ctx.Err() != nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return
	}
	k.o.Log("kubelets: %s: %v", what, err)
}

// addMachine makes a node of Kubernetes.
func (k *Kubelet) addMachine(ctx context.Context, c client.Client) (string, error) {
	m := &machine{name: fmt.Sprintf("%s-m%d", k.o.Namespace, len(k.machines)+1)}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.name, Labels: map[string]string{
		corev1.LabelHostname: m.name, labelTest: k.o.Namespace,
	}}}
	if err := c.Create(ctx, node); err != nil {
		return "", fmt.Errorf("make machine %s: %w", m.name, err)
	}
	k.machines[m.name] = m
	return m.name, k.condition(ctx, c, m)
}

// condition writes what Kubernetes knows of a machine.
func (k *Kubelet) condition(ctx context.Context, c client.Client, m *machine) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.name}}
	if err := c.Get(ctx, client.ObjectKeyFromObject(node), node); err != nil {
		return fmt.Errorf("look at machine %s: %w", m.name, err)
	}
	ready, reason := corev1.ConditionTrue, "KubeletReady"
	node.Spec.Taints = nil
	if m.silent() {
		ready, reason = corev1.ConditionUnknown, "NodeStatusUnknown"
		for _, effect := range []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute} {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: effect})
		}
	}
	if err := c.Update(ctx, node); err != nil {
		return fmt.Errorf("taint machine %s: %w", m.name, err)
	}
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: ready, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	if err := c.Status().Update(ctx, node); err != nil {
		return fmt.Errorf("set the state of machine %s: %w", m.name, err)
	}
	return nil
}

// AddMachine adds a machine and returns its name.
func (k *Kubelet) AddMachine(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addMachine(ctx, k.client)
}

// Kill takes the power from a machine, Cut its network; Heal ends both.
func (k *Kubelet) Kill(ctx context.Context, name string) error {
	return k.change(ctx, name, func(m *machine) { m.dead = true })
}

// Cut takes the network from a machine.
func (k *Kubelet) Cut(ctx context.Context, name string) error {
	return k.change(ctx, name, func(m *machine) { m.cut = true })
}

// Heal brings a machine back.
func (k *Kubelet) Heal(ctx context.Context, name string) error {
	return k.change(ctx, name, func(m *machine) { m.dead, m.cut = false, false })
}

// Remove takes a machine and its disks away for good: its node is deleted, and Kubernetes deletes
// its pods.
func (k *Kubelet) Remove(ctx context.Context, name string) error {
	if err := k.Kill(ctx, name); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.machines[name].gone = true
	if err := k.client.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return fmt.Errorf("remove machine %s: %w", name, err)
	}
	return nil
}

func (k *Kubelet) change(ctx context.Context, name string, do func(*machine)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.machines[name]
	if m == nil {
		return fmt.Errorf("there is no machine %s", name)
	}
	do(m)
	for _, c := range k.running {
		if c.machine != m || c.process == nil {
			continue
		}
		c.process.Cut(m.cut)
		if m.dead {
			c.process.Kill()
			c.process = nil
		}
	}
	return k.condition(ctx, k.client, m)
}

// Crash ends the process of a pod, as a fault in it would.
func (k *Kubelet) Crash(ctx context.Context, pod string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var p corev1.Pod
	if err := k.client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: pod}, &p); err != nil {
		return fmt.Errorf("find the pod that is to crash: %w", err)
	}
	c := k.running[p.UID]
	if c == nil || c.process == nil {
		return fmt.Errorf("pod %s doesn't run", pod)
	}
	c.process.Kill()
	c.process = nil
	return nil
}

// HoldGrowth keeps claims from growing, as a slow storage does.
func (k *Kubelet) HoldGrowth(yes bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hold = yes
}

// Disk is the disk of a claim, empty when it is bound to none.
func (k *Kubelet) Disk(ctx context.Context, claim string) (string, error) {
	var c corev1.PersistentVolumeClaim
	if err := k.client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: claim}, &c); err != nil {
		return "", fmt.Errorf("find claim %s: %w", claim, err)
	}
	return c.Spec.VolumeName, nil
}

// lastIP numbers the addresses of a test process; another process uses others.
var lastIP atomic.Uint32

func nextIP() string {
	n := lastIP.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()%128, n/250%250+1, n%250+1)
}

// version is what a process of an image says it is.
func version(image string) string {
	_, tag, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return tag
}

// missing tells whether an image can't be pulled: its name says so.
func missing(image string) bool { return strings.Contains(image, "missing") }

// schedule binds a pod to the machine that has its volumes, else to the one with the fewest pods; p is
// one of all.
func (k *Kubelet) schedule(ctx context.Context, p *corev1.Pod, all []corev1.Pod) error {
	pinned, err := k.pinned(ctx, p)
	if err != nil {
		return k.unschedulable(ctx, p, err.Error())
	}
	pods := map[string]int{}
	for i := range all {
		other := &all[i]
		if other.Spec.NodeName == "" { // it may not have been seen yet that it was bound
			other.Spec.NodeName = k.bound[other.UID]
		}
		pods[other.Spec.NodeName]++
	}
	if p.Spec.NodeName != "" {
		return nil
	}
	var names []string
	for name, m := range k.machines {
		if !m.silent() && (pinned == "" || pinned == name) && attracted(p, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return k.unschedulable(ctx, p, "no machine is there that may run the pod")
	}
	slices.SortFunc(names, func(a, b string) int {
		if pods[a] != pods[b] {
			return pods[a] - pods[b]
		}
		return strings.Compare(a, b)
	})
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: names[0]}}
	if err := k.client.SubResource("binding").Create(ctx, p, binding); err != nil {
		return fmt.Errorf("bind the pod: %w", err)
	}
	k.bound[p.UID] = names[0]
	return nil
}

// attracted tells whether a pod may run on a machine, as far as its affinity names machines.
func attracted(p *corev1.Pod, machine string) bool {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return slices.ContainsFunc(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(t.MatchFields, func(f corev1.NodeSelectorRequirement) bool {
			return f.Key == "metadata.name" && !slices.Contains(f.Values, machine)
		})
	})
}

// unschedulable says why a pod has no machine.
func (k *Kubelet) unschedulable(ctx context.Context, p *corev1.Pod, why string) error {
	return k.report(ctx, p, corev1.PodPending, []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: why,
	}}, nil, "")
}
