package instanceset

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/client"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/nodes"
)

// Observed is all that a plan is made from.
type Observed struct {
	Now time.Time
	Set *workloadsv1.InstanceSet
	// Cluster is that which a set is part of that was deleted; nil is none, or that it isn't there any more.
	Cluster *appsv1.Cluster
	// Pods and Claims are those of the set, also those that are on their way out.
	Pods   []corev1.Pod
	Claims []corev1.PersistentVolumeClaim
	// Nodes are all of the Kubernetes cluster.
	Nodes []corev1.Node
	// Volumes are those of the claims of pods that can't be scheduled, by name.
	Volumes map[string]*corev1.PersistentVolume
	// NodeLostAfter is how long a Kubernetes node may be silent before it counts as gone.
	NodeLostAfter time.Duration
	// ClusterDomain is the domain of the Kubernetes cluster.
	ClusterDomain string
	// Roles are what agents said, by pod.
	Roles map[string]nodes.Role
	// Answers are those to the questions of the plan before.
	Answers map[Question]Answer
}

// Kind is what a question is about.
type Kind string

// The kinds of questions. All but the first change something when asked, and are harmless when asked
// again.
const (
	// AskView asks for the cluster and where everything is.
	AskView Kind = "view"
	// AskDrain has a node lose its copies, AskUndrain ends that.
	AskDrain   Kind = "drain"
	AskUndrain Kind = "undrain"
	// AskLeave has a member leave, AskSwitchover a leader hand over; the answer tells how it goes.
	AskLeave      Kind = "leave"
	AskSwitchover Kind = "switchover"
)

// Question is something that has to be asked of the nodes.
type Question struct {
	Kind Kind
	// Pod is the instance that it is about, Peer its node.
	Pod  string
	Peer uint64
	// Through is the pod whose agent is asked.
	Through string
	// AcceptLoss says that the member may leave although data is lost with it.
	AcceptLoss bool
}

// Answer is the answer to a question. What belongs to other kinds of questions is empty.
type Answer struct {
	Err     error
	View    *client.View
	Outcome nodes.Outcome
}

// Decision is what is to be done. When there is something to ask, nothing else is decided.
type Decision struct {
	Ask []Question

	AddFinalizer, RemoveFinalizer bool

	CreateClaims []*corev1.PersistentVolumeClaim
	CreatePods   []*corev1.Pod
	DeletePods   []PodDeletion
	DeleteClaims []ClaimDeletion
	PatchPods    []PodPatch
	PatchClaims  []ClaimPatch

	// Status is what is seen; nil leaves it alone.
	Status *workloadsv1.InstanceSetStatus
	// Requeue is when to look again; 0 is when something changes.
	Requeue time.Duration
}

// PodDeletion is a pod that is to go: this very one, not another of the same name.
type PodDeletion struct {
	Pod *corev1.Pod
	// Force doesn't wait for the kubelet, which is gone.
	Force bool
	// Reason (one word) and Why go into an event.
	Reason, Why string
}

// ClaimDeletion is a claim that is to go: this very one.
type ClaimDeletion struct {
	Claim       *corev1.PersistentVolumeClaim
	Reason, Why string
}

// PodPatch changes a pod in place. Empty values of labels and annotations remove them.
type PodPatch struct {
	Pod                 *corev1.Pod
	Labels, Annotations map[string]string
	// Images are new images by container: those containers start anew.
	Images map[string]string
	// Reason (one word) and Why go into an event; without them there is none.
	Reason, Why string
}

// ClaimPatch changes a claim.
type ClaimPatch struct {
	Claim *corev1.PersistentVolumeClaim
	// Storage is the new size, "" is as it is.
	Storage     string
	Annotations map[string]string
	Reason, Why string
}

// Disruptive tells whether something is to be taken away that can't be made good by making it again:
// such a decision must not be made on stale data.
func (d *Decision) Disruptive() bool {
	if d.RemoveFinalizer || len(d.DeletePods) > 0 || len(d.DeleteClaims) > 0 {
		return true
	}
	for i := range d.PatchPods {
		if len(d.PatchPods[i].Images) > 0 {
			return true
		}
	}
	return false
}

// Idle tells whether nothing is to be written but maybe the status.
func (d *Decision) Idle() bool {
	return !d.Disruptive() && !d.AddFinalizer &&
		len(d.CreateClaims)+len(d.CreatePods)+len(d.PatchPods)+len(d.PatchClaims) == 0
}
