package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Choice is what a component of a cluster runs.
type Choice struct {
	Definition     *appsv1.ComponentDefinition
	ServiceVersion string
}

// Resolve chooses the definition and the version of a component. The cluster definition is nil for
// a cluster that has none. Of the definitions that match the pattern the newest that serves the
// version is chosen; a version that is left out is the newest that isn't a pre-release. The result
// points into defs. Errors are sentences for users.
func Resolve(clusterDef *appsv1.ClusterDefinition, topology string, spec *appsv1.ClusterComponentSpec,
	defs []appsv1.ComponentDefinition, versions []appsv1.ComponentVersion,
) (Choice, error) {
	text, err := patternOf(clusterDef, topology, spec)
	if err != nil {
		return Choice{}, err
	}
	matching, err := definitions(text, defs)
	if err != nil {
		return Choice{}, fmt.Errorf("component %s: %w", spec.Name, err)
	}
	var refusal error
	for _, def := range matching {
		choice, err := withVersion(def, spec.ServiceVersion, versions)
		if err == nil {
			return choice, nil
		}
		refusal = cmp.Or(refusal, err) // what the newest one lacks
	}
	return Choice{}, fmt.Errorf("component %s: %w", spec.Name, refusal)
}

// ResolveAgain is Resolve for a component that has been resolved before, to definition and version.
// It stays with them as long as they are what is asked for: neither a newer definition nor a newer
// release changes what runs. Nor does a definition that has become unusable, or has lost the release: that
// is an error, not a reason to restart everything with another one. Only when the definition itself is
// gone is another one chosen.
func ResolveAgain(definition, serviceVersion string, clusterDef *appsv1.ClusterDefinition, topology string, spec *appsv1.ClusterComponentSpec,
	defs []appsv1.ComponentDefinition, versions []appsv1.ComponentVersion,
) (Choice, error) {
	asked := *spec
	asked.ServiceVersion = cmp.Or(spec.ServiceVersion, serviceVersion)
	text, err := patternOf(clusterDef, topology, spec)
	if err != nil {
		return Choice{}, err
	}
	matching, err := definitions(text, defs)
	if err != nil {
		return Choice{}, fmt.Errorf("component %s: %w", spec.Name, err)
	}
	for _, def := range matching {
		if def.Name != definition {
			continue
		}
		choice, err := withVersion(def, asked.ServiceVersion, versions)
		if err == nil {
			return choice, nil
		}
		if asked.ServiceVersion == serviceVersion || ReasonOf(err) == ReasonDefinitionUnavailable {
			return Choice{}, fmt.Errorf("component %s: %w", spec.Name, err)
		}
	}
	return Resolve(clusterDef, topology, &asked, defs, versions)
}

// Definition chooses the newest definition of those that a pattern means.
func Definition(pattern string, defs []appsv1.ComponentDefinition) (*appsv1.ComponentDefinition, error) {
	matching, err := definitions(pattern, defs)
	if err != nil {
		return nil, err
	}
	return matching[0], nil
}

// Usable returns an error when components can't be made from a definition: because it is wrong, or
// was changed. One that nobody has looked at yet is taken as it is.
func Usable(def *appsv1.ComponentDefinition) error {
	switch {
	case def.Status.Phase == appsv1.DefinitionUnavailable:
		return failf(ReasonDefinitionUnavailable, "ComponentDefinition %s is unavailable: %s", def.Name, def.Status.Message)
	case def.Status.Phase != "" && def.Status.ObservedGeneration != def.Generation:
		return failf(ReasonDefinitionUnavailable, "ComponentDefinition %s has been changed, which has not been looked at yet", def.Name)
	default:
		return nil
	}
}

// ServiceVersions returns the versions that a definition can serve, newest first. A
// ComponentVersion that can't be read has none.
func ServiceVersions(def *appsv1.ComponentDefinition, versions []appsv1.ComponentVersion) []string {
	known := map[string]bool{}
	for i := range versions {
		releases, _ := releasesFor(def.Name, &versions[i])
		for _, r := range releases {
			known[r.ServiceVersion] = true
		}
	}
	if len(known) == 0 && def.Spec.ServiceVersion != "" {
		known[def.Spec.ServiceVersion] = true
	}
	return newestFirst(slices.Collect(maps.Keys(known)))
}

// Fits tells whether a ComponentVersion has a release for a definition.
func Fits(v *appsv1.ComponentVersion, definition string) bool {
	releases, _ := releasesFor(definition, v)
	return len(releases) > 0
}

// Images returns the images of a version by name of the container. Where several releases have
// the version, the one that is listed last counts. What a definition says itself is used where
// no release names an image.
func Images(def *appsv1.ComponentDefinition, serviceVersion string, versions []appsv1.ComponentVersion) (map[string]string, error) {
	if known := ServiceVersions(def, versions); !slices.Contains(known, serviceVersion) {
		return nil, unknownVersion(def, serviceVersion, known, versions)
	}
	images := map[string]string{}
	containers := slices.Concat(def.Spec.Runtime.InitContainers, def.Spec.Runtime.Containers)
	for _, c := range containers {
		if c.Image != "" {
			images[c.Name] = c.Image
		}
	}
	for _, v := range byName(versions) {
		releases, _ := releasesFor(def.Name, v) // has none where it can't be read
		for _, r := range releases {
			if r.ServiceVersion == serviceVersion {
				maps.Copy(images, r.Images)
			}
		}
	}
	missing := slices.DeleteFunc(containers, func(c corev1.Container) bool { return images[c.Name] != "" })
	if len(missing) > 0 {
		return nil, failf(ReasonImageNotFound, "version %s of ComponentDefinition %s has no image for the container %s",
			serviceVersion, def.Name, missing[0].Name)
	}
	return images, nil
}

func withVersion(def *appsv1.ComponentDefinition, serviceVersion string, versions []appsv1.ComponentVersion) (Choice, error) {
	if err := Usable(def); err != nil {
		return Choice{}, err
	}
	known := ServiceVersions(def, versions)
	switch {
	case serviceVersion == "" && len(known) == 0:
		return Choice{}, failf(ReasonServiceVersionNotFound,
			"no ComponentVersion has a release for ComponentDefinition %s, and the definition names no version itself%s", def.Name, unread(versions))
	case serviceVersion == "":
		serviceVersion = known[max(0, slices.IndexFunc(known, stable))]
	case !slices.Contains(known, serviceVersion):
		return Choice{}, unknownVersion(def, serviceVersion, known, versions)
	}
	if _, err := Images(def, serviceVersion, versions); err != nil {
		return Choice{}, err
	}
	return Choice{Definition: def, ServiceVersion: serviceVersion}, nil
}

func unknownVersion(def *appsv1.ComponentDefinition, serviceVersion string, known []string, versions []appsv1.ComponentVersion) error {
	return failf(ReasonServiceVersionNotFound, "serviceVersion %s: no release of it fits ComponentDefinition %s; there are: %s%s",
		serviceVersion, def.Name, naming.List(known), unread(versions))
}

// unread says which ComponentVersions can't be read, if any: what is missing may be there.
func unread(versions []appsv1.ComponentVersion) string {
	var text strings.Builder
	for _, v := range byName(versions) {
		if _, err := releasesFor("", v); err != nil {
			text.WriteString("; " + err.Error())
		}
	}
	return text.String()
}

// patternOf returns which definitions a component asks for.
func patternOf(clusterDef *appsv1.ClusterDefinition, topology string, spec *appsv1.ClusterComponentSpec) (string, error) {
	if clusterDef == nil {
		if spec.ComponentDef == "" {
			return "", failf(ReasonDefinitionNotFound, "component %s needs componentDef: the cluster has no clusterDef that would say it", spec.Name)
		}
		return spec.ComponentDef, nil
	}
	t, err := TopologyOf(clusterDef, topology)
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(t.Components))
	for _, c := range t.Components {
		if c.Name == spec.Name {
			return cmp.Or(spec.ComponentDef, c.CompDef), nil
		}
		names = append(names, c.Name)
	}
	return "", failf(ReasonComponentNotInTopology, "component %s: topology %s of ClusterDefinition %s has no component of that name; there are: %s",
		spec.Name, t.Name, clusterDef.Name, naming.List(names))
}

// TopologyOf returns a topology of a cluster definition: by name, or the default one.
func TopologyOf(clusterDef *appsv1.ClusterDefinition, name string) (*appsv1.Topology, error) {
	topologies := clusterDef.Spec.Topologies
	names := make([]string, len(topologies))
	for i := range topologies {
		names[i] = topologies[i].Name
		if topologies[i].Name == name || name == "" && (topologies[i].Default || len(topologies) == 1) {
			return &topologies[i], nil
		}
	}
	if name == "" {
		return nil, failf(ReasonTopologyNotFound, "topology is left out, but ClusterDefinition %s has no default; there are: %s", clusterDef.Name, naming.List(names))
	}
	return nil, failf(ReasonTopologyNotFound, "topology %s: ClusterDefinition %s has none of that name; there are: %s", name, clusterDef.Name, naming.List(names))
}

// definitions returns those that a pattern means, the newest first, and at least one. One with
// the very name is meant alone.
func definitions(text string, defs []appsv1.ComponentDefinition) ([]*appsv1.ComponentDefinition, error) {
	p, err := ParsePattern(text)
	if err != nil {
		return nil, err
	}
	var matching []*appsv1.ComponentDefinition
	names := make([]string, len(defs))
	for i := range defs {
		names[i] = defs[i].Name
		if defs[i].Name == text {
			return []*appsv1.ComponentDefinition{&defs[i]}, nil
		}
		if p.Match(defs[i].Name) {
			matching = append(matching, &defs[i])
		}
	}
	if len(matching) == 0 {
		slices.SortFunc(names, func(a, b string) int { return compareNames(b, a) })
		return nil, failf(ReasonDefinitionNotFound, "no ComponentDefinition matches %s; there are: %s", text, naming.List(names))
	}
	slices.SortFunc(matching, func(a, b *appsv1.ComponentDefinition) int { return compareNames(b.Name, a.Name) })
	return matching, nil
}

// releasesFor returns the releases that fit a definition, in the order in which they are listed.
func releasesFor(definition string, v *appsv1.ComponentVersion) ([]*appsv1.Release, error) {
	fits := map[string]bool{}
	for _, rule := range v.Spec.CompatibilityRules {
		ok, err := matchAny(rule.CompDefs, definition)
		if err != nil {
			return nil, fmt.Errorf("ComponentVersion %s: %w", v.Name, err)
		}
		for _, r := range rule.Releases {
			fits[r] = fits[r] || ok
		}
	}
	var releases []*appsv1.Release
	for i := range v.Spec.Releases {
		if fits[v.Spec.Releases[i].Name] {
			releases = append(releases, &v.Spec.Releases[i])
		}
	}
	return releases, nil
}

func byName(versions []appsv1.ComponentVersion) []*appsv1.ComponentVersion {
	sorted := make([]*appsv1.ComponentVersion, len(versions))
	for i := range versions {
		sorted[i] = &versions[i]
	}
	slices.SortFunc(sorted, func(a, b *appsv1.ComponentVersion) int { return cmp.Compare(a.Name, b.Name) })
	return sorted
}

// newestFirst sorts versions.
func newestFirst(versions []string) []string {
	slices.SortFunc(versions, func(a, b string) int { return CompareVersions(b, a) })
	return versions
}
