package ops

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
)

// The port on which nodes trust each other, by number and by name: it never gets into a service for clients.
const (
	portPeers     = 6335
	portNamePeers = "p2p"
)

// maxServiceName is the longest name of an entry of services in a Cluster.
const maxServiceName = 25

// expose makes services, or removes them.
type expose struct{ base }

func (k expose) components() []string {
	return named(k.op.Spec.Expose, func(e *opsv1.ExposeOps) string { return e.ComponentName })
}

func (k expose) check(o *Observed) error {
	changes := false
	for i := range k.op.Spec.Expose {
		e := &k.op.Spec.Expose[i]
		for j := range e.Services {
			more, err := k.checkService(o, e, &e.Services[j])
			if err != nil {
				return err
			}
			changes = changes || more
		}
	}
	if !changes {
		return fmt.Errorf("%w: the services are as they should be", errNothing)
	}
	return nil
}

func (k expose) checkService(o *Observed, e *opsv1.ExposeOps, s *opsv1.ExposedService) (changes bool, err error) {
	name := naming.ExposedService(e.ComponentName, s.Name)
	have := clusterService(o.Cluster, name)
	if e.Switch == opsv1.Disable {
		if have == nil {
			return false, fmt.Errorf("cluster %s has no service %s: it has %s", o.Key.Name, name, naming.List(k.serviceNames(o.Cluster)))
		}
		return true, nil
	}
	switch {
	case len(name) > maxServiceName:
		return false, fmt.Errorf("the service would be called %s in the Cluster, longer than %d characters: choose a shorter name", name, maxServiceName)
	case name[0] < 'a' || name[0] > 'z':
		return false, fmt.Errorf("the service would be called %s, which doesn't begin with a letter: choose another name", name)
	case slices.ContainsFunc(s.Ports, peers):
		return false, fmt.Errorf("port %d is for the nodes among themselves, without authentication, and isn't exposed: leave it out", portPeers)
	case have != nil:
		return false, fmt.Errorf("cluster %s has a service %s: disable it first, or choose another name", o.Key.Name, name)
	}
	full := naming.ClusterService(o.Key.Name, name, "")
	if o.service(full) != nil {
		return false, fmt.Errorf("there is a Service %s in the namespace %s: choose another name", full, o.Key.Namespace)
	}
	return true, nil
}

func peers(p corev1.ServicePort) bool {
	return p.Port == portPeers || p.TargetPort == intstr.FromInt32(portPeers) || p.TargetPort == intstr.FromString(portNamePeers)
}

func clusterService(c *appsv1.Cluster, name string) *appsv1.ClusterService {
	for i := range c.Spec.Services {
		if c.Spec.Services[i].Name == name {
			return &c.Spec.Services[i]
		}
	}
	return nil
}

func (expose) serviceNames(c *appsv1.Cluster) []string {
	return named(c.Spec.Services, func(s *appsv1.ClusterService) string { return s.Name })
}

func (k expose) record(o *Observed) opsv1.LastConfiguration {
	out := opsv1.LastConfiguration{Components: map[string]opsv1.LastComponentConfiguration{}}
	for _, name := range k.components() {
		out.Components[name] = opsv1.LastComponentConfiguration{Services: slices.Sorted(slices.Values(k.serviceNames(o.Cluster)))}
	}
	return out
}

func (k expose) edit(_ *Observed, c *appsv1.Cluster) {
	for i := range k.op.Spec.Expose {
		e := &k.op.Spec.Expose[i]
		for j := range e.Services {
			name := naming.ExposedService(e.ComponentName, e.Services[j].Name)
			switch {
			case e.Switch == opsv1.Disable:
				c.Spec.Services = slices.DeleteFunc(c.Spec.Services, func(s appsv1.ClusterService) bool { return s.Name == name })
			case clusterService(c, name) == nil:
				c.Spec.Services = append(c.Spec.Services, exposed(name, e.ComponentName, &e.Services[j]))
			}
		}
	}
	if len(c.Spec.Services) == 0 {
		c.Spec.Services = nil
	}
}

// exposed is the entry of a service in a Cluster. One without ports has those for clients.
func exposed(name, component string, s *opsv1.ExposedService) appsv1.ClusterService {
	s = s.DeepCopy()
	return appsv1.ClusterService{
		Name: name, ServiceName: name, Annotations: s.Annotations, ComponentSelector: component, RoleSelector: s.RoleSelector,
		Spec: corev1.ServiceSpec{
			Selector: s.PodSelector,
			Type:     s.ServiceType, Ports: s.Ports, IPFamilies: s.IPFamilies, IPFamilyPolicy: s.IPFamilyPolicy,
		},
	}
}

func (k expose) progress(o *Observed, component string) work {
	out := work{settled: true}
	for i := range k.op.Spec.Expose {
		e := &k.op.Spec.Expose[i]
		if e.ComponentName != component {
			continue
		}
		for j := range e.Services {
			s := &e.Services[j]
			name := naming.ClusterService(o.Key.Name, naming.ExposedService(component, s.Name), "")
			status, message := serviceStep(o.service(name), e.Switch == opsv1.Enable)
			out.steps = append(out.steps, step("Service", name, status, message))
		}
	}
	out.total = len(out.steps)
	return out
}

// serviceStep is how far a service is: made, and reachable as its type promises, or removed.
func serviceStep(s *corev1.Service, wanted bool) (opsv1.ProgressStatus, string) {
	switch {
	case !wanted && s == nil:
		return opsv1.ProgressSucceed, ""
	case !wanted:
		return opsv1.ProgressProcessing, ""
	case s == nil:
		return opsv1.ProgressPending, ""
	}
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		var addresses []string
		for _, i := range s.Status.LoadBalancer.Ingress {
			addresses = append(addresses, i.IP+i.Hostname)
		}
		if len(addresses) == 0 {
			return opsv1.ProgressProcessing, "waits for the address of the load balancer"
		}
		return opsv1.ProgressSucceed, "address " + strings.Join(addresses, ", ")
	case corev1.ServiceTypeNodePort:
		if slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.NodePort == 0 }) {
			return opsv1.ProgressProcessing, "waits for the ports on the nodes"
		}
	default: // a name or an address inside the cluster is there with the object
	}
	return opsv1.ProgressSucceed, ""
}
