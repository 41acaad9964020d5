package instanceset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sextantdb/sextant/client"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// world is a small model of Kubernetes and of nodes of the engine: just enough of both to play what the
// plan decides. Its time passes in ticks.
type world struct {
	now    time.Time
	set    *workloadsv1.InstanceSet
	pods   map[string]*corev1.Pod
	claims map[string]*corev1.PersistentVolumeClaim
	knodes map[string]*corev1.Node
	// homes are the Kubernetes nodes of volumes.
	homes map[string]string
	uids  int
	// peers are the members of the cluster; disks say which peer's data is on the disk of a claim.
	peers  map[uint64]*member
	disks  map[types.UID]uint64
	next   uint64
	leader uint64
	shards []*shard
	// latched are the pods that were ready since they started.
	latched map[types.UID]bool
	// restarted are the pods of which a container started anew in this tick.
	restarted map[types.UID]bool
	// deaf keeps nodes and agents from answering, stuck copies from moving.
	deaf, stuck bool
	term        uint64
}

// member is a member of the cluster.
type member struct {
	pod              string
	fenced, draining bool
	// voter says that it counts for majorities: an odd number of members do.
	voter bool
}

// shard says which peers have a copy, and whether it is in sync.
type shard struct {
	name   string
	factor int
	copies map[uint64]bool
}

const tickTime = 5 * time.Second

func newWorld() *world {
	w := &world{
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), pods: map[string]*corev1.Pod{}, claims: map[string]*corev1.PersistentVolumeClaim{},
		knodes: map[string]*corev1.Node{}, homes: map[string]string{}, peers: map[uint64]*member{}, disks: map[types.UID]uint64{},
		latched: map[types.UID]bool{}, term: 1,
	}
	for i := range 5 {
		w.addNode(fmt.Sprintf("n%d", i))
	}
	w.set = &workloadsv1.InstanceSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: "c", Namespace: "demo", UID: "set", Generation: 1, Annotations: map[string]string{}, Finalizers: []string{naming.FinalizerInstanceSet},
		},
		Spec: workloadsv1.InstanceSetSpec{
			Replicas: new(int32(3)), PodManagementPolicy: appsv1.Parallel, MinReadySeconds: 10,
			Selector: workloadsv1.PodSelector{MatchLabels: map[string]string{naming.LabelInstance: "c"}},
			Roles:    usualRoles,
			VolumeClaimTemplates: []appsv1.VolumeClaimTemplate{{Name: "data", Spec: appsv1.VolumeClaimSpec{
				StorageClassName: new(""),
				Resources:        appsv1.VolumeResources{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")}},
			}}},
		},
	}
	w.set.Spec.Template.Annotations = map[string]string{}
	w.set.Spec.Template.Labels = map[string]string{}
	w.set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "qdrant", Image: "v1"}, {Name: "kbagent", Image: "v1"}}
	return w
}

func (w *world) addNode(name string) {
	w.knodes[name] = &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
}

// setNode has a Kubernetes node fall silent, or come back.
func (w *world) setNode(name string, up bool) {
	c := &w.knodes[name].Status.Conditions[0]
	if (c.Status == corev1.ConditionTrue) != up {
		c.Status = map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionUnknown}[up]
		c.LastTransitionTime = metav1.NewTime(w.now)
	}
}

func (w *world) up(knode string) bool {
	n := w.knodes[knode]
	return n != nil && n.Status.Conditions[0].Status == corev1.ConditionTrue
}

func (w *world) uid() types.UID {
	w.uids++
	return types.UID(fmt.Sprintf("u%d", w.uids))
}

func ids[V any](m map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(m)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// observe is what the operator sees.
func (w *world) observe(answers map[Question]Answer) *Observed {
	o := &Observed{
		Now: w.now, Set: w.set, NodeLostAfter: time.Minute, ClusterDomain: "cluster.local", Roles: map[string]nodes.Role{}, Answers: answers,
		Volumes: map[string]*corev1.PersistentVolume{},
	}
	for _, name := range sortedKeys(w.pods) {
		o.Pods = append(o.Pods, *w.pods[name].DeepCopy())
		if id, ok := w.process(name); ok && !w.deaf && w.leader != 0 {
			o.Roles[name] = nodes.Role{Name: map[bool]string{true: "leader", false: "follower"}[id == w.leader], Term: w.term}
		}
	}
	for _, name := range sortedKeys(w.claims) {
		c := w.claims[name]
		o.Claims = append(o.Claims, *c.DeepCopy())
		if home := w.homes[c.Spec.VolumeName]; home != "" {
			o.Volumes[c.Spec.VolumeName] = &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{NodeAffinity: &corev1.VolumeNodeAffinity{
				Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{home},
				}}}}},
			}}}
		}
	}
	for _, name := range sortedKeys(w.knodes) {
		o.Nodes = append(o.Nodes, *w.knodes[name].DeepCopy())
	}
	return o
}

// plan plans, and answers what the plan asks.
func (w *world) plan() (Decision, []Question, error) {
	answers := map[Question]Answer{}
	var asked []Question
	for range mostPasses {
		d, err := Plan(w.observe(answers))
		if err != nil || len(d.Ask) == 0 {
			return d, asked, err
		}
		for _, q := range d.Ask {
			asked = append(asked, q)
			answers[q] = w.answer(q)
		}
	}
	return Decision{}, asked, errors.New("asks again and again")
}

// process returns the peer whose process runs in a pod.
func (w *world) process(pod string) (uint64, bool) {
	p := w.pods[pod]
	if p == nil || p.Status.Phase != corev1.PodRunning || !w.up(p.Spec.NodeName) || len(p.Status.ContainerStatuses) == 0 ||
		p.Status.ContainerStatuses[0].State.Running == nil {
		return 0, false
	}
	c := w.claims["data-"+pod]
	if c == nil {
		return 0, false
	}
	id := w.disks[c.UID]
	return id, id != 0 && w.peers[id] != nil
}

func (w *world) answer(q Question) Answer {
	if w.deaf || len(w.living()) == 0 {
		return Answer{Err: errors.New("connection refused")}
	}
	switch q.Kind {
	case AskView:
		return Answer{View: w.view()}
	case AskDrain, AskUndrain:
		if w.leader == 0 {
			return Answer{Err: errors.New("no leader")}
		}
		w.peers[q.Peer].draining = q.Kind == AskDrain
		return Answer{}
	case AskSwitchover:
		if w.leader == 0 || !w.handOver(q.Pod) {
			return Answer{Outcome: nodes.Outcome{Done: true, Word: "failed", Message: "nobody else"}}
		}
		return Answer{Outcome: nodes.Outcome{Done: true}}
	default:
		return w.leaveStep(q)
	}
}

// handOver has another member lead that has a vote.
func (w *world) handOver(from string) bool {
	for _, id := range w.living() {
		if m := w.peers[id]; m.pod != from && m.voter {
			w.leader = id
			w.term++
			return true
		}
	}
	return false
}

// leaveStep is what an agent does with memberLeave.
func (w *world) leaveStep(q Question) Answer {
	running := Answer{Outcome: nodes.Outcome{Word: "inProgress"}}
	for _, id := range ids(w.peers) {
		m := w.peers[id]
		if m.pod != q.Pod {
			continue
		}
		if w.leader == 0 {
			return running
		}
		if lost := w.view().OnlyOn(id); m.fenced && len(lost) > 0 && !q.AcceptLoss {
			return Answer{Outcome: nodes.Outcome{Done: true, Word: "preconditionFailed", Message: lost[0].String()}}
		}
		if w.holds(id) && !m.fenced {
			return running
		}
		if w.leader == id {
			w.handOver(q.Pod)
		}
		w.remove(id)
		return running
	}
	return Answer{Outcome: nodes.Outcome{Done: true}}
}

func (w *world) holds(id uint64) bool {
	return slices.ContainsFunc(w.shards, func(s *shard) bool { _, ok := s.copies[id]; return ok })
}

// remove takes a member out, unless those that stay could then agree on nothing.
func (w *world) remove(id uint64) {
	before := map[uint64]member{}
	for other, m := range w.peers {
		before[other] = *m
	}
	w.peers[id].voter = false
	delete(w.peers, id)
	w.vote()
	if w.majority() {
		w.forget(id)
		return
	}
	for other, m := range before {
		w.peers[other] = &m
	}
}

// forget removes a member.
func (w *world) forget(id uint64) {
	delete(w.peers, id)
	for _, s := range w.shards {
		delete(s.copies, id)
	}
	if w.leader == id {
		w.leader = 0
	}
}

// view is the cluster as its nodes see it.
func (w *world) view() *client.View {
	c := &client.Cluster{Status: "enabled", Peers: map[uint64]client.Peer{}, Raft: client.Raft{Leader: w.leader, Term: w.term}}
	for id, m := range w.peers {
		c.Peers[id] = client.Peer{URI: "http://" + m.pod + ".c-headless.demo.svc.cluster.local:6335", Fenced: m.fenced, Draining: m.draining}
	}
	v := &client.View{Cluster: c}
	for n, s := range w.shards {
		one := client.Collection{Name: s.name, Info: &client.Info{Factor: s.factor, WriteFactor: 1}, Layout: &client.Layout{Shards: 1}}
		var inSync []uint64
		for _, id := range ids(s.copies) {
			if s.copies[id] {
				inSync = append(inSync, id)
			}
		}
		for _, id := range ids(s.copies) {
			one.Layout.Replicas = append(one.Layout.Replicas, client.Replica{Shard: uint32(n), Peer: id, Epoch: new(uint64(1)), Leader: 1, InSync: inSync})
		}
		v.Collections = append(v.Collections, one)
	}
	return v
}

// living lists the members whose process runs.
func (w *world) living() (out []uint64) {
	for _, name := range sortedKeys(w.pods) {
		if id, ok := w.process(name); ok {
			out = append(out, id)
		}
	}
	return out
}

// majority tells whether most of those who have a vote live.
func (w *world) majority() bool {
	votes, alive := 0, 0
	for id, m := range w.peers {
		if m.voter {
			votes++
			if slices.Contains(w.living(), id) {
				alive++
			}
		}
	}
	return 2*alive > votes
}

// vote gives votes to living members, and takes some away: all of three have one, of more an odd number.
func (w *world) vote() {
	living := w.living()
	should, have := len(w.peers), 0
	if should > 3 {
		should -= 1 - should%2
	}
	for _, m := range w.peers {
		if m.voter {
			have++
		}
	}
	for _, id := range living {
		if m := w.peers[id]; have < should && !m.voter {
			m.voter = true
			have++
		}
	}
	// Those that aren't there lose theirs first.
	for _, dead := range []bool{true, false} {
		for _, id := range ids(w.peers) {
			if m := w.peers[id]; have > should && m.voter && id != w.leader && slices.Contains(living, id) != dead {
				m.voter = false
				have--
			}
		}
	}
}

// apply does what was decided.
func (w *world) apply(d *Decision) {
	for _, c := range d.CreateClaims {
		if w.claims[c.Name] == nil {
			c = c.DeepCopy()
			c.UID = w.uid()
			w.claims[c.Name] = c
		}
	}
	for _, p := range d.CreatePods {
		if w.pods[p.Name] == nil {
			p = p.DeepCopy()
			p.UID, p.CreationTimestamp, p.Status.Phase, p.Generation = w.uid(), metav1.NewTime(w.now), corev1.PodPending, 1
			w.pods[p.Name] = p
		}
	}
	for i := range d.PatchClaims {
		one := &d.PatchClaims[i]
		c := w.claims[one.Claim.Name]
		if one.Storage != "" {
			c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(one.Storage)}
		}
		c.Annotations = written(c.Annotations, one.Annotations)
	}
	for i := range d.PatchPods {
		w.patch(&d.PatchPods[i])
	}
	now := metav1.NewTime(w.now)
	for _, one := range d.DeleteClaims {
		if c := w.claims[one.Claim.Name]; c != nil && c.UID == one.Claim.UID && c.DeletionTimestamp == nil {
			c.DeletionTimestamp = &now
		}
	}
	for _, one := range d.DeletePods {
		p := w.pods[one.Pod.Name]
		switch {
		case p == nil || p.UID != one.Pod.UID:
		case one.Force || p.Spec.NodeName == "":
			delete(w.pods, p.Name)
		case p.DeletionTimestamp == nil:
			p.DeletionTimestamp = &now
		}
	}
	if d.Status != nil {
		w.set.Status = *d.Status
	}
}

func (w *world) patch(one *PodPatch) {
	p := w.pods[one.Pod.Name]
	p.Labels = written(p.Labels, one.Labels)
	p.Annotations = written(p.Annotations, one.Annotations)
	for i := range p.Spec.Containers {
		if image := one.Images[p.Spec.Containers[i].Name]; image != "" {
			p.Spec.Containers[i].Image = image
		}
	}
}

// tick lets a while pass: Kubernetes and the nodes do what they do by themselves.
func (w *world) tick() {
	w.now = w.now.Add(tickTime)
	w.restarted = map[types.UID]bool{}
	for _, name := range sortedKeys(w.pods) {
		if p := w.pods[name]; p.DeletionTimestamp != nil && w.up(p.Spec.NodeName) {
			delete(w.pods, name)
		}
	}
	for _, name := range sortedKeys(w.claims) {
		c := w.claims[name]
		if c.DeletionTimestamp != nil && w.pods[strings.TrimPrefix(name, "data-")] == nil {
			w.drop(c)
		}
	}
	for _, name := range sortedKeys(w.pods) {
		w.schedule(w.pods[name])
		w.start(w.pods[name])
	}
	w.members()
	w.elect()
	w.copies()
	for _, name := range sortedKeys(w.pods) {
		w.readiness(w.pods[name])
	}
	for _, c := range w.claims {
		if c.Spec.VolumeName != "" {
			c.Status.Capacity = c.Spec.Resources.Requests.DeepCopy()
		}
	}
}

// drop removes a claim, and with it the disk.
func (w *world) drop(c *corev1.PersistentVolumeClaim) {
	delete(w.claims, c.Name)
	delete(w.disks, c.UID)
	delete(w.homes, c.Spec.VolumeName)
}

// schedule finds a Kubernetes node for a pod: the one with its volume, if it has one already.
func (w *world) schedule(p *corev1.Pod) {
	c := w.claims["data-"+p.Name]
	if p.Spec.NodeName != "" || c == nil || c.DeletionTimestamp != nil {
		return
	}
	if c.Spec.VolumeName != "" {
		if home := w.homes[c.Spec.VolumeName]; w.up(home) {
			p.Spec.NodeName = home
		}
	} else {
		used := map[string]int{}
		for _, home := range w.homes {
			used[home]++
		}
		best := ""
		for _, name := range sortedKeys(w.knodes) {
			if w.up(name) && fits(p, w.knodes[name]) && (best == "" || used[name] < used[best]) {
				best = name
			}
		}
		if best != "" {
			p.Spec.NodeName, c.Spec.VolumeName, c.Status.Phase = best, "pv-"+string(c.UID), corev1.ClaimBound
			w.homes[c.Spec.VolumeName] = best
		}
	}
	if p.Spec.NodeName == "" {
		setCond(p, corev1.PodScheduled, false, corev1.PodReasonUnschedulable, w.now)
	} else {
		setCond(p, corev1.PodScheduled, true, "", w.now)
	}
}

// fits tells whether a pod may run on a node, as far as its affinity says.
func fits(p *corev1.Pod, n *corev1.Node) bool {
	a := p.Spec.Affinity
	return a == nil || a.NodeAffinity == nil || selects(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution, n)
}

func setCond(p *corev1.Pod, t corev1.PodConditionType, yes bool, reason string, now time.Time) {
	status := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}[yes]
	if c := nodes.Condition(p, t); c != nil {
		if c.Status != status {
			c.LastTransitionTime = metav1.NewTime(now)
		}
		c.Status, c.Reason = status, reason
		return
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: t, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(now)})
}

// start runs the containers of a pod: those whose image changed anew, and none of an image that can't be
// had.
func (w *world) start(p *corev1.Pod) {
	if p.Spec.NodeName == "" || !w.up(p.Spec.NodeName) || ended(p) {
		return
	}
	p.Status.Phase = corev1.PodRunning
	if len(p.Status.ContainerStatuses) == 0 {
		for _, c := range p.Spec.Containers {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name})
		}
	}
	for i := range p.Spec.Containers {
		s, image := &p.Status.ContainerStatuses[i], p.Spec.Containers[i].Image
		if s.Image == image {
			continue
		}
		s.Image, s.ContainerID = image, string(w.uid())
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		delete(w.latched, p.UID)
		w.restarted[p.UID] = true
		if image == "bad" {
			s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}
		}
	}
}

// members lets nodes join, take the place of lost ones, and count as gone.
func (w *world) members() {
	for _, name := range sortedKeys(w.pods) {
		p, c := w.pods[name], w.claims["data-"+name]
		if p.Status.Phase != corev1.PodRunning || c == nil || !w.up(p.Spec.NodeName) || p.Status.ContainerStatuses[0].State.Running == nil {
			continue
		}
		if w.disks[c.UID] != 0 || len(w.peers) > 0 && (!w.majority() || w.leader == 0) {
			continue // it is who it was, or nobody can let it in
		}
		w.next++
		id := w.next
		for _, old := range ids(w.peers) {
			if w.peers[old].pod == name {
				w.replaced(old, id)
			}
		}
		w.disks[c.UID], w.peers[id] = id, &member{pod: name, voter: len(w.peers) == 0}
	}
	living := w.living()
	for id, m := range w.peers {
		m.fenced = !slices.Contains(living, id)
	}
}

// replaced gives an empty node the copies of the lost one whose place it takes.
func (w *world) replaced(old, id uint64) {
	for _, s := range w.shards {
		if _, ok := s.copies[old]; ok {
			s.copies[id] = false
		}
	}
	w.forget(old)
}

func (w *world) elect() {
	living := w.living()
	switch {
	case !w.majority() || len(living) == 0:
		w.leader = 0
	case !slices.Contains(living, w.leader):
		w.leader = 0
		for _, id := range living {
			if w.peers[id].voter && w.leader == 0 {
				w.leader = id
				w.term++
			}
		}
	}
	if w.leader != 0 {
		w.vote()
	}
}

// copies lets copies leave and join their sets, move off nodes that are drained, and be made where they
// lack.
func (w *world) copies() {
	living := w.living()
	for _, s := range w.shards {
		source := false
		for id, in := range s.copies {
			source = source || in && slices.Contains(living, id)
		}
		if !source || w.leader == 0 {
			continue // nobody leads the shard: nothing changes
		}
		for id := range s.copies {
			s.copies[id] = slices.Contains(living, id)
		}
		var takers []uint64
		for _, id := range living {
			if _, has := s.copies[id]; !has && !w.peers[id].draining {
				takers = append(takers, id)
			}
		}
		if w.stuck {
			continue
		}
		w.place(s, living, takers)
	}
}

// place makes one step towards as many copies as there should be, on nodes that stay.
func (w *world) place(s *shard, living, takers []uint64) {
	staying := 0
	for id := range s.copies {
		if !w.peers[id].draining && slices.Contains(living, id) {
			staying++
		}
	}
	if len(takers) > 0 && staying < s.factor {
		s.copies[takers[0]] = false // filled by the next tick
		return
	}
	for _, id := range ids(s.copies) {
		in, others := s.copies[id], 0
		for other, in := range s.copies {
			if other != id && in && !w.peers[other].draining {
				others++
			}
		}
		if w.peers[id].draining && in && others > 0 {
			delete(s.copies, id)
			return
		}
	}
}

// served tells whether a shard has a copy in sync that runs.
func (w *world) served(s *shard) bool {
	for _, id := range w.living() {
		if s.copies[id] {
			return true
		}
	}
	return false
}

// readiness is what the kubelet finds out.
func (w *world) readiness(p *corev1.Pod) {
	if !w.up(p.Spec.NodeName) {
		if p.Spec.NodeName != "" {
			setCond(p, corev1.PodReady, false, "NodeLost", w.now)
		}
		return
	}
	id, runs := w.process(p.Name)
	ready := runs && w.leader != 0
	for _, s := range w.shards {
		in, has := s.copies[id]
		ready = ready && (!has || in || w.latched[p.UID] || !w.served(s))
	}
	ready = ready && (!w.restarted[p.UID] || !p.Status.ContainerStatuses[0].Ready)
	if runs && w.latched[p.UID] {
		ready = true
	}
	if !runs {
		delete(w.latched, p.UID)
	}
	if ready {
		w.latched[p.UID] = true
	}
	setCond(p, corev1.PodReady, ready, "", w.now)
	if p.Status.ObservedGeneration = p.Generation; len(p.Status.ContainerStatuses) > 0 {
		p.Status.ContainerStatuses[0].Ready = ready
	}
}
