package instanceset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/client"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/ordinals"
)

// look is how often roles are asked for while pods exist.
const look = 5 * time.Second

// soon is when to look again when the next step only waits for what was just done.
const soon = time.Second

// planner makes one decision.
type planner struct {
	o   *Observed
	set *workloadsv1.InstanceSet
	d   Decision
	// all are the instances that are known, by name: those that should run, then those that leave.
	all map[string]*instance
	// wanted should run, in the order of their names; leaving should not, and aren't gone yet.
	wanted, leaving []*instance
	// down says that something is taken down, or held up, in this round: nothing else may be.
	down bool
	// work and doing say what is under way, for the status.
	work  string
	doing []string
	// failures are instances that can't become ready by waiting, or wishes that can't be met.
	failures []failure
	// restricted are the instances that podUpdatePolicy keeps from being updated.
	restricted []string
}

type failure struct{ reason, message string }

// instance is one instance, as it is and as it should be.
type instance struct {
	ordinals.Slot

	wanted bool
	pod    *corev1.Pod
	claims map[string]*corev1.PersistentVolumeClaim // by template
	before *workloadsv1.InstanceStatus              // what the status says of it; nil is nothing
	tpl    *corev1.PodTemplateSpec
	rev    revision
	role   string
	// ready and available are those of the pod; gone says that it is to be deleted in this round.
	ready, available, gone bool
	// failed says that waiting doesn't help.
	failed bool
	// left says that its node is no member of the cluster.
	left bool
	// undraining says that it isn't known yet whether its node may have copies again.
	undraining bool
	messages   []string
}

func (i *instance) say(format string, args ...any) {
	i.messages = append(i.messages, fmt.Sprintf(format, args...))
}

// fail notes that waiting doesn't help an instance.
func (p *planner) fail(i *instance, reason, message string) {
	i.failed = true
	i.say("%s", message)
	p.failures = append(p.failures, failure{reason, i.Name + ": " + message})
}

// broken tells whether the pod serves nobody, and won't by waiting.
func (i *instance) broken() bool {
	if i.pod == nil || i.ready {
		return false
	}
	reason, _ := trouble(i.pod)
	return reason != "" || i.pod.Spec.NodeName == ""
}

// upToDate tells whether the pod is the newest, and runs as such.
func (i *instance) upToDate() bool {
	return i.pod != nil && i.pod.Labels[naming.LabelRevision] == i.rev.all
}

// Plan decides what is to be done. It is pure.
func Plan(o *Observed) (Decision, error) {
	p := &planner{o: o, set: o.Set, all: map[string]*instance{}}
	if o.Set.Spec.Paused && o.Set.DeletionTimestamp == nil {
		return Decision{}, nil
	}
	if err := p.instances(); err != nil {
		return Decision{}, err
	}
	switch {
	case o.Set.DeletionTimestamp != nil:
		p.remove()
	case !slices.Contains(o.Set.Finalizers, naming.FinalizerInstanceSet):
		p.d.AddFinalizer = true
		p.d.Requeue = soon
		return p.d, nil
	case o.Set.Spec.Stop != nil && *o.Set.Spec.Stop:
		p.stop()
	default:
		p.run()
	}
	if len(p.d.Ask) > 0 {
		return Decision{Ask: p.d.Ask}, nil
	}
	if o.Set.DeletionTimestamp == nil {
		p.d.Status = p.status()
	}
	if p.d.Requeue == 0 && len(o.Pods)+len(p.d.CreatePods) > 0 {
		p.d.Requeue = look
	}
	return p.d, nil
}

// run keeps a set running. The order is that of DESIGN.md.
func (p *planner) run() {
	p.roles()
	p.heal()
	p.claims()
	p.create()
	p.undrain()
	p.leave()
	p.update()
	p.troubles()
}

// stop takes all pods down. Nobody leaves the cluster: they come back.
func (p *planner) stop() {
	for i := range p.o.Pods {
		p.work = "Stopping"
		p.deletePod(&p.o.Pods[i], "Stopped", "the set is stopped")
	}
}

// remove takes everything down that goes with the set.
func (p *planner) remove() {
	for i := range p.o.Pods {
		p.deletePod(&p.o.Pods[i], "Deleted", "the set is deleted")
	}
	if len(p.o.Pods) > 0 {
		return
	}
	policy := p.set.Spec.PersistentVolumeClaimRetentionPolicy
	if retained := policy != nil && policy.WhenDeleted == appsv1.RetainClaims; !retained && !p.comesBack() {
		for i := range p.o.Claims {
			p.deleteClaim(&p.o.Claims[i], "Deleted", "the set is deleted")
		}
	}
	p.d.RemoveFinalizer = slices.Contains(p.set.Finalizers, naming.FinalizerInstanceSet)
}

// comesBack tells whether a set that was deleted will be made anew, because its cluster stays: somebody deleted the set or its Component
// by hand, or had Kubernetes remove what a cluster owns before the cluster, whose policy keeps it. Its claims wait for it.
func (p *planner) comesBack() bool {
	c := p.o.Cluster
	return c != nil && (c.DeletionTimestamp == nil || c.Spec.TerminationPolicy == appsv1.DoNotTerminate)
}

// deletePod has a pod go, forcibly when its kubelet is gone.
func (p *planner) deletePod(pod *corev1.Pod, reason, why string) {
	if i := p.all[pod.Name]; i != nil {
		i.gone = true
	}
	lost := pod.Spec.NodeName != "" && p.nodeLost(pod.Spec.NodeName)
	twice := slices.ContainsFunc(p.d.DeletePods, func(d PodDeletion) bool { return d.Pod.UID == pod.UID })
	if !twice && (pod.DeletionTimestamp == nil || lost) {
		p.d.DeletePods = append(p.d.DeletePods, PodDeletion{Pod: pod, Force: lost, Reason: reason, Why: why})
	}
}

// patchPod adds to what is changed of a pod: there is one patch for each pod, else the second one would
// be about a pod that is no longer as it was.
func (p *planner) patchPod(one PodPatch) {
	for n := range p.d.PatchPods {
		have := &p.d.PatchPods[n]
		if have.Pod.UID == one.Pod.UID {
			have.Labels, have.Annotations = merged(have.Labels, one.Labels), merged(have.Annotations, one.Annotations)
			have.Images, have.Reason, have.Why = one.Images, one.Reason, one.Why
			return
		}
	}
	p.d.PatchPods = append(p.d.PatchPods, one)
}

func (p *planner) deleteClaim(c *corev1.PersistentVolumeClaim, reason, why string) {
	if c.DeletionTimestamp == nil {
		p.d.DeleteClaims = append(p.d.DeleteClaims, ClaimDeletion{Claim: c, Reason: reason, Why: why})
	}
}

// instances finds out which instances there are and should be.
func (p *planner) instances() error {
	existing := p.existing()
	chosen, missing := slots(p.set, existing)
	if missing != "" {
		p.failures = append(p.failures, failure{"OrdinalsExhausted", missing})
	}
	for _, s := range chosen {
		i := &instance{Slot: s, wanted: true}
		p.all[s.Name] = i
		p.wanted = append(p.wanted, i)
	}
	for name, k := range existing {
		if p.all[name] == nil {
			p.all[name] = &instance{Slot: p.slotOf(name, k.Template)}
		}
	}
	p.attach()
	if err := p.revisions(); err != nil {
		return err
	}
	for _, i := range p.all {
		i.undraining = i.wanted && i.released()
		// A pod is said to be ready for a while after its Kubernetes node fell silent.
		silent := i.pod != nil && i.pod.Spec.NodeName != "" && p.notReady(i.pod.Spec.NodeName)
		i.ready = podReady(i.pod, p.o.Now) && !silent
		i.available = i.ready && podAvailable(i.pod, p.set.Spec.MinReadySeconds, p.o.Now)
		if !i.wanted && (i.pod != nil || i.before != nil || !allLeft(i.claims)) {
			p.leaving = append(p.leaving, i)
		}
	}
	slices.SortFunc(p.leaving, func(a, b *instance) int { return byOrdinal(b, a) })
	return nil
}

// attach gives instances their pods, their claims, and what the status says of them.
func (p *planner) attach() {
	for n := range p.o.Pods {
		p.all[p.o.Pods[n].Name].pod = &p.o.Pods[n]
	}
	for n := range p.o.Claims {
		c := &p.o.Claims[n]
		if i := p.all[c.Labels[naming.LabelPodName]]; i != nil {
			if i.claims == nil {
				i.claims = map[string]*corev1.PersistentVolumeClaim{}
			}
			i.claims[c.Labels[naming.LabelClaimTemplate]] = c
		}
	}
	for n := range p.set.Status.InstanceStatus {
		before := &p.set.Status.InstanceStatus[n]
		if i := p.all[before.PodName]; i != nil {
			i.before = before
		}
	}
}

// revisions gives instances their templates, which are the same for all of one template.
func (p *planner) revisions() error {
	type made struct {
		tpl *corev1.PodTemplateSpec
		rev revision
	}
	known := map[*appsv1.InstanceTemplate]made{}
	for _, i := range p.all {
		m, ok := known[i.Template]
		if !ok {
			var err error
			m.tpl = templateOf(p.set, i.Template)
			if m.rev, err = revisionOf(p.set, i.Template, m.tpl); err != nil {
				return fmt.Errorf("instance %s: hash its template: %w", i.Name, err)
			}
			known[i.Template] = m
		}
		i.tpl, i.rev = m.tpl, m.rev
	}
	return nil
}

// byOrdinal orders instances from the lowest ordinal.
func byOrdinal(a, b *instance) int {
	if a.Ordinal != b.Ordinal {
		return int(a.Ordinal) - int(b.Ordinal)
	}
	return strings.Compare(a.Name, b.Name)
}

// allLeft tells whether claims are only kept for their data: their node has left.
func allLeft(claims map[string]*corev1.PersistentVolumeClaim) bool {
	for _, c := range claims {
		if c.Annotations[naming.AnnotationLeft] == "" {
			return false
		}
	}
	return true
}

// existing lists the instances that there are, or were a moment ago.
func (p *planner) existing() map[string]ordinals.Known {
	out := map[string]ordinals.Known{}
	for n := range p.set.Status.InstanceStatus {
		s := &p.set.Status.InstanceStatus[n]
		out[s.PodName] = ordinals.Known{Runs: s.DesiredState == workloadsv1.InstanceActive, Template: s.TemplateName}
	}
	for n := range p.o.Claims {
		if name := p.o.Claims[n].Labels[naming.LabelPodName]; name != "" {
			k := out[name]
			out[name] = k
		}
	}
	for n := range p.o.Pods {
		pod := &p.o.Pods[n]
		out[pod.Name] = ordinals.Known{Runs: true, Template: pod.Labels[naming.LabelTemplate]}
	}
	return out
}

// slotOf finds what an instance was made from that isn't wanted any more.
func (p *planner) slotOf(name, template string) ordinals.Slot {
	ordinal, _ := naming.Ordinal(name)
	s := ordinals.Slot{Name: name, Ordinal: ordinal}
	for n := range p.set.Spec.Instances {
		t := &p.set.Spec.Instances[n]
		if t.Name == template || template == "" && !p.set.Spec.FlatInstanceOrdinal && naming.Instance(p.set.Name, t.Name, ordinal) == name {
			s.Template = t
		}
	}
	return s
}

// founding is the only pod that may be made before the cluster is founded; "" is that it is.
func (p *planner) founding() string { return p.set.Annotations[naming.AnnotationFounding] }

// accepted tells whether the user gave up what would be lost with an instance.
func (p *planner) accepted(name string) bool {
	for one := range strings.SplitSeq(p.set.Annotations[naming.AnnotationAcceptDataLoss], ",") {
		if strings.TrimSpace(one) == name {
			return true
		}
	}
	return false
}

// progress notes what is under way; the first work gives the reason.
func (p *planner) progress(work, format string, args ...any) {
	if p.work == "" {
		p.work = work
	}
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.doing, text) {
		p.doing = append(p.doing, text)
	}
}

// ask returns the answer to a question, or has it asked.
func (p *planner) ask(q Question) (Answer, bool) {
	a, ok := p.o.Answers[q]
	if !ok && !slices.Contains(p.d.Ask, q) {
		p.d.Ask = append(p.d.Ask, q)
	}
	return a, ok
}

var (
	errAsked    = errors.New("the nodes are being asked")
	errNoLeader = errors.New("no node leads the consensus")
)

// view returns the cluster as its nodes see it. A node that knows no leader may be cut off from the
// others: what it says is old.
func (p *planner) view() (*client.View, error) {
	a, ok := p.ask(Question{Kind: AskView})
	switch {
	case !ok:
		return nil, errAsked
	case a.Err != nil:
		return nil, fmt.Errorf("no node answers: %w", a.Err)
	case a.View == nil || a.View.Cluster == nil:
		return nil, errors.New("no node answers")
	case a.View.Cluster.Enabled() && a.View.Cluster.Raft.Leader == 0:
		return nil, errNoLeader
	}
	return a.View, nil
}

// viewBut is the view as it will be once the nodes have noticed which pods are down: all that aren't
// ready count as gone, but one. Where it is about more than a while (forGood), those count as gone, too,
// whose disk is.
func (p *planner) viewBut(but *instance, forGood bool) (*client.View, error) {
	v, err := p.view()
	if err != nil {
		return nil, err
	}
	c := *v.Cluster
	c.Peers = maps.Clone(c.Peers)
	for _, i := range p.all {
		if i == but || i.ready && !i.gone && (!forGood || !losing(i)) {
			continue
		}
		if id, err := p.peer(v, i); err == nil {
			peer := c.Peers[id]
			peer.Fenced = true
			c.Peers[id] = peer
		}
	}
	return &client.View{Cluster: &c, Collections: v.Collections}, nil
}

// losing tells whether an instance loses its disk as soon as its pod ends.
func losing(i *instance) bool {
	for _, c := range i.claims {
		if c.DeletionTimestamp != nil {
			return true
		}
	}
	return false
}

// peer finds the node of an instance.
func (p *planner) peer(v *client.View, i *instance) (uint64, error) {
	return v.Cluster.PeerOfPod(i.Name, naming.InstanceFQDN(p.set.Name, i.Name, p.set.Namespace, p.o.ClusterDomain))
}

// only says which shards would be lost with an instance, "" is none.
func (p *planner) only(i *instance) (lost string, err error) {
	v, err := p.viewBut(i, true)
	if err != nil {
		return "", err
	}
	id, err := p.peer(v, i)
	if errors.Is(err, client.ErrNoPeer) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return shardNames(v.OnlyOn(id)), nil
}

// shardNames lists shards, not all of them when there are many.
func shardNames(shards []client.Shard) string {
	const most = 10
	var names []string
	for n := range shards {
		if n == most {
			names = append(names, fmt.Sprintf("%d more", len(shards)-most))
			break
		}
		names = append(names, shards[n].String())
	}
	return strings.Join(names, ", ")
}
