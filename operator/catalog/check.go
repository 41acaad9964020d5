package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// status is that of a definition of a generation with or without an error.
func status(generation int64, err error) appsv1.DefinitionStatus {
	s := appsv1.DefinitionStatus{ObservedGeneration: generation, Phase: appsv1.DefinitionAvailable}
	if err != nil {
		s.Phase, s.Message = appsv1.DefinitionUnavailable, err.Error()
	}
	return s
}

// checkClusterDefinition returns the status of a definition of clusters.
func checkClusterDefinition(d *appsv1.ClusterDefinition, defs []appsv1.ComponentDefinition) appsv1.ClusterDefinitionStatus {
	var names []string
	var wrong []error
	for _, t := range d.Spec.Topologies {
		names = append(names, t.Name)
		for _, c := range t.Components {
			if _, err := Definition(c.CompDef, defs); err != nil {
				wrong = append(wrong, fmt.Errorf("component %s of topology %s: %w", c.Name, t.Name, err))
			}
		}
		wrong = append(wrong, checkOrders(&t)...)
	}
	if len(names) == 0 {
		wrong = append(wrong, errors.New("it has no topologies"))
	}
	return appsv1.ClusterDefinitionStatus{
		DefinitionStatus: status(d.Generation, sentence(wrong)),
		Topologies:       strings.Join(names, ","),
	}
}

// checkOrders finds names in the orders of a topology that are none of its components.
func checkOrders(t *appsv1.Topology) (wrong []error) {
	if t.Orders == nil {
		return nil
	}
	known := func(name string) bool {
		return slices.ContainsFunc(t.Components, func(c appsv1.TopologyComponent) bool { return c.Name == name })
	}
	for _, step := range slices.Concat(t.Orders.Provision, t.Orders.Update, t.Orders.Terminate) {
		for name := range strings.SplitSeq(step, ",") {
			if !known(name) {
				wrong = append(wrong, fmt.Errorf("orders of topology %s name %s, which is none of its components", t.Name, name))
			}
		}
	}
	return wrong
}

// checkComponentVersion returns the status of versions, and the names of the definitions that they
// fit.
func checkComponentVersion(v *appsv1.ComponentVersion, defs []appsv1.ComponentDefinition) (appsv1.ComponentVersionStatus, []string) {
	var served []string
	var wrong []error
	for _, r := range v.Spec.Releases {
		served = append(served, r.ServiceVersion)
		for _, container := range slices.Sorted(maps.Keys(r.Images)) {
			if strings.TrimSpace(r.Images[container]) == "" {
				wrong = append(wrong, fmt.Errorf("release %s has no image for %s", r.Name, container))
			}
		}
	}
	var fits []string
	for _, rule := range v.Spec.CompatibilityRules {
		for i := range defs {
			ok, err := matchAny(rule.CompDefs, defs[i].Name)
			if ok {
				fits = append(fits, defs[i].Name)
			}
			if err != nil {
				wrong = append(wrong, err)
				break
			}
		}
	}
	slices.Sort(fits)
	fits = slices.Compact(fits)
	if len(fits) == 0 && len(wrong) == 0 {
		wrong = append(wrong, errors.New("compatibilityRules match no ComponentDefinition"))
	}
	served = newestFirst(served)
	return appsv1.ComponentVersionStatus{
		DefinitionStatus: status(v.Generation, sentence(wrong)),
		ServiceVersions:  strings.Join(slices.Compact(served), ","),
	}, fits
}

// checkComponentDefinition returns the status of a definition, and what is to be remembered of its
// spec. The operator refuses changes, because components rely on it: what was seen first is
// remembered as generation and hash, and a spec is taken for the same while one of both is. The hash may
// change with the operator, which may know new fields; the generation when the object is restored
// from a copy.
func checkComponentDefinition(d *appsv1.ComponentDefinition) (appsv1.DefinitionStatus, string, error) {
	hash, err := hashOf(&d.Spec)
	if err != nil {
		return appsv1.DefinitionStatus{}, "", fmt.Errorf("ComponentDefinition %s: %w", d.Name, err)
	}
	generation := strconv.FormatInt(d.Generation, 10)
	seen := d.Annotations[naming.AnnotationSpecSeen]
	_, allowed := d.Annotations[naming.AnnotationSkipImmutable]
	if before, hashBefore, ok := strings.Cut(seen, "-"); ok && !allowed && before != generation && hashBefore != hash {
		return status(d.Generation, fmt.Errorf("its spec has been changed, on which the components that run rely: change it back and make a definition "+
			"of another name, or allow the change with the annotation %s", naming.AnnotationSkipImmutable)), seen, nil
	}
	return status(d.Generation, sentence(slices.Concat(
		checkContainers(d), checkServices(d), checkVars(d), checkVersion(d)))), generation + "-" + hash, nil
}

func hashOf(spec *appsv1.ComponentDefinitionSpec) (string, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("hash the spec: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16]), nil
}

func checkContainers(d *appsv1.ComponentDefinition) (wrong []error) {
	if len(d.Spec.Runtime.Containers) == 0 {
		wrong = append(wrong, errors.New("runtime has no containers"))
	}
	seen := map[string]bool{}
	for _, c := range slices.Concat(d.Spec.Runtime.InitContainers, d.Spec.Runtime.Containers) {
		if c.Name == "" || seen[c.Name] {
			wrong = append(wrong, fmt.Errorf("each container needs a name of its own: %q", c.Name))
		}
		seen[c.Name] = true
	}
	if e := d.Spec.Exporter; e != nil && e.ContainerName != "" && !seen[e.ContainerName] {
		wrong = append(wrong, fmt.Errorf("exporter names the container %s, which runtime doesn't have", e.ContainerName))
	}
	return wrong
}

// checkServices finds ports of services that lead nowhere.
func checkServices(d *appsv1.ComponentDefinition) (wrong []error) {
	ports := map[string]bool{}
	for _, c := range d.Spec.Runtime.Containers {
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
	}
	names := map[string]bool{}
	for _, s := range d.Spec.Services {
		if names[s.ServiceName] {
			wrong = append(wrong, fmt.Errorf("service %s has the same serviceName as another one", s.Name))
		}
		names[s.ServiceName] = true
		for _, p := range s.Spec.Ports {
			if p.TargetPort.Type == intstr.String && !ports[p.TargetPort.StrVal] {
				wrong = append(wrong, fmt.Errorf("service %s leads to the port %s, which no container has", s.Name, p.TargetPort.StrVal))
			}
		}
	}
	return wrong
}

// checkVars finds variables about services that there aren't.
func checkVars(d *appsv1.ComponentDefinition) (wrong []error) {
	for _, v := range d.Spec.Vars {
		if v.ValueFrom == nil || v.ValueFrom.ServiceVarRef == nil {
			continue
		}
		ref := v.ValueFrom.ServiceVarRef
		i := slices.IndexFunc(d.Spec.Services, func(s appsv1.ServiceDefinition) bool { return ref.Name == "" || s.Name == ref.Name })
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Errorf("variable %s is about the service %q, which is none of services", v.Name, ref.Name))
		case ref.Port != nil && !hasPort(&d.Spec.Services[i], ref.Port.Name):
			wrong = append(wrong, fmt.Errorf("variable %s is about the port %s, which the service %s doesn't have", v.Name, ref.Port.Name, d.Spec.Services[i].Name))
		}
	}
	return wrong
}

func hasPort(s *appsv1.ServiceDefinition, name string) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == name })
}

func checkVersion(d *appsv1.ComponentDefinition) []error {
	if d.Spec.ServiceVersion == "" {
		return nil
	}
	if _, err := parseVersion(d.Spec.ServiceVersion); err != nil {
		return []error{fmt.Errorf("serviceVersion: %w", err)}
	}
	return nil
}

// sentence makes one error of several, in a line.
func sentence(wrong []error) error {
	if len(wrong) == 0 {
		return nil
	}
	texts := make([]string, len(wrong))
	for i, err := range wrong {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
