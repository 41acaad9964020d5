package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// template is the template of the pods.
func (s *Source) template(hash string) (corev1.PodTemplateSpec, error) {
	spec := s.Definition.Spec.Runtime.DeepCopy()
	settings := &s.Component.Spec.Settings
	if d := settings.DisableExporter; d != nil && *d && s.exporter() != "" {
		spec.Containers = slices.DeleteFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == s.exporter() })
	}
	s.addFiles(spec)
	for _, v := range settings.Volumes {
		setVolume(spec, v)
	}
	if err := s.setContainers(spec); err != nil {
		return corev1.PodTemplateSpec{}, err
	}
	s.setAccount(spec)
	s.setNetwork(spec)
	s.schedule(spec)
	if err := s.completeVolumes(spec); err != nil {
		return corev1.PodTemplateSpec{}, err
	}
	// Who manages the pod decides last: services and controllers find it by these labels.
	labels := joined(s.Definition.Spec.Labels, settings.Labels, naming.PodLabels(s.owner(), PodName, "", false))
	annotations := joined(s.Definition.Spec.Annotations, settings.Annotations, map[string]string{naming.AnnotationConfigHash: hash})
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations}, Spec: *spec}, nil
}

// joined puts maps together; later ones win.
func joined(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// setContainers gives the containers images, variables and resources.
func (s *Source) setContainers(spec *corev1.PodSpec) error {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			c := &list[i]
			if image := s.Images[c.Name]; image != "" {
				c.Image = image
			}
			if c.Image == "" {
				return fmt.Errorf("container %s has no image: neither a ComponentVersion nor definition %s names one", c.Name, s.Definition.Name)
			}
		}
	}
	engine := &spec.Containers[0]
	env, err := s.engineEnv()
	if err != nil {
		return err
	}
	engine.Env = env
	engine.EnvFrom = append(engine.EnvFrom, corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: s.envConfigMap()},
	}})
	if r := s.Component.Spec.Resources; len(r.Limits)+len(r.Requests) > 0 {
		complete := completeResources(r)
		engine.Resources = corev1.ResourceRequirements{Limits: complete.Limits, Requests: complete.Requests}
	}
	for i := range spec.Containers[1:] {
		c := &spec.Containers[1+i]
		c.Env = merge(s.besideEnv(), c.Env)
	}
	if s.TLS {
		s.encrypt(spec)
	}
	return nil
}

// completeResources requests what is only limited: so does Kubernetes, but only when the pod is made, and then
// the pod would differ from its template.
func completeResources(r appsv1.Resources) appsv1.Resources {
	out := *r.DeepCopy()
	for name, quantity := range out.Limits {
		if _, ok := out.Requests[name]; !ok {
			if out.Requests == nil {
				out.Requests = corev1.ResourceList{}
			}
			out.Requests[name] = quantity
		}
	}
	return out
}

// addFiles adds the volumes of rendered templates.
func (s *Source) addFiles(spec *corev1.PodSpec) {
	for _, t := range s.fileTemplates() {
		if t.VolumeName == "" {
			continue
		}
		setVolume(spec, corev1.Volume{Name: t.VolumeName, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: s.filesConfigMap(t.Name)},
			DefaultMode:          t.DefaultMode,
		}}})
	}
}

func setVolume(spec *corev1.PodSpec, v corev1.Volume) {
	if i := slices.IndexFunc(spec.Volumes, func(have corev1.Volume) bool { return have.Name == v.Name }); i >= 0 {
		spec.Volumes[i] = v
		return
	}
	spec.Volumes = append(spec.Volumes, v)
}

// completeVolumes sees to it that every mount has its volume. Volumes of claims are added pod by pod, and win over
// those of the template. What isn't data may be lost with the pod.
func (s *Source) completeVolumes(spec *corev1.PodSpec) error {
	claims := s.Component.Spec.VolumeClaimTemplates
	for _, c := range claims {
		spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.Name })
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			if slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) ||
				slices.ContainsFunc(claims, func(t appsv1.VolumeClaimTemplate) bool { return t.Name == m.Name }) {
				continue
			}
			if slices.ContainsFunc(s.Definition.Spec.Volumes, func(v appsv1.VolumeDefinition) bool { return v.Name == m.Name && v.NeedSnapshot }) {
				return fmt.Errorf("volume %s holds the data: volumeClaimTemplates needs an entry of that name", m.Name)
			}
			spec.Volumes = append(spec.Volumes, corev1.Volume{Name: m.Name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		}
	}
	return nil
}

// setAccount runs the pods under the component's account, which has no token unless the definition gives the pods rights.
func (s *Source) setAccount(spec *corev1.PodSpec) {
	o := s.owner()
	spec.ServiceAccountName = naming.ServiceAccount(o.Cluster, o.Component)
	if name := s.Component.Spec.ServiceAccountName; name != "" {
		spec.ServiceAccountName = name
	}
	spec.AutomountServiceAccountToken = new(len(s.Definition.Spec.PolicyRules) > 0)
}

func (s *Source) setNetwork(spec *corev1.PodSpec) {
	n := s.Component.Spec.Network
	if n == nil {
		return
	}
	spec.HostNetwork = n.HostNetwork
	spec.HostAliases = append(spec.HostAliases, n.HostAliases...)
	if n.DNSConfig != nil {
		spec.DNSConfig = n.DNSConfig.DeepCopy()
	}
	switch {
	case n.DNSPolicy != nil:
		spec.DNSPolicy = *n.DNSPolicy
	case n.HostNetwork: // else the names of the other pods aren't known
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	}
	for i := range spec.Containers {
		for j := range spec.Containers[i].Ports {
			port := &spec.Containers[i].Ports[j]
			for _, host := range n.HostPorts {
				if host.Name == port.Name {
					port.HostPort = host.Port
				}
			}
		}
	}
}

// schedule keeps the instances on different nodes and in different zones where it can, unless the user says otherwise.
func (s *Source) schedule(spec *corev1.PodSpec) {
	settings := &s.Component.Spec.Settings
	if settings.RuntimeClassName != nil {
		spec.RuntimeClassName = settings.RuntimeClassName
	}
	p := settings.SchedulingPolicy.DeepCopy()
	if p == nil {
		p = &appsv1.SchedulingPolicy{}
	}
	if p.SchedulerName != "" {
		spec.SchedulerName = p.SchedulerName
	}
	if p.NodeName != "" {
		spec.NodeName = p.NodeName
	}
	if len(p.NodeSelector) > 0 {
		spec.NodeSelector = joined(spec.NodeSelector, p.NodeSelector)
	}
	spec.Tolerations = append(spec.Tolerations, p.Tolerations...)
	if p.Affinity == nil && spec.Affinity == nil {
		p.Affinity = s.defaultAffinity()
	}
	if p.Affinity != nil {
		spec.Affinity = p.Affinity
	}
	if len(p.TopologySpreadConstraints) == 0 && len(spec.TopologySpreadConstraints) == 0 {
		p.TopologySpreadConstraints = s.defaultSpread()
	}
	if len(p.TopologySpreadConstraints) > 0 {
		spec.TopologySpreadConstraints = p.TopologySpreadConstraints
	}
}

func (s *Source) podSelector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: naming.PodSelector(s.owner())}
}

func (s *Source) defaultAffinity() *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight:          100,
			PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: s.podSelector()},
		}},
	}}
}

func (s *Source) defaultSpread() []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: s.podSelector(),
	}}
}

// encrypt mounts the certificates, and has the probes of the engine speak TLS. What runs beside the engine gets the
// authority alone.
func (s *Source) encrypt(spec *corev1.PodSpec) {
	d, o := s.Definition.Spec.TLS, s.owner()
	secret := naming.TLSSecret(o.Cluster, o.Component)
	volume := func(name string, items ...corev1.KeyToPath) {
		setVolume(spec, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: secret, DefaultMode: d.DefaultMode, Items: items,
		}}})
	}
	authority := corev1.KeyToPath{Key: naming.AuthorityEntry, Path: s.tlsFile(naming.AuthorityEntry)}
	volume(d.VolumeName, authority,
		corev1.KeyToPath{Key: corev1.TLSCertKey, Path: s.tlsFile(corev1.TLSCertKey)},
		corev1.KeyToPath{Key: corev1.TLSPrivateKeyKey, Path: s.tlsFile(corev1.TLSPrivateKeyKey)})
	if len(spec.Containers) > 1 {
		volume(d.VolumeName+"-ca", authority)
	}
	for i := range spec.Containers {
		c := &spec.Containers[i]
		name := d.VolumeName
		if i > 0 {
			name += "-ca"
		}
		c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == d.VolumeName })
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: d.MountPath, ReadOnly: true})
	}
	engine := &spec.Containers[0]
	for _, p := range []*corev1.Probe{engine.StartupProbe, engine.LivenessProbe, engine.ReadinessProbe} {
		if p != nil && p.HTTPGet != nil {
			p.HTTPGet.Scheme = corev1.URISchemeHTTPS
		}
	}
}

// tlsFile is how the engine's definition calls the file of an entry of the Secret with the certificates.
func (s *Source) tlsFile(entry string) string {
	d := s.Definition.Spec.TLS
	name := map[string]*string{naming.AuthorityEntry: d.CAFile, corev1.TLSCertKey: d.CertFile, corev1.TLSPrivateKeyKey: d.KeyFile}[entry]
	if name == nil || *name == "" {
		return entry
	}
	return *name
}

func (s *Source) tlsPath(entry string) string {
	return strings.TrimSuffix(s.Definition.Spec.TLS.MountPath, "/") + "/" + s.tlsFile(entry)
}

// authorityFile is where what runs beside the engine finds the authority.
func (s *Source) authorityFile() string { return s.tlsPath(naming.AuthorityEntry) }
