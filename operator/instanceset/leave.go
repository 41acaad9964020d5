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
)

// released tells whether an instance was to leave when it was last looked at.
func (i *instance) released() bool {
	return i.before != nil && i.before.DesiredState != workloadsv1.InstanceActive && i.before.DesiredState != ""
}

// undrain lets the nodes of instances have copies again that were to leave and no longer are.
func (p *planner) undrain() {
	for _, i := range p.wanted {
		p.show(i)
		if !i.released() {
			continue
		}
		if err := p.undrainOne(i); err != nil {
			i.say("it stays, but has no copies yet: %v", err)
			p.progress("ScalingOut", "%s stays", i.Name)
			continue
		}
		i.undraining = false
	}
}

func (p *planner) undrainOne(i *instance) error {
	v, err := p.view()
	if err != nil {
		return err
	}
	id, err := p.peer(v, i)
	if errors.Is(err, client.ErrNoPeer) {
		for _, c := range i.claims {
			if !p.deleting(c) {
				return errors.New("it has left already, so it has to start anew")
			}
		}
		return nil
	}
	if err != nil || !v.Cluster.Peers[id].Draining {
		return err
	}
	a, _ := p.ask(Question{Kind: AskUndrain, Pod: i.Name, Peer: id})
	return a.Err
}

// leave takes nodes out of the cluster, then pods and claims away: all are drained before the first one
// goes, so that nothing moves onto one that goes next.
func (p *planner) leave() {
	if len(p.leaving) == 0 {
		return
	}
	var names []string
	for _, i := range p.leaving {
		names = append(names, i.Name)
	}
	p.progress("ScalingIn", "leaving: %s", strings.Join(names, ", "))
	if p.founding() != "" {
		p.progress("ScalingIn", "after the cluster is founded")
		return
	}
	v, err := p.view()
	if err == nil {
		err = p.others(v)
	}
	if err != nil {
		p.progress("ScalingIn", "they wait: %v", err)
		return
	}
	var members []*instance
	ready := true
	for _, i := range p.leaving {
		id, err := p.peer(v, i)
		switch {
		case errors.Is(err, client.ErrNoPeer):
			p.farewell(i)
			continue
		case err == nil && !v.Cluster.Peers[id].Draining:
			var a Answer
			var ok bool
			if a, ok = p.ask(Question{Kind: AskDrain, Pod: i.Name, Peer: id}); !ok {
				ready = false
				continue
			}
			err = a.Err
		}
		if err != nil {
			ready = false
			i.say("it can't be drained: %v", err)
			p.progress("ScalingIn", "%s can't be drained: %v", i.Name, err)
		}
		members = append(members, i)
	}
	if ready && len(members) > 0 {
		p.leaveNext(v, members)
	}
}

// others makes sure that there are nodes that stay: else those that leave may only seem to be in no
// cluster.
func (p *planner) others(v *client.View) error {
	if !v.Cluster.Enabled() {
		return errors.New("the nodes are no cluster")
	}
	if !slices.ContainsFunc(p.wanted, func(i *instance) bool { _, err := p.peer(v, i); return err == nil }) {
		return errors.New("no node that stays is a member of the cluster")
	}
	return nil
}

// leaveNext has one member leave that has nothing any more, or is gone, through the agent of one that
// stays. What takes its time is waited for here, not by the agent: so that a change of mind costs nothing.
func (p *planner) leaveNext(v *client.View, members []*instance) {
	through := p.through(v)
	if through == "" {
		p.progress("ScalingIn", "they wait for a pod that stays and is ready")
		return
	}
	// Those that are gone go first: without them fewer make a majority.
	slices.SortStableFunc(members, func(a, b *instance) int { return rank(v, p, a) - rank(v, p, b) })
	for _, i := range members {
		id, err := p.peer(v, i)
		if err != nil {
			continue
		}
		// Nodes may not have noticed yet who is down, and don't know whose disk goes.
		after, err := p.viewBut(i, true)
		if err != nil {
			continue
		}
		if wait := majorityWithout(after, id); wait != "" {
			i.say("%s", wait)
			p.progress("ScalingIn", "%s waits: %s", i.Name, wait)
			continue
		}
		if fenced := v.Cluster.Peers[id].Fenced; !fenced && !v.Empty(id) {
			i.say("leaves: %s", remaining(v, id))
			p.progress("ScalingIn", "%s: %s", i.Name, remaining(v, id))
			continue
		} else if lost := shardNames(v.OnlyOn(id)); fenced && lost != "" && !p.accepted(i.Name) {
			p.lossAhead(i, lost)
			continue
		}
		if wait := p.withdraws(v, i, id); wait != "" {
			i.say("before it leaves: %s", wait)
			p.progress("ScalingIn", "before %s leaves: %s", i.Name, wait)
			return
		}
		q := Question{Kind: AskLeave, Pod: i.Name, Through: through, AcceptLoss: p.accepted(i.Name)}
		a, ok := p.ask(q)
		switch {
		case !ok:
		case a.Err != nil:
			i.say("it can't leave: %v", a.Err)
			p.progress("ScalingIn", "%s can't leave: %v", i.Name, a.Err)
		case !a.Outcome.Done:
			i.say("is being removed from the cluster")
		case a.Outcome.Word == "":
			p.farewell(i)
		default:
			i.say("it can't leave: %s: %s", a.Outcome.Word, a.Outcome.Message)
			p.progress("ScalingIn", "%s can't leave: %s: %s", i.Name, a.Outcome.Word, a.Outcome.Message)
		}
		return
	}
}

// elsewhere is how long Kubernetes may take to send clients elsewhere when a pod ends, and to tell the
// second.
const elsewhere = 3 * time.Second

// withdraws has the pod of a member end that has nothing any more, before the member leaves, and says what to
// wait for: Kubernetes sends clients elsewhere at once, and the node goes on serving those that
// come all the same while its preStop hook sleeps. A node that has left refuses everybody. Where the others could agree on
// nothing without it, its pod is hidden and runs until it has left; where another member or instance is down, it isn't even hidden.
func (p *planner) withdraws(v *client.View, i *instance, id uint64) (wait string) {
	if i.pod == nil || v.Cluster.Peers[id].Fenced {
		return ""
	}
	if end := i.pod.DeletionTimestamp; end != nil {
		began := end.Time
		if s := i.pod.DeletionGracePeriodSeconds; s != nil {
			began = began.Add(-time.Duration(*s) * time.Second)
		}
		return p.sent(began)
	}
	if !i.ready {
		return ""
	}
	for _, other := range p.wanted {
		switch {
		case p.starting(other):
			p.d.Requeue = soon
			return other.Name + " isn't ready yet"
		case !other.ready || other.gone:
			return ""
		}
	}
	all := len(v.Cluster.Peers)
	if now, err := p.viewBut(i, false); err != nil || alive(now, id) < all-1 {
		return ""
	}
	if all < 3 { // both have a vote
		return p.hide(i)
	}
	p.deletePod(i.pod, "Leaving", goes)
	return p.sent(p.o.Now)
}

// goes is why a pod is taken away from clients.
const goes = "its node has nothing any more, and leaves the cluster"

// sent says that clients are sent elsewhere, until that has had its time; began is since when.
func (p *planner) sent(began time.Time) (wait string) {
	if !p.o.Now.Before(began.Add(elsewhere)) {
		return ""
	}
	p.d.Requeue = soon
	return "clients are sent elsewhere"
}

// hide takes a pod that goes on running out of the services, and says what to wait for.
func (p *planner) hide(i *instance) (wait string) {
	if hidden(i.pod) {
		began, err := time.Parse(time.RFC3339Nano, i.pod.Annotations[naming.AnnotationLeaving])
		if err == nil {
			return p.sent(began)
		}
	}
	p.patchPod(PodPatch{
		Pod: i.pod, Labels: map[string]string{naming.LabelReleasePhase: naming.ReleaseLeaving},
		Annotations: map[string]string{naming.AnnotationLeaving: p.o.Now.UTC().Format(time.RFC3339Nano)}, Reason: "Leaving", Why: goes,
	})
	return p.sent(p.o.Now)
}

func hidden(pod *corev1.Pod) bool {
	return pod.Labels[naming.LabelReleasePhase] == naming.ReleaseLeaving
}

// show puts a hidden pod that stays back into the services.
func (p *planner) show(i *instance) {
	if i.pod == nil || !hidden(i.pod) {
		return
	}
	own := ownLabels(i.tpl, p.set.Name, i.Name)
	p.patchPod(PodPatch{
		Pod: i.pod, Labels: map[string]string{naming.LabelReleasePhase: own[naming.LabelReleasePhase]},
		Annotations: map[string]string{naming.AnnotationLeaving: ""}, Reason: "Stays", Why: "its node doesn't leave the cluster",
	})
}

// starting tells whether an instance has just been made and is about to be ready.
func (p *planner) starting(i *instance) bool {
	if i.pod == nil {
		return i.before == nil
	}
	return !i.ready && !i.gone && i.pod.DeletionTimestamp == nil && !i.broken() && p.o.Now.Before(i.pod.CreationTimestamp.Add(failedAfter))
}

// alive counts the members that answer, but for one.
func alive(v *client.View, but uint64) (n int) {
	for id, peer := range v.Cluster.Peers {
		if id != but && !peer.Fenced {
			n++
		}
	}
	return n
}

func rank(v *client.View, p *planner, i *instance) int {
	if id, err := p.peer(v, i); err == nil && v.Cluster.Peers[id].Fenced {
		return 0
	}
	return 1
}

// majorityWithout says what is in the way of removing a member: most of those that stay must be there, and stay,
// else nothing can be agreed on any more.
func majorityWithout(v *client.View, id uint64) (wait string) {
	all, there := len(v.Cluster.Peers)-1, alive(v, id)
	if 2*there > all {
		return ""
	}
	return fmt.Sprintf("only %d of the %d nodes that would be left answer and keep their disks", there, all)
}

// lossAhead says what would be lost with a member that is gone. One that may come back is waited for.
func (p *planner) lossAhead(i *instance, lost string) {
	message := fmt.Sprintf("it is gone, and no other node has all data of %s; to give it up, name %s in the annotation %s of the Cluster",
		lost, i.Name, naming.AnnotationAcceptDataLoss)
	if i.pod != nil && p.o.Now.Before(since(i.pod).Add(failedAfter)) {
		i.say("waits for its node: no other has all data of %s", lost)
		return
	}
	p.fail(i, "DataLoss", message)
}

// through is the pod whose agent is asked: one that stays and is a member, the same as long as it is ready.
func (p *planner) through(v *client.View) string {
	for _, i := range p.wanted {
		if _, err := p.peer(v, i); err == nil && i.ready && !i.gone {
			return i.Name
		}
	}
	return ""
}

// remaining says what is still on a node.
func remaining(v *client.View, id uint64) string {
	n := 0
	for _, s := range v.Shards() {
		if slices.ContainsFunc(s.Copies, func(r client.Replica) bool { return r.Peer == id }) {
			n++
		}
	}
	if n == 1 {
		return "one copy of a shard is still on it"
	}
	return fmt.Sprintf("%d copies of shards are still on it", n)
}

// farewell takes away the pod of an instance whose node has left, then its claims, or what they are kept
// for is noted on them: a node with such data can't join.
func (p *planner) farewell(i *instance) {
	i.left = true
	if i.pod != nil {
		p.deletePod(i.pod, "Left", "its node has left the cluster")
		return
	}
	policy := p.set.Spec.PersistentVolumeClaimRetentionPolicy
	for _, name := range slices.Sorted(maps.Keys(i.claims)) {
		c := i.claims[name]
		switch {
		case policy == nil || policy.WhenScaled != appsv1.RetainClaims:
			p.deleteClaim(c, "Left", "its node has left the cluster")
		case c.Annotations[naming.AnnotationLeft] == "":
			p.d.PatchClaims = append(p.d.PatchClaims, ClaimPatch{
				Claim: c, Annotations: map[string]string{naming.AnnotationLeft: "true"}, Reason: "Kept", Why: "its node has left the cluster",
			})
		}
	}
}
