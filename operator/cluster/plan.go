package cluster

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/catalog"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
)

// The reasons for which a spec isn't followed, beside those of packages catalog and memory.
const (
	ReasonReplicasOutOfLimits = "ReplicasOutOfLimits"
	ReasonRestoreNotServed    = "RestoreNotServed"
)

// Plan is what there should be.
type Plan struct {
	// Refused says why the spec can't be followed, nil when it can. Components stay as they
	// are then, and none is made.
	Refused *Refusal
	// Components are to be applied in this order.
	Components []Component
	// Services are to be applied.
	Services []*corev1.Service
	// Superfluous are services that have lost their entry, or their pod.
	Superfluous []corev1.Service
	// Unmeasured says of components that get less memory why it isn't known whether that is enough.
	Unmeasured map[string]string
	// Problems say which services can't be made, and why.
	Problems []string
}

// Component is a Component that there should be.
type Component struct {
	// Name is how the cluster calls it.
	Name   string
	Object *appsv1.Component
	// Follows are the components that must follow their specs before this one is changed.
	Follows []string
	// Awaits are the components that must run before this one is made. Empty when it exists.
	Awaits []string
}

// Refusal says in a word and in a sentence why a spec can't be followed.
type Refusal struct {
	Reason, Message string
}

// Make says what there should be.
func Make(t *Tree) *Plan {
	p := &Plan{Unmeasured: map[string]string{}}
	choices, refusal := resolve(t)
	if refusal == nil {
		refusal = p.checkMemory(t)
	}
	p.Refused = refusal
	if refusal == nil {
		orders := orders(t)
		for i := range t.Cluster.Spec.ComponentSpecs {
			spec := &t.Cluster.Spec.ComponentSpecs[i]
			c := Component{Name: spec.Name, Object: component(t, spec, choices[spec.Name])}
			if t.component(spec.Name) == nil {
				c.Awaits = before(orders.Provision, spec.Name)
			} else {
				c.Follows = before(orders.Update, spec.Name)
			}
			p.Components = append(p.Components, c)
		}
		// Those before others come first, so that one round gets as far as it can.
		slices.SortStableFunc(p.Components, func(a, b Component) int {
			return len(a.Awaits) + len(a.Follows) - len(b.Awaits) - len(b.Follows)
		})
	}
	services(t, choices, p)
	return p
}

// orders returns the orders of the topology, if any.
func orders(t *Tree) appsv1.TopologyOrders {
	d := t.definition()
	if d == nil {
		return appsv1.TopologyOrders{}
	}
	topology, err := catalog.TopologyOf(d, t.Cluster.Spec.Topology)
	if err != nil || topology.Orders == nil {
		return appsv1.TopologyOrders{}
	}
	return *topology.Orders
}

// choice is what a component runs, and what the templates of its instances do.
type choice struct {
	catalog.Choice
	instances []appsv1.InstanceTemplate
}

// resolve chooses for every component what it runs. What was chosen before and is still asked for
// stays. The choices that could be made are returned with a refusal, too.
func resolve(t *Tree) (map[string]choice, *Refusal) {
	spec := &t.Cluster.Spec
	choices := map[string]choice{}
	definition := t.definition()
	if spec.ClusterDef != "" && definition == nil {
		names := make([]string, len(t.ClusterDefinitions))
		for i := range t.ClusterDefinitions {
			names[i] = t.ClusterDefinitions[i].Name
		}
		slices.Sort(names)
		return choices, &Refusal{catalog.ReasonClusterDefinitionNotFound, fmt.Sprintf(
			"clusterDef %s: there is no ClusterDefinition of that name; there are: %s", spec.ClusterDef, naming.List(names))}
	}
	var refusal *Refusal
	refuse := func(r *Refusal) {
		if refusal == nil {
			refusal = r
		}
	}
	for i := range spec.ComponentSpecs {
		c := &spec.ComponentSpecs[i]
		chosen, err := resolveComponent(t, definition, c)
		if err != nil {
			refuse(&Refusal{catalog.ReasonOf(err), err.Error()})
			continue
		}
		choices[c.Name] = chosen
		refuse(checkReplicas(c, chosen.Definition))
		refuse(checkRestore(t, c.Name))
	}
	return choices, refusal
}

func resolveComponent(t *Tree, definition *appsv1.ClusterDefinition, spec *appsv1.ClusterComponentSpec) (choice, error) {
	live := t.component(spec.Name)
	if live == nil {
		live = &appsv1.Component{}
	}
	chosen, err := catalog.ResolveAgain(live.Spec.CompDef, live.Spec.ServiceVersion, definition, t.Cluster.Spec.Topology, spec, t.Definitions, t.Versions)
	if err != nil {
		return choice{}, err
	}
	c := choice{Choice: chosen}
	for _, template := range spec.Instances {
		if err := resolveTemplate(t, spec.Name, chosen, live.Spec.Instances, &template); err != nil {
			return choice{}, fmt.Errorf("instances %s: %w", template.Name, err)
		}
		c.instances = append(c.instances, *template.DeepCopy())
	}
	return c, nil
}

// resolveTemplate makes definition and version of a template concrete, where it has its own.
func resolveTemplate(t *Tree, component string, of catalog.Choice, live []appsv1.InstanceTemplate, template *appsv1.InstanceTemplate) error {
	if template.CompDef == "" && template.ServiceVersion == "" {
		return nil
	}
	was := appsv1.InstanceTemplate{}
	if i := slices.IndexFunc(live, func(l appsv1.InstanceTemplate) bool { return l.Name == template.Name }); i >= 0 {
		was = live[i]
	}
	asked := &appsv1.ClusterComponentSpec{Name: component, ComponentDef: template.CompDef}
	asked.ServiceVersion = template.ServiceVersion
	if asked.ComponentDef == "" {
		asked.ComponentDef = of.Definition.Name
	}
	if asked.ServiceVersion == "" {
		asked.ServiceVersion = of.ServiceVersion
	}
	chosen, err := catalog.ResolveAgain(was.CompDef, "", nil, "", asked, t.Definitions, t.Versions)
	if err != nil {
		return err
	}
	if template.CompDef != "" {
		template.CompDef = chosen.Definition.Name
	}
	return nil
}

func checkReplicas(spec *appsv1.ClusterComponentSpec, definition *appsv1.ComponentDefinition) *Refusal {
	limit := definition.Spec.ReplicasLimit
	if limit == nil || spec.Replicas >= limit.MinReplicas && spec.Replicas <= limit.MaxReplicas {
		return nil
	}
	return &Refusal{ReasonReplicasOutOfLimits, fmt.Sprintf("component %s: replicas is %d, but ComponentDefinition %s allows %d to %d",
		spec.Name, spec.Replicas, definition.Name, limit.MinReplicas, limit.MaxReplicas)}
}

// checkRestore refuses to make an empty cluster where one with data is asked for.
func checkRestore(t *Tree, component string) *Refusal {
	from := t.Cluster.Annotations[naming.AnnotationRestoreFrom]
	if t.Cluster.Spec.Restore == nil && from == "" || t.component(component) != nil {
		return nil
	}
	return &Refusal{ReasonRestoreNotServed, "the cluster is to be restored from a backup, which this operator can't do yet: " +
		"an empty cluster is not what was asked for"}
}

// checkMemory refuses to give nodes less memory than they need. What is compared is the Component: what stands there
// is followed already.
func (p *Plan) checkMemory(t *Tree) *Refusal {
	accepted := memory.Accepted(t.Cluster.Annotations)
	for i := range t.Cluster.Spec.ComponentSpecs {
		spec := &t.Cluster.Spec.ComponentSpecs[i]
		live := t.component(spec.Name)
		if live == nil {
			continue
		}
		refusal, unknown := memory.Check(&live.Spec.Settings, &spec.Settings, accepted, t.Memory[spec.Name])
		if refusal != "" {
			return &Refusal{memory.ReasonBelowNeed, fmt.Sprintf("component %s: %s", spec.Name, refusal)}
		}
		if unknown != "" {
			p.Unmeasured[spec.Name] = unknown
		}
	}
	return nil
}

// component returns the Component of a component.
func component(t *Tree, spec *appsv1.ClusterComponentSpec, chosen choice) *appsv1.Component {
	c := &appsv1.Component{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.Cluster.Namespace,
			Name:      naming.Component(t.Cluster.Name, spec.Name),
			Labels:    naming.ComponentLabels(t.owner(spec.Name)),
		},
		Spec: appsv1.ComponentSpec{
			CompDef:           chosen.Definition.Name,
			TerminationPolicy: t.Cluster.Spec.TerminationPolicy,
			Settings:          *spec.Settings.DeepCopy(),
		},
	}
	c.Spec.ServiceVersion = chosen.ServiceVersion
	c.Spec.Instances = chosen.instances
	if spec.TLS {
		c.Spec.TLSConfig = &appsv1.TLSConfig{Enable: true, Issuer: spec.Issuer.DeepCopy()}
	}
	if pods := t.Cluster.Annotations[naming.AnnotationAcceptDataLoss]; pods != "" {
		c.Annotations = map[string]string{naming.AnnotationAcceptDataLoss: pods}
	}
	return c
}
