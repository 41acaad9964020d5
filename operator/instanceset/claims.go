package instanceset

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/operator/naming"
)

// claims lets the claims of instances that run grow, and replaces those that are of no use.
func (p *planner) claims() {
	for _, i := range p.wanted {
		p.grow(i)
	}
	for _, i := range p.wanted {
		p.replace(i)
	}
}

// grow asks for the size that the template has. A volume never shrinks: one that somebody has grown by
// hand stays as it is.
func (p *planner) grow(i *instance) {
	for _, t := range claimTemplates(p.set, i.Template) {
		c := i.claims[t.Name]
		size, sized := t.Spec.Resources.Requests[corev1.ResourceStorage]
		if c == nil || !sized || c.DeletionTimestamp != nil {
			continue
		}
		asked := c.Spec.Resources.Requests[corev1.ResourceStorage]
		if size.Cmp(asked) > 0 {
			p.d.PatchClaims = append(p.d.PatchClaims, ClaimPatch{
				Claim: c, Storage: size.String(), Reason: "VolumeExpansion", Why: fmt.Sprintf("from %s to %s", asked.String(), size.String()),
			})
			asked = size
		}
		if growing(c, asked) {
			i.say("the volume of %s grows to %s%s", c.Name, asked.String(), howItGrows(c))
			p.progress("VolumeExpansion", "%s grows to %s%s", c.Name, asked.String(), howItGrows(c))
		}
	}
}

// growing tells whether a claim's volume is smaller than what is asked for.
func growing(c *corev1.PersistentVolumeClaim, asked resource.Quantity) bool {
	have, known := c.Status.Capacity[corev1.ResourceStorage]
	return known && have.Cmp(asked) < 0
}

// expanding tells whether a volume of an instance is smaller than it is to be.
func (p *planner) expanding(i *instance) bool {
	for _, t := range claimTemplates(p.set, i.Template) {
		c := i.claims[t.Name]
		if c == nil {
			continue
		}
		asked := c.Spec.Resources.Requests[corev1.ResourceStorage]
		if size := t.Spec.Resources.Requests[corev1.ResourceStorage]; size.Cmp(asked) > 0 {
			asked = size
		}
		if growing(c, asked) {
			return true
		}
	}
	return false
}

// howItGrows is what Kubernetes says of it.
func howItGrows(c *corev1.PersistentVolumeClaim) string {
	for i := range c.Status.Conditions {
		one := &c.Status.Conditions[i]
		if one.Status != corev1.ConditionTrue {
			continue
		}
		switch one.Type {
		case corev1.PersistentVolumeClaimFileSystemResizePending:
			return ": the file system is grown next, while the pod runs"
		case corev1.PersistentVolumeClaimControllerResizeError, corev1.PersistentVolumeClaimNodeResizeError:
			return ": " + one.Message
		default: // nothing to say
		}
	}
	return ""
}

// useless says why the claims of an instance can't be kept, "" is that they can. Reason is one word.
func (p *planner) useless(i *instance) (reason, why string) {
	for _, t := range claimTemplates(p.set, i.Template) {
		c := i.claims[t.Name]
		if c == nil {
			continue
		}
		switch {
		case c.DeletionTimestamp != nil:
			return "ClaimDeleted", fmt.Sprintf("the claim %s was deleted", c.Name)
		case c.Status.Phase == corev1.ClaimLost:
			return "ClaimLost", fmt.Sprintf("the volume %s of the claim %s is gone", c.Spec.VolumeName, c.Name)
		case i.wanted && p.token(i.Name) != "" && c.Annotations[naming.AnnotationRebuild] != p.token(i.Name):
			return "Rebuild", "its rebuild was asked for"
		case i.released() && c.Annotations[naming.AnnotationLeft] == "" && p.hasLeft(i):
			return "Left", "its node has left the cluster, and can't come back with what it has"
		case p.stranded(i, c):
			return "VolumeStranded", fmt.Sprintf("the volume of %s is on a Kubernetes node that is gone", c.Name)
		}
	}
	return "", ""
}

// hasLeft tells whether the node of an instance is known to be no member, while others are.
func (p *planner) hasLeft(i *instance) bool {
	v, err := p.view()
	if err != nil || !v.Cluster.Enabled() {
		return false
	}
	_, err = p.peer(v, i)
	known := slices.ContainsFunc(p.sorted(), func(other *instance) bool { _, err := p.peer(v, other); return err == nil })
	return errors.Is(err, client.ErrNoPeer) && known
}

// mayStartAnew says what has to be waited for before a node loses its disk, although others have its data:
// the majority must keep theirs, too, else nobody can let it in again.
func (p *planner) mayStartAnew(i *instance) string {
	v, err := p.viewBut(i, true)
	if err != nil {
		return err.Error()
	}
	id, err := p.peer(v, i)
	if errors.Is(err, client.ErrNoPeer) {
		return ""
	}
	switch all, left := len(v.Cluster.Peers), alive(v, id); {
	case left == 0:
		return "no other node would be left of the cluster"
	case 2*left <= all:
		return fmt.Sprintf("only %d of %d nodes would be left of the cluster", left, all)
	case !i.ready && v.Cluster.Raft.Leader == id:
		return "the nodes haven't noticed yet that it is down, and it leads the consensus"
	case !i.ready:
		return ""
	}
	wait := p.turn(i)
	if wait == "" && !p.handOver(i, &wait) {
		return wait
	}
	return wait
}

// stranded tells whether the pod can't be scheduled because no node is left that has the volume.
func (p *planner) stranded(i *instance, c *corev1.PersistentVolumeClaim) bool {
	if i.pod == nil || i.pod.DeletionTimestamp != nil || i.pod.Spec.NodeName != "" || i.pod.Status.Phase != corev1.PodPending {
		return false
	}
	v := p.o.Volumes[c.Spec.VolumeName]
	if v == nil || v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
		return false
	}
	for n := range p.o.Nodes {
		node := &p.o.Nodes[n]
		if selects(v.Spec.NodeAffinity.Required, node) && !p.silent(node) {
			return false
		}
	}
	return true
}

// replace has an instance start anew with empty claims when those that it has are of no use, and nothing
// is lost. Its node takes the place of the one before by itself.
func (p *planner) replace(i *instance) {
	reason, why := p.useless(i)
	if reason == "" || i.pod == nil && reason == "ClaimDeleted" || i.gone {
		return // a claim that nobody uses goes by itself
	}
	p.progress(reason, "%s gets a new volume: %s", i.Name, why)
	if i.pod != nil && i.pod.DeletionTimestamp != nil {
		return
	}
	lost, err := p.only(i)
	switch {
	case err != nil:
		i.say("%s; it is replaced when it is known that nothing is lost with it: %v", why, err)
		return
	case lost != "" && !p.accepted(i.Name):
		p.fail(i, reason, fmt.Sprintf("%s, and no other node has all data of %s; to give it up, name %s in the annotation %s of the Cluster",
			why, lost, i.Name, naming.AnnotationAcceptDataLoss))
		return
	case !p.accepted(i.Name):
		if wait := p.mayStartAnew(i); wait != "" {
			i.say("%s; it is replaced later: %s", why, wait)
			return
		}
	}
	if i.pod != nil {
		if p.down {
			return // one at a time
		}
		p.down = true
		p.deletePod(i.pod, reason, why)
	}
	for _, t := range claimTemplates(p.set, i.Template) {
		if c := i.claims[t.Name]; c != nil {
			p.deleteClaim(c, reason, why)
		}
	}
}
