package instanceset

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// create makes what is missing: claims first, then pods. An instance that leaves and still has its data
// gets its pod back, so that it can hand the data over.
func (p *planner) create() {
	var due []*instance
	for _, i := range p.wanted {
		if founder := p.founding(); founder != "" && i.Name != founder {
			if i.pod == nil {
				i.say("waits until %s has founded the cluster", founder)
				p.progress("Founding", "%s founds the cluster", founder)
			}
			continue
		}
		if i.pod != nil {
			p.createClaims(i)
		} else if p.due(i) {
			due = append(due, i)
		}
	}
	for _, i := range p.leaving {
		if i.pod == nil && len(i.claims) > 0 && !allLeft(i.claims) && p.founding() == "" && p.due(i) && p.needed(i) {
			due = append(due, i)
		}
	}
	room := p.room()
	for _, i := range due {
		if room == 0 || !p.inOrder(i) {
			i.say("its pod is made later")
			p.progress("Creating", "%s is made when those before it are ready", i.Name)
			continue
		}
		room--
		p.createClaims(i)
		pod := newPod(p.set, &i.Slot, i.tpl, i.rev)
		pin(&pod.Spec, p.machine(i))
		p.d.CreatePods = append(p.d.CreatePods, pod)
	}
}

// needed tells whether the pod of an instance that leaves is needed once more: its node has what no other
// has, another is down or loses its disk and it may be needed for a majority, or nothing is known.
func (p *planner) needed(i *instance) bool {
	v, err := p.viewBut(i, true)
	if err != nil {
		return true
	}
	id, err := p.peer(v, i)
	return err == nil && (len(v.OnlyOn(id)) > 0 || alive(v, id) < len(v.Cluster.Peers)-1)
}

// due tells whether the pod of an instance is missing and can be made.
func (p *planner) due(i *instance) bool {
	if i.pod != nil {
		return false
	}
	for _, t := range claimTemplates(p.set, i.Template) {
		switch c := i.claims[t.Name]; {
		case c == nil && !i.wanted:
			return false
		case c == nil:
		case c.DeletionTimestamp != nil || p.deleting(c):
			i.say("waits until the claim %s is gone", c.Name)
			return false
		case i.wanted && c.Annotations[naming.AnnotationLeft] != "":
			p.fail(i, "ClaimKept", "the claim "+c.Name+" was kept when its node left the cluster; with what is in it no node can join: delete the claim, and the instance starts empty")
			return false
		}
	}
	return true
}

// deleting tells whether a claim goes in this round.
func (p *planner) deleting(c *corev1.PersistentVolumeClaim) bool {
	return slices.ContainsFunc(p.d.DeleteClaims, func(d ClaimDeletion) bool { return d.Claim.UID == c.UID })
}

// createClaims makes the claims of an instance that are missing.
func (p *planner) createClaims(i *instance) {
	templates := claimTemplates(p.set, i.Template)
	for n := range templates {
		if i.wanted && i.claims[templates[n].Name] == nil {
			p.d.CreateClaims = append(p.d.CreateClaims, newClaim(p.set, &i.Slot, &templates[n], p.token(i.Name)))
		}
	}
}

// token is what the claims of a pod must carry; "" is anything.
func (p *planner) token(pod string) string {
	var tokens map[string]string
	if json.Unmarshal([]byte(p.set.Annotations[naming.AnnotationRebuild]), &tokens) != nil {
		return ""
	}
	return tokens[pod]
}

// room is how many pods may be made now; less than 0 is any number.
func (p *planner) room() int {
	limit := p.set.Spec.ParallelPodManagementConcurrency
	if limit == nil || p.set.Spec.PodManagementPolicy != appsv1.Parallel {
		return -1
	}
	starting := 0
	for _, i := range p.all {
		if i.pod != nil && !i.ready {
			starting++
		}
	}
	return max(p.scaled(limit, 1)-starting, 0)
}

// scaled is a number or percentage of the replicas, and at least so much. What limits (least is 1) is
// rounded down, what is to be reached up.
func (p *planner) scaled(v *intstr.IntOrString, least int) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(replicas(p.set)), least == 0)
	if err != nil {
		return least // the schema refuses what is no number
	}
	return max(n, least)
}

// inOrder tells whether the policy lets a pod be made now: with OrderedReady not before those with lower
// ordinals are ready. It is a rule for new instances: those that come back wait for each other's data.
func (p *planner) inOrder(i *instance) bool {
	if p.set.Spec.PodManagementPolicy == appsv1.Parallel || len(i.claims) > 0 {
		return true
	}
	for _, other := range p.wanted {
		if strings.Compare(other.TemplateName(), i.TemplateName()) == 0 && other.Ordinal < i.Ordinal && !other.ready && other.Name != p.founding() {
			return false
		}
	}
	return true
}
