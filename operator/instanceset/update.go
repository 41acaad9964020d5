package instanceset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sextantdb/sextant/client"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// change is what a pod lacks to be the newest.
type change struct {
	labels, annotations, images map[string]string
	// anew needs a new pod.
	anew bool
	// forbidden is a need for a new pod that the policy denies.
	forbidden bool
}

// update brings pods up to date, one after another.
func (p *planner) update() {
	var outdated []*instance
	updated := 0
	for _, i := range p.wanted {
		switch {
		case i.pod == nil || i.gone:
		case i.upToDate():
			updated++
		case i.pod.DeletionTimestamp == nil:
			outdated = append(outdated, i)
		}
	}
	for _, i := range p.leaving {
		// A majority may need those that leave: they must be able to run until they have left.
		if i.pod != nil && !i.gone && !i.left && i.pod.DeletionTimestamp == nil && !i.upToDate() && i.broken() {
			outdated = append(outdated, i)
		}
	}
	if len(outdated) == 0 {
		return
	}
	strategy := p.set.Spec.InstanceUpdateStrategy
	if strategy != nil && strategy.Type == appsv1.OnDeleteInstances {
		for _, i := range outdated {
			i.say("follows the new template when its pod is deleted")
		}
		return
	}
	p.inTurn(outdated)
	room := len(p.wanted) - updated
	if strategy != nil && strategy.RollingUpdate != nil && strategy.RollingUpdate.Replicas != nil {
		room = p.scaled(strategy.RollingUpdate.Replicas, 0) - updated
	}
	turn := true // of the next pod that is ready
	for _, i := range outdated {
		if i.wanted && room <= 0 {
			i.say("keeps the template before, as rollingUpdate.replicas says")
			continue
		}
		if i.wanted {
			room--
		}
		turn = p.updateOne(i, turn)
	}
}

// inTurn orders pods: those that serve nobody first, then by role, the leader last, from the highest
// ordinal.
func (p *planner) inTurn(pods []*instance) {
	class := func(i *instance) int {
		switch {
		case i.broken():
			return 0
		case !i.ready:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(pods, func(a, b *instance) int {
		return cmp.Or(cmp.Compare(class(a), class(b)), cmp.Compare(p.priority(a), p.priority(b)), byOrdinal(b, a))
	})
}

// updateOne brings a pod up to date if it may be; turn says whether it is the turn of one that is ready.
// It returns whether that of the next one is.
func (p *planner) updateOne(i *instance, turn bool) bool {
	c := p.changeOf(i)
	if c.forbidden {
		p.restricted = append(p.restricted, i.Name)
		i.say("its update needs a new pod, which podUpdatePolicy StrictInPlace forbids")
		return turn
	}
	if !c.anew && len(c.images) == 0 {
		p.patchPod(PodPatch{Pod: i.pod, Labels: c.labels, Annotations: c.annotations})
		return turn
	}
	switch {
	case losing(i) && c.anew:
		i.say("its update waits until its claim is replaced")
		return turn
	case i.broken(): // it serves nobody: at once
	case i.ready && !turn:
		i.say("its update comes later")
		return false
	default:
		wait := p.wait(i)
		if wait == "" && i.ready && len(p.leaving) > 0 {
			wait = "until all that leave have left"
		}
		if wait == "" && p.handOver(i, &wait) {
			break
		}
		i.say("its update waits: %s", wait)
		p.progress("Updating", "the update of %s waits: %s", i.Name, wait)
		return turn && !i.ready
	}
	p.updateNow(i, &c)
	return false
}

// changeOf finds out what a pod lacks.
func (p *planner) changeOf(i *instance) change {
	var c change
	c.labels, c.annotations = metadataPatch(p.set, i.pod, i.tpl, i.rev)
	c.images = map[string]string{}
	for n := range i.tpl.Spec.Containers {
		want := &i.tpl.Spec.Containers[n]
		for m := range i.pod.Spec.Containers {
			if have := &i.pod.Spec.Containers[m]; have.Name == want.Name && have.Image != want.Image {
				c.images[want.Name] = want.Image
			}
		}
	}
	update := p.set.Spec.PodUpdatePolicy
	upgrade := appsv1.PodUpdatePolicyType(or(string(p.set.Spec.PodUpgradePolicy), string(update)))
	differs := i.pod.Annotations[naming.AnnotationPodRevision] != i.rev.pod
	c.forbidden = differs && update == appsv1.StrictInPlace
	c.anew = differs || upgrade == appsv1.ReCreate && len(c.images) > 0 || update == appsv1.ReCreate && userVisible(&c)
	return c
}

// userVisible tells whether labels or annotations change that aren't the operator's notes.
func userVisible(c *change) bool {
	own := []string{naming.LabelRevision, naming.AnnotationPodRevision, naming.AnnotationManagedKeys}
	for _, m := range []map[string]string{c.labels, c.annotations} {
		for k := range m {
			if !slices.Contains(own, k) {
				return true
			}
		}
	}
	return false
}

// updateNow takes the pod away, to be made anew, or changes it in place.
func (p *planner) updateNow(i *instance, c *change) {
	p.down = p.down || !i.broken()
	p.progress("Updating", "%s is updated", i.Name)
	if c.anew {
		p.deletePod(i.pod, "Updated", "its template has changed")
		return
	}
	note, err := replacementOf(i.pod, c.images, p.o.Now)
	if err != nil {
		i.say("its update failed: %v", err)
		return
	}
	c.annotations[naming.AnnotationReplacing] = note
	i.gone = true // its containers, for a while
	p.patchPod(PodPatch{
		Pod: i.pod, Labels: c.labels, Annotations: c.annotations, Images: c.images, Reason: "Updated", Why: "new images: " + imageNames(c.images),
	})
}

func imageNames(images map[string]string) string {
	return strings.Join(slices.Sorted(maps.Values(images)), ", ")
}

// wait says what has to be waited for before a pod is taken down, "" is nothing. One that isn't ready
// serves nobody as far as Kubernetes knows, but it may be what others need.
func (p *planner) wait(i *instance) string {
	if i.ready {
		return p.turn(i)
	}
	for _, other := range p.wanted {
		if other != i && (other.pod == nil || other.gone || other.pod.DeletionTimestamp != nil || replacing(other.pod, p.o.Now)) {
			return other.Name + " is down"
		}
	}
	if p.down {
		return "another pod is taken down"
	}
	v, err := p.view()
	if errors.Is(err, errAsked) {
		return err.Error()
	}
	if err != nil {
		return "" // nobody answers, so nobody is served: it can't get worse
	}
	wait, _ := p.risks(v, i)
	return wait
}

// turn says what has to be waited for before a pod that is ready is taken down, "" is nothing.
func (p *planner) turn(i *instance) string {
	if p.down {
		return "another pod is taken down"
	}
	if down := p.unavailable(i); len(down) >= p.mostDown() {
		return strings.Join(down, ", ")
	}
	v, err := p.viewBut(i, false)
	switch {
	case errors.Is(err, nodes.ErrKey):
		// The key is one that nodes get by starting anew, so one has to be the first. All are ready, each with its copies.
		i.say("it is taken down although nobody can be asked what is lost with it: the nodes have another api key")
		return ""
	case err != nil:
		return err.Error()
	}
	wait, lasting := p.risks(v, i)
	if wait == "" && len(lasting) > 0 {
		text := strings.Join(lasting, "; ")
		i.say("it is taken down although: %s", text)
		p.progress("Updating", "%s is taken down although, for a while: %s", i.Name, text)
	}
	return wait
}

// mostDown is how many pods may be unavailable at a time.
func (p *planner) mostDown() int {
	strategy := p.set.Spec.InstanceUpdateStrategy
	member := p.set.Spec.MemberUpdateStrategy
	if strategy == nil || strategy.RollingUpdate == nil || strategy.RollingUpdate.MaxUnavailable == nil ||
		member != nil && *member == appsv1.UpdateSerial {
		return 1
	}
	return p.scaled(strategy.RollingUpdate.MaxUnavailable, 1)
}

// unavailable says of the other pods that should run what keeps them from being available.
func (p *planner) unavailable(but *instance) (down []string) {
	for _, i := range p.wanted {
		switch {
		case i == but:
		case i.pod == nil:
			down = append(down, i.Name+" is missing")
		case i.gone || i.pod.DeletionTimestamp != nil:
			down = append(down, i.Name+" is going")
		case !i.ready:
			down = append(down, i.Name+" is not ready")
		case !i.available:
			down = append(down, fmt.Sprintf("%s has not been ready for %d s", i.Name, p.set.Spec.MinReadySeconds))
		case i.role == "" && len(p.set.Spec.Roles) > 0:
			down = append(down, i.Name+" has no role yet")
		}
	}
	return down
}

// risks says what has to be waited for before an instance is stopped, and what can't be helped by waiting.
func (p *planner) risks(v *client.View, i *instance) (wait string, lasting []string) {
	id, err := p.peer(v, i)
	if errors.Is(err, client.ErrNoPeer) {
		return "", nil // it is no member yet
	}
	if err != nil {
		return err.Error(), nil
	}
	for _, r := range v.RisksOfStopping(id) {
		if !r.Lasting || filling(v, &r) {
			return r.Text, nil
		}
		lasting = append(lasting, r.Text)
	}
	return "", lasting
}

// filling tells whether a shard lacks copies that it is going to get: there are nodes for them.
func filling(v *client.View, r *client.Risk) bool {
	if r.Shard == nil {
		return false
	}
	takers := 0
	for _, peer := range v.Cluster.Peers {
		if !peer.Fenced && !peer.Draining {
			takers++
		}
	}
	return len(r.Shard.Copies) < min(r.Shard.Factor, takers)
}

// handOver has a leader hand over before it is taken down. It returns whether it may be; else wait says
// why not. A pod that ends hands over by itself, too: failing to do so before doesn't keep the update
// waiting.
func (p *planner) handOver(i *instance, wait *string) bool {
	if !i.ready || !p.roleNamed(i.role).IsExclusive ||
		!slices.ContainsFunc(p.wanted, func(other *instance) bool { return other != i && other.ready }) {
		return true
	}
	a, ok := p.ask(Question{Kind: AskSwitchover, Pod: i.Name, Through: i.Name})
	switch {
	case !ok:
		*wait = errAsked.Error()
	case a.Err != nil:
		*wait = a.Err.Error()
	case !a.Outcome.Done || a.Outcome.Word == "busy":
		*wait = "it hands over what it leads"
	case a.Outcome.Word != "":
		i.say("it is taken down although it didn't hand over: %s: %s", a.Outcome.Word, a.Outcome.Message)
		return true
	default:
		return true
	}
	return false
}
