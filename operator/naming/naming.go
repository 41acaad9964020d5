// Package naming says what the operator calls the objects that it makes, and which
// labels they carry. Users, dashboards and scripts rely on these names, so each is
// written in one place and pinned by a golden test.
//
// Names are deterministic: a controller that works on stale data makes the same
// object again instead of a second one.
package naming

import (
	"strconv"
	"strings"
)

// Component returns the name of the Component of a cluster, which is also that of
// its InstanceSet.
func Component(cluster, component string) string { return cluster + "-" + component }

// Instance returns the name of an instance of an InstanceSet: that of its pod.
func Instance(set, template string, ordinal int32) string {
	if template != "" {
		set += "-" + template
	}
	return set + "-" + strconv.FormatInt(int64(ordinal), 10)
}

// Ordinal returns the ordinal at the end of the name of an instance.
func Ordinal(instance string) (int32, bool) {
	i := strings.LastIndexByte(instance, '-')
	if i <= 0 {
		return 0, false
	}
	digits := instance[i+1:]
	ordinal, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || strconv.FormatInt(ordinal, 10) != digits {
		return 0, false // a sign, leading zeros, or no number
	}
	return int32(ordinal), true
}

// Claim returns the name of the claim that an instance has from a template.
func Claim(template, pod string) string { return template + "-" + pod }

// ClusterService returns the name of a service of spec.services of a Cluster. The
// name by which the entry is known counts where the service has no name of its own.
func ClusterService(cluster, name, serviceName string) string {
	if serviceName == "" {
		serviceName = name
	}
	return cluster + "-" + serviceName
}

// ExposedService returns the name by which an operation Expose adds a service to
// spec.services of a Cluster. An empty component stands for all.
func ExposedService(component, name string) string {
	if component == "" {
		return name
	}
	return component + "-" + name
}

// ComponentService returns the name of a service of a ComponentDefinition.
func ComponentService(cluster, component, serviceName string) string {
	if serviceName == "" {
		return Component(cluster, component)
	}
	return Component(cluster, component) + "-" + serviceName
}

// HeadlessService returns the name of the service that gives pods their domain names.
func HeadlessService(cluster, component string) string {
	return SetHeadlessService(Component(cluster, component))
}

// SetHeadlessService returns the name of the service that gives the pods of an InstanceSet
// their domain names.
func SetHeadlessService(set string) string { return set + "-headless" }

// InstanceFQDN returns the domain name of a pod of an InstanceSet.
func InstanceFQDN(set, pod, namespace, clusterDomain string) string {
	return pod + "." + SetHeadlessService(set) + "." + namespace + ".svc." + clusterDomain
}

// ClusterDomain is the domain of a Kubernetes cluster where nothing else is said.
const ClusterDomain = "cluster.local"

// EnvConfigMap returns the name of the ConfigMap with the variables of a component.
func EnvConfigMap(cluster, component string) string {
	return Component(cluster, component) + "-env"
}

// BootstrapConfigMap returns the name of the ConfigMap that tells each pod of a
// component whom to join.
func BootstrapConfigMap(cluster, component string) string {
	return Component(cluster, component) + "-bootstrap"
}

// FilesConfigMap returns the name of the ConfigMap with the rendered files of a
// template of configurations or scripts.
func FilesConfigMap(cluster, component, template string) string {
	return Component(cluster, component) + "-" + template
}

// TLSSecret returns the name of the Secret with the certificates of a component.
func TLSSecret(cluster, component string) string {
	return Component(cluster, component) + "-tls-certs"
}

// KeySecret returns the name of the Secret with the API key of a component whose key
// was given as a variable.
func KeySecret(cluster, component string) string {
	return Component(cluster, component) + "-api-key"
}

// NetworkPolicy returns the name of the NetworkPolicy of a component.
func NetworkPolicy(cluster, component string) string { return Component(cluster, component) }

// ServiceAccount returns the name of the account of the pods of a component.
func ServiceAccount(cluster, component string) string {
	return "kb-" + Component(cluster, component)
}

// PodRoleBinding returns the name of the binding that gives the account of the pods
// the rights of PodClusterRole.
func PodRoleBinding(cluster, component string) string {
	return ServiceAccount(cluster, component) + "-pod"
}

// PodClusterRole is the role with the rights of all pods.
const PodClusterRole = "kubeblocks-cluster-pod-role"

// DisruptionBudget returns the name of the PodDisruptionBudget of a component.
func DisruptionBudget(cluster, component string) string { return Component(cluster, component) }

// BackupPolicy returns the name of the BackupPolicy of a component.
func BackupPolicy(cluster, component string) string {
	return Component(cluster, component) + "-backup-policy"
}

// BackupSchedule returns the name of the BackupSchedule of a component.
func BackupSchedule(cluster, component string) string {
	return Component(cluster, component) + "-backup-schedule"
}

// The entries of the Secrets of a component; the certificate and its key stand under those of corev1.
const (
	// AuthorityEntry is the authority's certificate, or several.
	AuthorityEntry = "ca.crt"
	// KeyEntry is the API key.
	KeyEntry = "api-key"
	// OtherKeyEntry is a second key that nodes accept while one takes the place of the other.
	OtherKeyEntry = "alt-api-key"
)

// KeyVariable is the variable of the engine's container that holds the API key.
const KeyVariable = "QDRANT__SERVICE__API_KEY"

// List names what there is, for people.
func List(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
