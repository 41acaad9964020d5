package manifests

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// p2pPort is where nodes reach each other.
const p2pPort = 6335

// PodName stands for the name of the pod in keys of ConfigMaps, labels and annotations of the template.
const PodName = "$(POD_NAME)"

// Source is what the objects of a component are made from.
type Source struct {
	// Component and Definition: what the user wants of which engine.
	Component  *appsv1.Component
	Definition *appsv1.ComponentDefinition
	// Images by container. Containers that aren't named keep the image of the definition.
	Images map[string]string
	// Templates are the files of the definition's templates (configs and scripts), by name of the template.
	Templates map[string]map[string]string
	// Variants are what instances run that have a version or a definition of their own, by name of their template.
	Variants map[string]Variant
	// ReplicationFactor is the default of new collections unless the user names one. It was
	// fixed when the component was created.
	ReplicationFactor int
	// KeyRevision changes whenever pods must take up other contents of the Secret of the API
	// key. It is empty when there is no such Secret.
	KeyRevision string
	// TLS says that nodes speak TLS. It follows the spec only while no pods run.
	TLS bool
	// Running are the instances that there are to be, where their controller has said so: it keeps those that are
	// there. Else they are those of the rules (Instances).
	Running []string
	// Founding is the only pod that may be made as long as the cluster isn't founded; empty after.
	Founding string
	// ClusterDomain ends the domain names of Kubernetes, OperatorNamespace is where the operator runs.
	ClusterDomain, OperatorNamespace string

	// variant is the template of instances that this is about, "" the component; ownFiles says that they have
	// another definition, with files of its own.
	variant  string
	ownFiles bool
}

// OwnerOf returns whom the objects of a component belong to.
func OwnerOf(c *appsv1.Component) (naming.Owner, error) {
	cluster, component := c.Labels[naming.LabelInstance], c.Labels[naming.LabelComponentName]
	if cluster == "" || component == "" || naming.Component(cluster, component) != c.Name {
		return naming.Owner{}, fmt.Errorf("component %s: it must be called {cluster}-{component}, with these names in the labels %s and %s: components are made by the operator, from a Cluster",
			c.Name, naming.LabelInstance, naming.LabelComponentName)
	}
	return naming.Owner{Cluster: cluster, Component: component, Definition: c.Spec.CompDef, ServiceVersion: c.Spec.ServiceVersion}, nil
}

// owner is OwnerOf of a component that was checked.
func (s *Source) owner() naming.Owner {
	c := s.Component
	o := naming.Owner{
		Cluster: c.Labels[naming.LabelInstance], Component: c.Labels[naming.LabelComponentName],
		Definition: s.Definition.Name, ServiceVersion: c.Spec.ServiceVersion,
	}
	if o.ServiceVersion == "" {
		o.ServiceVersion = s.Definition.Spec.ServiceVersion
	}
	return o
}

// meta is the metadata of an object of the component.
func (s *Source) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.Component.Namespace, Name: name, Labels: naming.ComponentLabels(s.owner())}
}

// headless is the domain under which the pods have their names.
func (s *Source) headless() string {
	o := s.owner()
	return naming.HeadlessService(o.Cluster, o.Component) + "." + s.Component.Namespace + ".svc." + s.domain()
}

func (s *Source) domain() string {
	if s.ClusterDomain == "" {
		return naming.ClusterDomain
	}
	return s.ClusterDomain
}

func (s *Source) scheme() string {
	if s.TLS {
		return "https"
	}
	return "http"
}

// NodeURL is where other nodes reach the one in a pod.
func (s *Source) NodeURL(pod string) string {
	return s.scheme() + "://" + s.Host(pod) + ":" + strconv.Itoa(p2pPort)
}

// instances are those that are to run.
func (s *Source) instances() []string {
	if len(s.Running) > 0 {
		return slices.Clone(s.Running)
	}
	return Instances(s.Component.Name, &s.Component.Spec.Settings)
}

// Host is the domain name of a pod.
func (s *Source) Host(pod string) string { return pod + "." + s.headless() }

// engine is the container of the engine: the first one.
func (s *Source) engine() *corev1.Container { return &s.Definition.Spec.Runtime.Containers[0] }

// exporter is the name of the container that serves metrics beside the engine, or "".
func (s *Source) exporter() string {
	if e := s.Definition.Spec.Exporter; e != nil {
		return e.ContainerName
	}
	return ""
}

// Check refuses what no object can be made from.
func (s *Source) Check() error {
	if err := s.checkEngine(); err != nil {
		return err
	}
	if l := s.Definition.Spec.ReplicasLimit; l != nil {
		if n := s.Component.Spec.Replicas; n < l.MinReplicas || n > l.MaxReplicas {
			return fmt.Errorf("replicas is %d: definition %s allows %d to %d", n, s.Definition.Name, l.MinReplicas, l.MaxReplicas)
		}
	}
	for _, v := range s.variants() {
		if v.Definition == nil {
			return v.about(errors.New("what they run isn't known"))
		}
		if err := v.checkEngine(); err != nil {
			return v.about(err)
		}
	}
	return s.checkEnv()
}

// checkEngine refuses a definition that no pods can be made from.
func (s *Source) checkEngine() error {
	if len(s.Definition.Spec.Runtime.Containers) == 0 {
		return fmt.Errorf("definition %s: runtime has no containers", s.Definition.Name)
	}
	if s.TLS && s.Definition.Spec.TLS == nil {
		return fmt.Errorf("tls is true, but definition %s says nothing of TLS", s.Definition.Name)
	}
	return nil
}
