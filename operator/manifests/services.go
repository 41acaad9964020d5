package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// services are the definition's, and {cluster}-{component} when none of them is called so: the first under the shorter name.
func (s *Source) services() []appsv1.ServiceDefinition {
	all := s.Definition.Spec.Services
	if len(all) == 0 || slices.ContainsFunc(all, func(d appsv1.ServiceDefinition) bool { return d.ServiceName == "" }) {
		return all
	}
	short := *all[0].DeepCopy()
	short.Name, short.ServiceName, short.PodService = "", "", nil
	return append(slices.Clone(all), short)
}

// Services reach the pods: those of the definition as the user changed them, and the headless one.
func (s *Source) Services() ([]*corev1.Service, error) {
	definitions := s.services()
	for _, change := range s.Component.Spec.Services {
		if !slices.ContainsFunc(definitions, func(d appsv1.ServiceDefinition) bool { return d.Name == change.Name }) {
			var names []string
			for _, d := range s.Definition.Spec.Services {
				names = append(names, d.Name)
			}
			return nil, fmt.Errorf("services[%s]: definition %s has no such service, but %s", change.Name, s.Definition.Name, naming.List(names))
		}
	}
	all := []*corev1.Service{s.headlessService()}
	for i := range definitions {
		all = append(all, s.servicesOf(&definitions[i])...)
	}
	return all, nil
}

// servicesOf is one service, or one for each pod.
func (s *Source) servicesOf(d *appsv1.ServiceDefinition) []*corev1.Service {
	o := s.owner()
	service := &corev1.Service{ObjectMeta: s.meta(naming.ComponentService(o.Cluster, o.Component, d.ServiceName)), Spec: *d.Spec.DeepCopy()}
	perPod := d.PodService != nil && *d.PodService
	service.Annotations = joined(d.Annotations)
	for _, change := range s.Component.Spec.Services {
		if change.Name != d.Name {
			continue
		}
		service.Annotations = joined(service.Annotations, change.Annotations)
		service.Spec.Type = cmp.Or(change.ServiceType, service.Spec.Type)
		if change.PodService != nil {
			perPod = *change.PodService
		}
	}
	service.Spec.Type = cmp.Or(service.Spec.Type, corev1.ServiceTypeClusterIP)
	service.Spec.Selector = naming.ServiceSelector(o, d.RoleSelector)
	for i := range service.Spec.Ports { // it is part of the key by which ports are told apart
		service.Spec.Ports[i].Protocol = cmp.Or(service.Spec.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	if !perPod {
		return []*corev1.Service{service}
	}
	var all []*corev1.Service
	for _, pod := range s.instances() {
		one := service.DeepCopy()
		one.Name += strings.TrimPrefix(pod, s.Component.Name)
		one.Spec.Selector[naming.LabelPodName] = pod
		all = append(all, one)
	}
	return all
}

// headlessService gives the pods their names, also while they aren't ready: they need each other to become that.
func (s *Source) headlessService() *corev1.Service {
	o := s.owner()
	service := &corev1.Service{
		ObjectMeta: s.meta(naming.HeadlessService(o.Cluster, o.Component)),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
			Selector: naming.PodSelector(o),
		},
	}
	for _, p := range s.engine().Ports {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: p.Name, Port: p.ContainerPort, Protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP), TargetPort: portOf(p),
		})
	}
	return service
}

func portOf(p corev1.ContainerPort) intstr.IntOrString {
	if p.Name != "" {
		return intstr.FromString(p.Name)
	}
	return intstr.FromInt32(p.ContainerPort)
}

// DisruptionBudget keeps Kubernetes from taking down more than one pod at a time on purpose.
func (s *Source) DisruptionBudget() *policyv1.PodDisruptionBudget {
	o := s.owner()
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: s.meta(naming.DisruptionBudget(o.Cluster, o.Component)),
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(1)), Selector: s.podSelector()},
	}
}
