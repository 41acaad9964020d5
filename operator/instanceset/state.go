package instanceset

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

const (
	// failedAfter is how long a pod may be in trouble before it counts as failed: a pod that has
	// just been made waits for what it needs.
	failedAfter = time.Minute
	// replacedAfter is how long after the change of an image a pod that is well counts as changed,
	// although its container is the one before: it was changed back before anybody saw it.
	replacedAfter = 2 * time.Minute
	// crashes is how many times a container has to end before that is no accident.
	crashes = 3
)

// ended tells whether the pod's containers have ended for good.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

// podReady tells whether a pod serves, in the version that it was last given.
func podReady(p *corev1.Pod, now time.Time) bool {
	if p == nil || p.DeletionTimestamp != nil || ended(p) || replacing(p, now) {
		return false
	}
	c := nodes.Condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// podAvailable tells whether a pod has been ready for a time.
func podAvailable(p *corev1.Pod, minReady int32, now time.Time) bool {
	if !podReady(p, now) {
		return false
	}
	since := nodes.Condition(p, corev1.PodReady).LastTransitionTime.Time
	if r, ok := replacementIn(p); ok && r.At.After(since) {
		since = r.At // its containers may have been changed faster than anybody could see
	}
	return !now.Before(since.Add(time.Duration(minReady) * time.Second))
}

// replacement is what the annotation AnnotationReplacing holds: the containers that run when their image
// is changed. Kubernetes tells that a pod is ready a while after that, which is about them.
type replacement struct {
	At         time.Time         `json:"at"`
	Containers map[string]string `json:"containers"`
}

// replacementOf notes the containers that get new images.
func replacementOf(p *corev1.Pod, images map[string]string, now time.Time) (string, error) {
	r := replacement{At: now.UTC().Truncate(time.Second), Containers: map[string]string{}}
	for name := range images {
		r.Containers[name] = containerID(p, name)
	}
	raw, err := json.Marshal(r)
	return string(raw), err
}

func replacementIn(p *corev1.Pod) (r replacement, ok bool) {
	text := p.Annotations[naming.AnnotationReplacing]
	return r, text != "" && json.Unmarshal([]byte(text), &r) == nil
}

func containerID(p *corev1.Pod, name string) string {
	for i := range p.Status.ContainerStatuses {
		if p.Status.ContainerStatuses[i].Name == name {
			return p.Status.ContainerStatuses[i].ContainerID
		}
	}
	return ""
}

// replacing tells whether a container with a new image isn't there yet.
func replacing(p *corev1.Pod, now time.Time) bool {
	r, ok := replacementIn(p)
	if !ok {
		return false
	}
	for name, before := range r.Containers {
		if id := containerID(p, name); id == "" || id == before {
			seen := p.Status.ObservedGeneration >= p.Generation && now.After(r.At.Add(replacedAfter))
			c := nodes.Condition(p, corev1.PodReady)
			return !seen || c == nil || c.Status != corev1.ConditionTrue
		}
	}
	return false
}

// hopeless are the reasons for which a container waits that don't pass by waiting.
var hopeless = []string{
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "ErrImagePull", "ImagePullBackOff", "InvalidImageName",
	"ErrImageNeverPull", "CrashLoopBackOff",
}

// trouble says why a pod doesn't get ready; an empty reason is none that is known.
func trouble(p *corev1.Pod) (reason, message string) {
	if p.Status.Phase == corev1.PodFailed {
		return or(p.Status.Reason, "PodFailed"), or(p.Status.Message, "the pod has failed")
	}
	if c := nodes.Condition(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
		return c.Reason, c.Message
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if reason, message = containerTrouble(&list[i]); reason != "" {
				return reason, message
			}
		}
	}
	return "", ""
}

func containerTrouble(c *corev1.ContainerStatus) (reason, message string) {
	if w := c.State.Waiting; w != nil && slices.Contains(hopeless, w.Reason) {
		return w.Reason, fmt.Sprintf("container %s: %s", c.Name, or(w.Message, w.Reason))
	}
	if t := c.LastTerminationState.Terminated; t != nil && !c.Ready && c.RestartCount >= crashes {
		return "CrashLoopBackOff", fmt.Sprintf("container %s has ended %d times, the last time with exit code %d (%s)",
			c.Name, c.RestartCount, t.ExitCode, or(t.Reason, "no reason"))
	}
	return "", ""
}

// since is when a pod began not to be ready.
func since(p *corev1.Pod) time.Time {
	if c := nodes.Condition(p, corev1.PodReady); c != nil {
		return c.LastTransitionTime.Time
	}
	return p.CreationTimestamp.Time
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// nodeLost tells whether a Kubernetes node is gone, or has been silent for so long that it counts as
// gone.
func (p *planner) nodeLost(name string) bool {
	i := slices.IndexFunc(p.o.Nodes, func(n corev1.Node) bool { return n.Name == name })
	return i < 0 || p.silent(&p.o.Nodes[i])
}

// notReady tells whether a Kubernetes node is silent, however short.
func (p *planner) notReady(name string) bool {
	i := slices.IndexFunc(p.o.Nodes, func(n corev1.Node) bool { return n.Name == name })
	return i >= 0 && !nodeReady(&p.o.Nodes[i])
}

func (p *planner) silent(n *corev1.Node) bool {
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		if c.Type == corev1.NodeReady {
			return c.Status != corev1.ConditionTrue && !p.o.Now.Before(c.LastTransitionTime.Add(p.o.NodeLostAfter))
		}
	}
	return false
}
