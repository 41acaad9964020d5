package manifests

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Variant is what instances run instead of what their component does.
type Variant struct {
	// Definition, Images and Templates are as in Source.
	Definition *appsv1.ComponentDefinition
	Images     map[string]string
	Templates  map[string]map[string]string
}

// Differs tells whether instances have a version or a definition of their own.
func Differs(c *appsv1.Component, t *appsv1.InstanceTemplate) bool {
	return t.ServiceVersion != "" && t.ServiceVersion != c.Spec.ServiceVersion || t.CompDef != "" && t.CompDef != c.Spec.CompDef
}

// variants are the sources of the instances that differ, in the order of their templates.
func (s *Source) variants() []*Source {
	var all []*Source
	for i := range s.Component.Spec.Instances {
		t := &s.Component.Spec.Instances[i]
		if !Differs(s.Component, t) {
			continue
		}
		one, v := *s, s.Variants[t.Name]
		one.Component, one.variant = s.Component.DeepCopy(), t.Name
		one.Component.Spec.ServiceVersion = cmp.Or(t.ServiceVersion, s.Component.Spec.ServiceVersion)
		one.Component.Spec.CompDef = cmp.Or(t.CompDef, s.Component.Spec.CompDef)
		one.ownFiles = one.Component.Spec.CompDef != s.Component.Spec.CompDef
		one.Definition, one.Images, one.Templates, one.Variants = v.Definition, v.Images, v.Templates, nil
		all = append(all, &one)
	}
	return all
}

// about says which instances an error is about.
func (s *Source) about(err error) error {
	if err == nil || s.variant == "" {
		return err
	}
	return fmt.Errorf("instances[%s]: %w", s.variant, err)
}

// instancePods are the templates of the pods of instances that differ.
func (s *Source) instancePods() ([]workloadsv1.InstancePods, error) {
	var all []workloadsv1.InstancePods
	for _, v := range s.variants() {
		_, hash, err := v.revisions()
		if err != nil {
			return nil, v.about(err)
		}
		template, err := v.template(hash)
		if err != nil {
			return nil, v.about(err)
		}
		all = append(all, workloadsv1.InstancePods{Name: v.variant, Template: template})
	}
	return all, nil
}

// ConfigMaps have the variables and the rendered files of the component, and of instances whose definition is another one.
func (s *Source) ConfigMaps() ([]*corev1.ConfigMap, error) {
	var all []*corev1.ConfigMap
	for _, one := range append([]*Source{s}, s.variants()...) {
		if one != s && !one.ownFiles {
			continue
		}
		environment, err := one.EnvConfigMap()
		if err != nil {
			return nil, one.about(err)
		}
		files, err := one.FilesConfigMaps()
		if err != nil {
			return nil, one.about(err)
		}
		all = append(append(all, environment), files...)
	}
	return all, nil
}

// suffix ends the names of ConfigMaps for instances of another definition. No other name of a ConfigMap has a dot.
func (s *Source) suffix() string {
	if s.ownFiles {
		return "." + s.variant
	}
	return ""
}

func (s *Source) envConfigMap() string {
	o := s.owner()
	return naming.EnvConfigMap(o.Cluster, o.Component) + s.suffix()
}

func (s *Source) filesConfigMap(template string) string {
	o := s.owner()
	return naming.FilesConfigMap(o.Cluster, o.Component, template) + s.suffix()
}
