package ops

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

// The reasons of conditions and events.
const (
	reasonWaits         = "WaitForProgressing"
	reasonQueued        = "Queued"
	reasonWaitCluster   = "WaitForCluster"
	reasonWaitStatus    = "WaitForStatus"
	reasonValid         = "ValidateOpsRequestPassed"
	reasonInvalid       = "ValidateOpsRequestFailed"
	reasonSucceed       = "OpsRequestProcessedSuccessfully"
	reasonFailed        = "OpsRequestFailed"
	reasonRefused       = "ClusterRefusesChange"
	reasonQueueFull     = "QueueFull"
	reasonNoCluster     = "ClusterNotFound"
	reasonClusterGoes   = "ClusterIsDeleted"
	reasonDeadline      = "PreConditionDeadline"
	reasonTimeout       = "Timeout"
	reasonComponent     = "ComponentFailed"
	reasonOverridden    = "AbortedByNewerOperation"
	reasonSuperseded    = "ChangedMeanwhile"
	reasonAheadFailed   = "OperationAheadFailed"
	reasonCancelled     = "CancelledByUser"
	reasonCancelling    = "Cancelling"
	reasonNoCancel      = "CannotBeCancelled"
	reasonPutBackFailed = "CancelFailed"
)

// operation is an OpsRequest of a round: as it was read, and as it is to be.
type operation struct {
	was, now *opsv1.OpsRequest
	kind     kind
}

func (op *operation) deleted() bool    { return op.was.DeletionTimestamp != nil }
func (op *operation) unfinished() bool { return !op.now.Status.Phase.Finished() }

// waits tells whether it has not begun to change the cluster.
func (op *operation) waits() bool { return !op.now.Status.Phase.Started() }

// started tells whether it changes, or has changed, the cluster, and isn't at its end.
func (op *operation) started() bool { return op.now.Status.Phase.Started() && op.unfinished() }

// forced tells whether it goes ahead without waiting for others or for the cluster.
func (op *operation) forced() bool { return op.now.Spec.Force && !op.now.Spec.EnqueueOnForce }

// failed tells whether it did not do what it was to do, so that those behind it can't count on it.
func (op *operation) failed() bool {
	switch op.now.Status.Phase {
	case opsv1.OpsFailed:
		return true
	case opsv1.OpsAborted:
		c := op.condition(opsv1.ConditionAborted)
		return c != nil && c.Reason == reasonTimeout
	default:
		return false
	}
}

func (op *operation) condition(name string) *metav1.Condition {
	for i := range op.now.Status.Conditions {
		if op.now.Status.Conditions[i].Type == name {
			return &op.now.Status.Conditions[i]
		}
	}
	return nil
}

// say sets a condition. Its time is when its status or reason last changed. It tells whether one
// of them did.
func (op *operation) say(now time.Time, name string, status metav1.ConditionStatus, reason, message string) bool {
	c := op.condition(name)
	if c == nil {
		op.now.Status.Conditions = append(op.now.Status.Conditions, metav1.Condition{Type: name})
		c = &op.now.Status.Conditions[len(op.now.Status.Conditions)-1]
	}
	changed := c.Status != status || c.Reason != reason
	if changed {
		c.LastTransitionTime = seconds(now)
	}
	c.Status, c.Reason, c.Message = status, reason, limit(message)
	return changed
}

// maxMessage is the most that a condition's message may have.
const maxMessage = 32768

func limit(message string) string {
	if len(message) > maxMessage {
		return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
	}
	return message
}

// seconds is a time as the API server stores it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }
