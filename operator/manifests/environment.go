package manifests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// The variables by which a node knows its keys; what runs beside it needs them, too.
const (
	envKey         = naming.KeyVariable
	envReadOnlyKey = "QDRANT__SERVICE__READ_ONLY_API_KEY"
	envOtherKey    = "QDRANT__SERVICE__ALT_API_KEY"
)

// The variables that say where a node belongs. They are the operator's.
const (
	envPod       = "CURRENT_POD_NAME"
	envURI       = "QDRANT_URI"
	envBootstrap = "QDRANT_BOOTSTRAP"
	envCluster   = "QDRANT__CLUSTER__ENABLED"
)

// The variables of the agent and the exporter (docs/agent.md).
const (
	envNode       = "SEXTANT_NODE"
	envCAFile     = "SEXTANT_CA_FILE"
	envServerName = "SEXTANT_SERVER_NAME"
)

// checkEnv refuses variables of the user that would take a node out of the operator's hands.
func (s *Source) checkEnv() error {
	reserved := []string{envPod, envURI, envBootstrap, envCluster}
	check := func(where string, env []corev1.EnvVar) error {
		for _, e := range env {
			if slices.Contains(reserved, e.Name) {
				return fmt.Errorf("%s: %s is set by the operator: leave it out", where, e.Name)
			}
		}
		return nil
	}
	if err := check("env", s.Component.Spec.Env); err != nil {
		return err
	}
	for _, t := range s.Component.Spec.Instances {
		if err := check("instances["+t.Name+"].env", t.Env); err != nil {
			return err
		}
	}
	return nil
}

// GivesKey tells whether the user's variables have an API key, so that none is taken from the configuration.
func GivesKey(s *appsv1.Settings) bool {
	return slices.ContainsFunc(s.Env, func(e corev1.EnvVar) bool { return e.Name == envKey })
}

// engineEnv are the variables of the engine's container. Later ones win: those of
// the definition, the zone, the operator's, the user's.
func (s *Source) engineEnv() ([]corev1.EnvVar, error) {
	_, vars, err := s.vars()
	if err != nil {
		return nil, err
	}
	o := s.owner()
	env := []corev1.EnvVar{
		fieldVariable(envPod, "metadata.name"),
		{Name: envURI, Value: s.NodeURL("$(" + envPod + ")")},
		{Name: envBootstrap, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: naming.BootstrapConfigMap(o.Cluster, o.Component)},
			Key:                  PodName,
		}}},
		{Name: envCluster, Value: "true"},
		// Kubernetes copies the zone of its node to a pod's labels; the value is empty where it doesn't.
		fieldVariable("QDRANT__CLUSTER__ZONE", "metadata.labels['"+corev1.LabelTopologyZone+"']"),
	}
	env = merge(env, vars)
	env = merge(env, s.engine().Env)
	return merge(env, slices.Concat(s.keyEnv(), s.Component.Spec.Env)), nil
}

// besideEnv are the variables that agent and exporter have beside those of the definition.
func (s *Source) besideEnv() []corev1.EnvVar {
	env := []corev1.EnvVar{fieldVariable(envPod, "metadata.name")}
	if s.TLS {
		env = append(env,
			corev1.EnvVar{Name: envNode, Value: "https://127.0.0.1:" + strconv.Itoa(int(s.restPort()))},
			corev1.EnvVar{Name: envCAFile, Value: s.authorityFile()},
			corev1.EnvVar{Name: envServerName, Value: "$(" + envPod + ")." + s.headless()})
	}
	for _, e := range slices.Concat(s.keyEnv(), s.Component.Spec.Env) {
		if e.Name == envKey || e.Name == envReadOnlyKey {
			env = append(env, e)
		}
	}
	return env
}

// keyEnv are the variables with the keys of the component's own Secret.
func (s *Source) keyEnv() []corev1.EnvVar {
	if s.KeyRevision == "" {
		return nil
	}
	o := s.owner()
	from := func(name, key string, optional *bool) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: naming.KeySecret(o.Cluster, o.Component)}, Key: key, Optional: optional,
		}}}
	}
	return []corev1.EnvVar{from(envKey, naming.KeyEntry, nil), from(envOtherKey, naming.OtherKeyEntry, new(true))}
}

// restPort is the port of the REST API: the first of the engine's.
func (s *Source) restPort() int32 {
	if ports := s.engine().Ports; len(ports) > 0 {
		return ports[0].ContainerPort
	}
	return 6333
}

func fieldVariable(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

// merge adds variables; one of the same name takes the place of the one there is.
func merge(env, more []corev1.EnvVar) []corev1.EnvVar {
	env = slices.Clone(env)
	for _, e := range more {
		if i := slices.IndexFunc(env, func(have corev1.EnvVar) bool { return have.Name == e.Name }); i >= 0 {
			env[i] = e
		} else {
			env = append(env, e)
		}
	}
	return env
}

// EnvConfigMap has the definition's variables. The pods aren't replaced when it changes: it also tells things that may be
// old, such as the number of replicas.
func (s *Source) EnvConfigMap() (*corev1.ConfigMap, error) {
	values, _, err := s.vars()
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{ObjectMeta: s.meta(s.envConfigMap()), Data: values}, nil
}

// vars are the definition's variables: those that have a value, and those that stand in another object and are read by the
// container.
func (s *Source) vars() (values map[string]string, refs []corev1.EnvVar, err error) {
	values = map[string]string{}
	for i := range s.Definition.Spec.Vars {
		v := &s.Definition.Spec.Vars[i]
		from := v.ValueFrom
		if from != nil && (from.ConfigMapKeyRef != nil || from.SecretKeyRef != nil) {
			refs = append(refs, corev1.EnvVar{Name: v.Name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: from.ConfigMapKeyRef, SecretKeyRef: from.SecretKeyRef}})
			continue
		}
		value, required := expand(v.Value, values), false
		if from != nil {
			value, required = s.varFrom(from)
		}
		if value == "" && required {
			return nil, nil, fmt.Errorf("definition %s: variable %s has no value", s.Definition.Name, v.Name)
		}
		values[v.Name] = value
	}
	return values, refs, nil
}

// varFrom is the value of a variable about the component, and whether it must have one.
func (s *Source) varFrom(from *appsv1.VarSource) (value string, required bool) {
	pick := func(value string, option appsv1.VarOption) (string, bool) { return value, option == appsv1.VarRequired }
	switch {
	case from.ServiceVarRef != nil:
		return s.serviceVar(from.ServiceVarRef)
	case from.TLSVarRef != nil:
		return pick(strconv.FormatBool(s.TLS), from.TLSVarRef.Enabled)
	case from.ComponentVarRef != nil:
		return s.componentVar(from.ComponentVarRef)
	default:
		return "", false
	}
}

func (s *Source) componentVar(v *appsv1.ComponentVar) (value string, required bool) {
	instances := s.instances()
	switch {
	case v.ComponentName != "":
		return s.Component.Name, v.ComponentName == appsv1.VarRequired
	case v.Replicas != "":
		return strconv.Itoa(int(s.Component.Spec.Replicas)), v.Replicas == appsv1.VarRequired
	case v.PodNames != "":
		return strings.Join(instances, ","), v.PodNames == appsv1.VarRequired
	default:
		for i := range instances {
			instances[i] += "." + s.headless()
		}
		return strings.Join(instances, ","), v.PodFQDNs == appsv1.VarRequired
	}
}

func (s *Source) serviceVar(v *appsv1.ServiceVar) (value string, required bool) {
	services, o := s.services(), s.owner()
	i := 0
	if v.Name != "" {
		i = slices.IndexFunc(services, func(d appsv1.ServiceDefinition) bool { return d.Name == v.Name })
	}
	required = v.Host == appsv1.VarRequired || v.Port != nil && v.Port.Option == appsv1.VarRequired
	if i < 0 || i >= len(services) {
		return "", required
	}
	if v.Port == nil {
		return naming.ComponentService(o.Cluster, o.Component, services[i].ServiceName), required
	}
	for _, p := range services[i].Spec.Ports {
		if p.Name == v.Port.Name {
			return strconv.Itoa(int(p.Port)), required
		}
	}
	return "", required
}

// expand puts values in the place of $(NAME). Names that nothing is known of stay.
func expand(value string, values map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(value, "$(")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(rest, ")")
		v, known := values[name]
		if !closed || !known {
			out.WriteString("$(")
			value = rest
			continue
		}
		out.WriteString(v)
		value = after
	}
}
