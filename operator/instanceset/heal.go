package instanceset

import (
	"fmt"
	"time"

	"github.com/sextantdb/sextant/operator/naming"
)

// again is how old a pod must be to be made again when it has ended: one that ends at once must not be made
// without a pause.
const again = 10 * time.Second

// heal takes away pods that have ended, and those whose kubelet is gone: they are made again.
func (p *planner) heal() {
	for _, i := range p.sorted() {
		switch pod := i.pod; {
		case pod == nil:
		case (ended(pod) || pod.Spec.NodeName != "" && p.nodeLost(pod.Spec.NodeName)) && losing(i) && !p.mayLose(i):
			// Its claim was deleted, and goes as soon as the pod does.
		case pod.Spec.NodeName != "" && p.nodeLost(pod.Spec.NodeName):
			why := fmt.Sprintf("the Kubernetes node %s is gone", pod.Spec.NodeName)
			i.say("%s", why)
			p.progress("NodeLost", "%s starts elsewhere: %s", i.Name, why)
			p.deletePod(pod, "NodeLost", why)
		case p.outOfPlace(i):
			p.deletePod(pod, "MachineLost", "the machine "+pinnedTo(&pod.Spec)+" that it was made for is gone, or takes no pods")
		case ended(pod) && pod.DeletionTimestamp == nil:
			reason, message := trouble(pod)
			reason = or(reason, string(pod.Status.Phase))
			i.say("the pod has ended (%s: %s) and is made again", reason, or(message, "it was not to end"))
			if !p.o.Now.Before(pod.CreationTimestamp.Add(again)) {
				p.deletePod(pod, reason, or(message, "the pod has ended"))
			}
		}
	}
}

// outOfPlace tells whether the pod of an instance waits for a machine that it isn't to run on any more.
func (p *planner) outOfPlace(i *instance) bool {
	named := naming.RebuildMachine(p.token(i.Name))
	if i.pod.Spec.NodeName != "" || i.pod.DeletionTimestamp != nil || named == "" {
		return false // what it is pinned to, if anything, is the template's
	}
	return pinnedTo(&i.pod.Spec) == named && p.machine(i) == ""
}

// mayLose tells whether nothing is lost with the disk of an instance, or the user gave that up; else it says
// so.
func (p *planner) mayLose(i *instance) bool {
	lost, err := p.only(i)
	switch {
	case err != nil:
		i.say("its claim was deleted; the pod is made again when it is known that nothing is lost: %v", err)
		return false
	case lost != "" && !p.accepted(i.Name):
		p.fail(i, "ClaimDeleted", "its claim was deleted, and no other node has all data of "+lost)
		return false
	}
	return true
}

// troubles says why pods don't get ready.
func (p *planner) troubles() {
	for _, i := range p.wanted {
		if i.pod == nil || i.ready || i.gone || i.failed {
			continue
		}
		reason, message := trouble(i.pod)
		switch {
		case i.pod.Spec.NodeName != "" && p.notReady(i.pod.Spec.NodeName):
			// Kubernetes has waited for it already.
			p.fail(i, "NodeNotReady", fmt.Sprintf("its Kubernetes node %s doesn't answer", i.pod.Spec.NodeName))
		case reason == "":
			if len(i.messages) == 0 {
				i.say("not ready yet")
			}
		case p.o.Now.Before(since(i.pod).Add(failedAfter)):
			i.say("%s: %s", reason, message)
		default:
			p.fail(i, reason, message)
		}
	}
}
