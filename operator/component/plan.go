package component

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
)

// Observed is everything that a plan depends on.
type Observed struct {
	Now       time.Time
	Component *appsv1.Component
	// Definition is nil when it isn't there; Unusable says what else is missing for a plan.
	Definition *appsv1.ComponentDefinition
	Unusable   string
	// Images by container, Templates by name of the definition's template: the files.
	Images    map[string]string
	Templates map[string]map[string]string
	// Variants are the same for instances with a version or a definition of their own.
	Variants map[string]manifests.Variant

	// Recorded is what the Cluster remembers of how a Component of this name founded a cluster, which somebody has
	// deleted; nil is nothing.
	Recorded *appsv1.Bootstrap

	// What there is of the component; nil when it isn't there.
	InstanceSet *workloadsv1.InstanceSet
	Bootstrap   *corev1.ConfigMap
	Files       []corev1.ConfigMap
	// The Secrets: of the API key, the certificates, the authority, and the user's with certificates.
	Key, TLS, Authority, Provided *corev1.Secret
	// Services are all of the cluster.
	Services []corev1.Service
	Pods     []corev1.Pod
	// Answers are what nodes in ready pods said, by pod. Nodes that didn't answer are missing.
	Answers map[string]Answer

	// ClusterDomain, OperatorNamespace and NetworkPolicies are the operator's options.
	ClusterDomain, OperatorNamespace string
	NetworkPolicies                  bool
}

// Answer is what a node said of its cluster.
type Answer struct {
	// ID is the identity of the cluster, Peers how many nodes belong to it.
	ID    string
	Peers int
}

// Plan is what is to be done.
type Plan struct {
	// Record is to stand in the status before anything else is done; nothing else is planned then.
	Record *appsv1.Bootstrap
	// Objects are applied in this order. What the component has beside them goes.
	Objects []client.Object
	// Problems are what the user should know.
	Problems []Problem
	// Refused says that the spec can't be followed: Objects is empty, and all stays as it is.
	Refused bool
	// Pending says that the spec isn't followed yet, for a reason that stands in Problems.
	Pending bool
	// After is when to look again at the latest.
	After time.Duration
}

// Problem is something that the user should know.
type Problem struct {
	// Object is what it is about ({kind}/{name}), Reason one word for it.
	Object, Reason, Message string
	// Fatal ones don't go away by waiting.
	Fatal bool
}

// The times after which a component is looked at again without a reason.
const (
	// askFounder: how soon a founder that hasn't answered is asked again.
	askFounder = 2 * time.Second
	// atRest: identities of nodes are compared so often.
	atRest = time.Minute
)

// Build says what is to be done for a component that isn't being deleted.
func Build(o *Observed) *Plan {
	refuse := func(format string, args ...any) *Plan {
		return &Plan{Refused: true, After: atRest, Problems: []Problem{{
			Object: "Component/" + o.Component.Name, Reason: "SpecRefused", Message: fmt.Sprintf(format, args...),
		}}}
	}
	switch _, err := manifests.OwnerOf(o.Component); {
	case err != nil:
		return refuse("%s", err)
	case o.Definition == nil:
		return refuse("there is no ComponentDefinition %s", o.Component.Spec.CompDef)
	case o.Unusable != "":
		return refuse("%s", o.Unusable)
	}
	s, plan := source(o), &Plan{Problems: strangers(o)}
	certified, err := plan.planTLS(o, s)
	if err != nil {
		return refuse("%s", err)
	}
	if err := s.Check(); err != nil {
		return refuse("%s", err)
	}
	founding, problem := found(o, s)
	if problem != "" {
		return refuse("%s", problem)
	}
	if founding.record != nil {
		return &Plan{Record: founding.record}
	}
	plan.After = sooner(plan.After, founding.after)
	if err := plan.add(o, s, founding.entries, certified); err != nil {
		return refuse("%s", err)
	}
	return plan
}

// source is what the objects are made from.
func source(o *Observed) *manifests.Source {
	s := &manifests.Source{
		Component: o.Component, Definition: o.Definition, Images: o.Images, Templates: o.Templates, Variants: o.Variants,
		ReplicationFactor: factor(o),
		ClusterDomain:     o.ClusterDomain, OperatorNamespace: o.OperatorNamespace,
	}
	if b := o.Component.Status.Bootstrap; b != nil && b.ClusterID == "" {
		s.Founding = b.Founder
	}
	if o.InstanceSet != nil {
		for _, i := range o.InstanceSet.Status.InstanceStatus {
			if i.DesiredState == workloadsv1.InstanceActive {
				s.Running = append(s.Running, i.PodName)
			}
		}
	}
	return s
}

// factor is the replication factor that was chosen when the component was created, so that
// no file depends on the number of replicas later.
func factor(o *Observed) int {
	for i := range o.Files {
		if n, err := strconv.Atoi(o.Files[i].Annotations[naming.AnnotationFactor]); err == nil && n > 0 {
			return n
		}
	}
	return manifests.DefaultFactor(o.Component.Spec.Replicas)
}

// add adds all objects. The InstanceSet comes last: pods need the rest. Without certificates it isn't made.
func (p *Plan) add(o *Observed, s *manifests.Source, entries map[string]string, certified bool) error {
	secret, err := planKey(o, s)
	if err != nil {
		return err
	}
	set, err := s.InstanceSet()
	if err != nil {
		return err
	}
	if account := s.ServiceAccount(); account != nil {
		p.Objects = append(p.Objects, account)
	}
	if binding := s.RoleBinding(); binding != nil {
		p.Objects = append(p.Objects, binding)
	}
	if secret != nil {
		p.Objects = append(p.Objects, secret)
	}
	if err := p.addFiles(s); err != nil {
		return err
	}
	p.Objects = append(p.Objects, s.BootstrapConfigMap(entries), s.DisruptionBudget())
	if o.NetworkPolicies {
		p.Objects = append(p.Objects, s.NetworkPolicy())
	}
	if certified {
		p.Objects = append(p.Objects, set)
	}
	return nil
}

// addFiles adds what pods read, and the services.
func (p *Plan) addFiles(s *manifests.Source) error {
	maps, err := s.ConfigMaps()
	if err != nil {
		return err
	}
	for _, m := range maps {
		p.Objects = append(p.Objects, m)
	}
	services, err := s.Services()
	for _, service := range services {
		p.Objects = append(p.Objects, service)
	}
	return err
}

// strangers are pods whose node belongs to another cluster than the one that was founded.
func strangers(o *Observed) []Problem {
	b := o.Component.Status.Bootstrap
	if b == nil || b.ClusterID == "" {
		return nil
	}
	var all []Problem
	for pod, a := range o.Answers {
		if a.ID != "" && a.ID != b.ClusterID {
			all = append(all, Problem{
				Object: "Pod/" + pod, Reason: "ForeignCluster", Fatal: true,
				Message: fmt.Sprintf("the node belongs to the cluster %s, the component's is %s: the pod doesn't count as available; rebuild the instance", a.ID, b.ClusterID),
			})
		}
	}
	slices.SortFunc(all, func(a, b Problem) int { return cmp.Compare(a.Object, b.Object) })
	return all
}
