package kubelet

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/tests/operator/fleet"
)

// pod does for a pod what is to be done.
func (k *Kubelet) pod(ctx context.Context, p *corev1.Pod, all []corev1.Pod) error {
	if p.Spec.NodeName == "" {
		if p.DeletionTimestamp != nil {
			return k.removePod(ctx, p)
		}
		return k.schedule(ctx, p, all)
	}
	m := k.machines[p.Spec.NodeName]
	switch {
	case m == nil || m.gone:
		return k.removePod(ctx, p)
	case m.silent():
		return k.unheard(ctx, p)
	}
	c := k.running[p.UID]
	if c == nil {
		c = &container{machine: m, images: map[string]string{}, restarts: map[string]int32{}}
		k.running[p.UID] = c
	}
	if p.DeletionTimestamp != nil {
		return k.end(ctx, p, c)
	}
	if err := k.run(ctx, p, c); err != nil {
		return err
	}
	return k.tell(ctx, p, c)
}

// removePod removes a pod that doesn't run.
func (k *Kubelet) removePod(ctx context.Context, p *corev1.Pod) error {
	err := k.client.Delete(ctx, p, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.UID})
	if err != nil {
		return fmt.Errorf("remove the pod: %w", err)
	}
	return nil
}

// unheard is a pod on a machine that nobody hears of: it isn't ready, nothing else is known.
func (k *Kubelet) unheard(ctx context.Context, p *corev1.Pod) error {
	conditions := slices.Clone(p.Status.Conditions)
	for i := range conditions {
		if conditions[i].Type == corev1.PodReady {
			conditions[i].Status, conditions[i].Reason = corev1.ConditionFalse, "NodeNotReady"
		}
	}
	return k.report(ctx, p, p.Status.Phase, conditions, p.Status.ContainerStatuses, p.Status.PodIP)
}

// forgotten ends what runs for pods that are gone.
func (k *Kubelet) forgotten(pods *corev1.PodList) {
	there := map[types.UID]bool{}
	for i := range pods.Items {
		there[pods.Items[i].UID] = true
	}
	for uid, c := range k.running {
		if there[uid] || c.machine.silent() && !c.machine.gone {
			continue // who isn't heard of doesn't hear, either
		}
		if c.process != nil {
			c.process.Kill()
		}
		delete(k.running, uid)
	}
}

// end ends a pod, then removes it.
func (k *Kubelet) end(ctx context.Context, p *corev1.Pod, c *container) error {
	if c.process == nil {
		delete(k.running, p.UID)
		return k.removePod(ctx, p)
	}
	if !k.stop(c) {
		return k.tell(ctx, p, c)
	}
	return nil
}

// stop asks the process to end, and tells whether it has.
func (k *Kubelet) stop(c *container) bool {
	if c.ending == nil {
		ended, process := make(chan struct{}), c.process
		c.ending = ended
		go func() {
			process.Terminate()
			<-process.Ended()
			close(ended)
		}()
	}
	select {
	case <-c.ending:
		c.process, c.ending = nil, nil
		return true
	default:
		return false
	}
}

// run starts what should run, and restarts what should run otherwise.
func (k *Kubelet) run(ctx context.Context, p *corev1.Pod, c *container) error {
	if len(p.Spec.Containers) == 0 {
		return nil
	}
	first := &p.Spec.Containers[0]
	if c.process != nil && c.images[first.Name] != first.Image && !k.stop(c) {
		return nil
	}
	for i := 1; i < len(p.Spec.Containers); i++ {
		k.beside(&p.Spec.Containers[i], c)
	}
	if c.process != nil {
		return nil
	}
	c.problem = nil
	if missing(first.Image) {
		c.problem = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "there is no image " + first.Image}
		return nil
	}
	disk, ready, err := k.mounted(ctx, p)
	if err != nil || !ready {
		c.problem = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		return err
	}
	if c.ip == "" {
		c.ip = nextIP()
	}
	env, err := k.environment(ctx, p, first, c.ip)
	if err != nil {
		c.problem = &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: err.Error()}
		return nil //nolint:nilerr // the pod says it
	}
	certificate, err := k.certificate(ctx, p)
	if err != nil {
		return err
	}
	process, err := k.o.World.Start(fleet.Start{IP: c.ip, Disk: disk, Env: env, Version: version(first.Image), TLS: certificate})
	if err != nil {
		c.problem = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: err.Error()}
		k.o.Log("kubelets: %s doesn't start: %v", p.Name, err)
		return nil
	}
	if c.images[first.Name] != "" {
		c.restarts[first.Name]++
	}
	c.process, c.images[first.Name], c.started = process, first.Image, metav1.Now()
	return nil
}

// beside has the other containers come and go.
func (k *Kubelet) beside(spec *corev1.Container, c *container) {
	if c.images[spec.Name] == spec.Image || missing(spec.Image) {
		return
	}
	if c.images[spec.Name] != "" {
		c.restarts[spec.Name]++
	}
	c.images[spec.Name] = spec.Image
}

// tell writes how a pod is.
func (k *Kubelet) tell(ctx context.Context, p *corev1.Pod, c *container) error {
	ready := c.process != nil && c.problem == nil && c.process.Ready() && p.DeletionTimestamp == nil
	var statuses []corev1.ContainerStatus
	started := 0
	for i := range p.Spec.Containers {
		spec := &p.Spec.Containers[i]
		s := corev1.ContainerStatus{
			Name: spec.Name, Image: spec.Image, ImageID: c.images[spec.Name], RestartCount: c.restarts[spec.Name],
			Resources: spec.Resources.DeepCopy(),
		}
		running := c.process != nil && c.images[spec.Name] == spec.Image
		s.Started = &running
		switch {
		case running:
			started++
			s.Ready = i > 0 || ready
			s.ContainerID = fmt.Sprintf("test://%s/%s/%d", p.UID, spec.Name, s.RestartCount)
			s.State.Running = &corev1.ContainerStateRunning{StartedAt: c.started}
		case c.problem != nil:
			s.State.Waiting = c.problem
		case missing(spec.Image):
			s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "there is no image " + spec.Image}
		default:
			s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		}
		ready = ready && running
		statuses = append(statuses, s)
	}
	phase := corev1.PodPending
	if started > 0 || len(c.images) == len(p.Spec.Containers) {
		phase = corev1.PodRunning
	}
	return k.report(ctx, p, phase, conditionsOf(ready), statuses, c.ip)
}

func conditionsOf(ready bool) []corev1.PodCondition {
	is := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}
	return []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		{Type: corev1.ContainersReady, Status: is[ready]},
		{Type: corev1.PodReady, Status: is[ready]},
	}
}

// report writes the status of a pod when it differs.
func (k *Kubelet) report(
	ctx context.Context, p *corev1.Pod, phase corev1.PodPhase, conditions []corev1.PodCondition, statuses []corev1.ContainerStatus, ip string,
) error {
	next := p.DeepCopy()
	next.Status.Phase, next.Status.ContainerStatuses = phase, statuses
	if m := k.machines[p.Spec.NodeName]; m != nil && !m.silent() {
		next.Status.ObservedGeneration = p.Generation
	}
	next.Status.Conditions = k.carry(p.Status.Conditions, conditions)
	if ip != "" {
		next.Status.PodIP, next.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	}
	if next.Status.StartTime == nil && p.Spec.NodeName != "" {
		now := metav1.Now()
		next.Status.StartTime = &now
	}
	if equality.Semantic.DeepEqual(p.Status, next.Status) {
		return nil
	}
	if err := k.client.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("write the pod's status: %w", err)
	}
	return nil
}

// carry keeps since when a condition has been what it is, and conditions that aren't the kubelet's.
func (k *Kubelet) carry(old, next []corev1.PodCondition) []corev1.PodCondition {
	byType := map[corev1.PodConditionType]corev1.PodCondition{}
	for _, c := range old {
		byType[c.Type] = c
	}
	for i := range next {
		before, ok := byType[next[i].Type]
		delete(byType, next[i].Type)
		next[i].LastTransitionTime = metav1.Now()
		if ok && before.Status == next[i].Status {
			next[i].LastTransitionTime = before.LastTransitionTime
		}
	}
	for _, t := range slices.Sorted(maps.Keys(byType)) {
		next = append(next, byType[t])
	}
	return next
}
