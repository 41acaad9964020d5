package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// The port on which nodes speak to each other, by number and by name. It asks for no API key, so no
// service has it unless the user names it.
const (
	peerPort     = 6335
	peerPortName = "p2p"
)

// services plans the services of the cluster: for each entry of spec.services one, or one for each
// pod. It works as far as it can when the components can't be resolved: an entry that was removed
// takes its service with it in any case.
func services(t *Tree, choices map[string]choice, p *Plan) {
	keep := map[string]bool{}
	for i := range t.Cluster.Spec.Services {
		entry := &t.Cluster.Spec.Services[i]
		name := naming.ClusterService(t.Cluster.Name, entry.Name, entry.ServiceName)
		ports, err := servicePorts(t, entry, choices)
		if err == nil {
			err = checkSelector(t, entry)
		}
		if err != nil {
			p.Problems = append(p.Problems, fmt.Sprintf("service %s: %s", name, err))
			keepAll(t, name, keep)
			continue
		}
		for _, s := range entryServices(t, entry, name, ports, keep) {
			if taken(p.Services, s.Name) {
				p.Problems = append(p.Problems, fmt.Sprintf("service %s: another entry of spec.services has the same name", s.Name))
				continue
			}
			keep[s.Name] = true
			p.Services = append(p.Services, s)
		}
	}
	for i := range t.Services {
		if s := &t.Services[i]; !keep[s.Name] && s.DeletionTimestamp == nil {
			p.Superfluous = append(p.Superfluous, *s)
		}
	}
}

func taken(services []*corev1.Service, name string) bool {
	return slices.ContainsFunc(services, func(s *corev1.Service) bool { return s.Name == name })
}

// keepAll keeps what exists of an entry: its service, and those of single pods.
func keepAll(t *Tree, name string, keep map[string]bool) {
	for i := range t.Services {
		s := &t.Services[i]
		pod, suffix := s.Spec.Selector[naming.LabelPodName], strings.TrimPrefix(s.Name, name)
		if suffix == "" || suffix != s.Name && pod != "" && strings.HasSuffix(pod, suffix) {
			keep[s.Name] = true
		}
	}
}

// entryServices returns the services of an entry.
func entryServices(t *Tree, entry *appsv1.ClusterService, name string, ports []corev1.ServicePort, keep map[string]bool) []*corev1.Service {
	components := selected(t, entry)
	if entry.PodService == nil || !*entry.PodService {
		return []*corev1.Service{service(t, entry, name, components, ports)}
	}
	var services []*corev1.Service
	for _, component := range components {
		prefix := naming.Component(t.Cluster.Name, component)
		set := t.set(component)
		if set == nil || len(set.Status.InstanceStatus) == 0 || stopped(t, component) {
			keepAll(t, name, keep) // who the pods will be isn't known now
			continue
		}
		if len(components) > 1 {
			prefix = t.Cluster.Name // the names of pods alone would clash
		}
		for _, instance := range set.Status.InstanceStatus {
			if instance.DesiredState == workloadsv1.InstanceReleased || instance.DesiredState == workloadsv1.InstanceOffline {
				continue
			}
			s := service(t, entry, name+strings.TrimPrefix(instance.PodName, prefix), []string{component}, ports)
			s.Spec.Selector = podSelector(t, entry, component)
			s.Spec.Selector[naming.LabelPodName] = instance.PodName
			services = append(services, s)
		}
	}
	return services
}

func stopped(t *Tree, component string) bool {
	for i := range t.Cluster.Spec.ComponentSpecs {
		if c := &t.Cluster.Spec.ComponentSpecs[i]; c.Name == component {
			return c.Stop != nil && *c.Stop
		}
	}
	return false
}

// selected returns the components whose pods an entry reaches.
func selected(t *Tree, entry *appsv1.ClusterService) []string {
	if entry.ComponentSelector != "" {
		return []string{entry.ComponentSelector}
	}
	var names []string
	for i := range t.Cluster.Spec.ComponentSpecs {
		names = append(names, t.Cluster.Spec.ComponentSpecs[i].Name)
	}
	return names
}

// podSelector are the labels that the pods of a service for one pod must have, whatever trial they are part of.
func podSelector(t *Tree, entry *appsv1.ClusterService, component string) map[string]string {
	selector := fixedSelector(t, entry, component)
	delete(selector, naming.LabelReleasePhase)
	return further(selector, entry)
}

// fixedSelector are the labels by which an entry reaches the pods of a component, or of all ("").
func fixedSelector(t *Tree, entry *appsv1.ClusterService, component string) map[string]string {
	selector := naming.ServiceSelector(t.owner(component), entry.RoleSelector)
	if component == "" {
		delete(selector, naming.LabelComponentName)
	}
	return selector
}

// further adds the labels that an entry asks for itself. Among them may be the trial that the pods are part of.
func further(selector map[string]string, entry *appsv1.ClusterService) map[string]string {
	maps.Copy(selector, entry.Spec.Selector)
	return selector
}

// checkSelector refuses labels that would have a service reach others than the pods of its cluster.
func checkSelector(t *Tree, entry *appsv1.ClusterService) error {
	fixed := fixedSelector(t, entry, entry.ComponentSelector)
	delete(fixed, naming.LabelReleasePhase)
	for _, label := range slices.Sorted(maps.Keys(entry.Spec.Selector)) {
		if want, is := fixed[label]; is && entry.Spec.Selector[label] != want {
			return fmt.Errorf("its selector has the label %s, which is the operator's: it is %s", label, want)
		}
	}
	return nil
}

func service(t *Tree, entry *appsv1.ClusterService, name string, components []string, ports []corev1.ServicePort) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   t.Cluster.Namespace,
			Name:        name,
			Labels:      naming.ClusterLabels(t.Cluster.Name),
			Annotations: maps.Clone(entry.Annotations),
		},
		Spec: *entry.Spec.DeepCopy(),
	}
	s.Spec.Ports = ports
	if len(components) == 1 {
		s.Labels = naming.ComponentLabels(t.owner(components[0]))
		s.Spec.Selector = further(fixedSelector(t, entry, components[0]), entry)
		return s
	}
	s.Spec.Selector = further(fixedSelector(t, entry, ""), entry)
	return s
}

// servicePorts returns the ports of an entry: those that it names, or those on which clients are
// served.
func servicePorts(t *Tree, entry *appsv1.ClusterService, choices map[string]choice) ([]corev1.ServicePort, error) {
	ports := slices.Clone(entry.Spec.Ports)
	if len(ports) == 0 {
		for _, component := range selected(t, entry) {
			chosen, ok := choices[component]
			if !ok {
				return nil, fmt.Errorf("its ports are those of component %s, which aren't known", component)
			}
			for _, port := range clientPorts(chosen.Definition) {
				if !slices.ContainsFunc(ports, func(p corev1.ServicePort) bool { return p.Port == port.Port }) {
					ports = append(ports, port)
				}
			}
		}
	}
	if len(ports) == 0 {
		return nil, errors.New("it names no ports, and its component has none for clients")
	}
	for i := range ports {
		if ports[i].Protocol == "" {
			ports[i].Protocol = corev1.ProtocolTCP // part of the key by which the server merges ports
		}
		if ports[i].TargetPort == (intstr.IntOrString{}) {
			ports[i].TargetPort = intstr.FromInt32(ports[i].Port) // what the server would make of it
		}
		if ports[i].Name == "" && len(ports) > 1 {
			ports[i].Name = fmt.Sprintf("port-%d", ports[i].Port)
		}
	}
	return ports, nil
}

// clientPorts are the ports of the services of a definition, or, where it has none, of its first
// container; without the port between nodes.
func clientPorts(d *appsv1.ComponentDefinition) []corev1.ServicePort {
	numbers := map[string]int32{}
	for _, c := range d.Spec.Runtime.Containers {
		for _, p := range c.Ports {
			numbers[p.Name] = p.ContainerPort
		}
	}
	forClients := func(p corev1.ServicePort) bool {
		target := p.TargetPort.IntVal
		if p.TargetPort.Type == intstr.String {
			target = numbers[p.TargetPort.StrVal]
		}
		return p.Port != peerPort && target != peerPort && p.TargetPort.StrVal != peerPortName
	}
	var ports []corev1.ServicePort
	for _, s := range d.Spec.Services {
		for _, p := range s.Spec.Ports {
			p.NodePort = 0
			if forClients(p) {
				ports = append(ports, p)
			}
		}
	}
	if len(ports) > 0 || len(d.Spec.Runtime.Containers) == 0 {
		return ports
	}
	for _, c := range d.Spec.Runtime.Containers[0].Ports {
		p := corev1.ServicePort{Name: c.Name, Port: c.ContainerPort, Protocol: c.Protocol, TargetPort: intstr.FromInt32(c.ContainerPort)}
		if c.Name != "" {
			p.TargetPort = intstr.FromString(c.Name)
		}
		if forClients(p) {
			ports = append(ports, p)
		}
	}
	return ports
}
