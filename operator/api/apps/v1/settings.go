package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Settings are what a user can choose for a component. A Cluster has them in its
// componentSpecs, a Component in its spec.
//
// +kubebuilder:validation:XValidation:rule="!has(self.instances) || self.instances.map(i, has(i.replicas) ? i.replicas : 1).sum() <= (has(self.replicas) ? self.replicas : 1)",message="the replicas of instances[] are part of replicas and must not exceed them"
// +kubebuilder:validation:XValidation:rule="has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates) && (!has(self.volumeClaimTemplates) || (self.volumeClaimTemplates.size() == oldSelf.volumeClaimTemplates.size() && self.volumeClaimTemplates.all(n, oldSelf.volumeClaimTemplates.exists(o, o.name == n.name))))",message="volumeClaimTemplates can be neither added nor removed: instances that run keep their volumes"
type Settings struct {
	// ServiceVersion is the version that clients expect of the engine; the
	// ComponentVersion says which image serves it. The newest when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]+\.[0-9]+(\.[0-9]+)?([-+.][0-9A-Za-z.+-]+)?$`
	ServiceVersion string `json:"serviceVersion,omitempty"`

	// Replicas is how many instances the component has. Lowering it moves what the
	// leaving instances hold to those that stay, then removes them.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Maximum=1000
	// +kubebuilder:validation:XValidation:rule="self >= 1",message="replicas must be at least 1: to take all instances down and keep the data, set stop to true"
	Replicas int32 `json:"replicas,omitempty"`

	// Stop takes all pods down and keeps volumes, services and configuration.
	// +optional
	Stop *bool `json:"stop,omitempty"`

	// Labels that are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations that are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// Env are variables that are added to the engine's container, such as an API key
	// from a Secret.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Env []corev1.EnvVar `json:"env,omitempty"`

	// Resources of the engine's container.
	// +optional
	Resources Resources `json:"resources,omitempty"`

	// VolumeClaimTemplates are the claims of each instance.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	VolumeClaimTemplates []VolumeClaimTemplate `json:"volumeClaimTemplates,omitempty"`

	// PersistentVolumeClaimRetentionPolicy says when claims outlive their instances.
	// +optional
	PersistentVolumeClaimRetentionPolicy *ClaimRetentionPolicy `json:"persistentVolumeClaimRetentionPolicy,omitempty"`

	// Volumes are added to the pods, or take the place of volumes of the same name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// Configs set variables of the engine's configuration files.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Configs []ComponentConfig `json:"configs,omitempty"`

	// Services change the services of the ComponentDefinition.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Services []ComponentService `json:"services,omitempty"`

	// SystemAccounts change the accounts of the ComponentDefinition.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	SystemAccounts []SystemAccount `json:"systemAccounts,omitempty"`

	// Network of the pods.
	// +optional
	Network *Network `json:"network,omitempty"`

	// SchedulingPolicy says on which nodes the pods may run.
	// +optional
	SchedulingPolicy *SchedulingPolicy `json:"schedulingPolicy,omitempty"`

	// ServiceAccountName is the account of the pods. The operator makes one with the
	// least rights when it is left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// RuntimeClassName of the pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// ParallelPodManagementConcurrency is how many pods are made or removed at a time,
	// as a number or a percentage. All when left out.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^([0-9]+|[0-9]{1,3}%)$`
	ParallelPodManagementConcurrency *intstr.IntOrString `json:"parallelPodManagementConcurrency,omitempty"`

	// PodUpdatePolicy says whether pods may be changed in place. PreferInPlace when
	// left out.
	// +optional
	PodUpdatePolicy *PodUpdatePolicyType `json:"podUpdatePolicy,omitempty"`

	// InstanceUpdateStrategy says how changes reach the instances.
	// +optional
	InstanceUpdateStrategy *InstanceUpdateStrategy `json:"instanceUpdateStrategy,omitempty"`

	// Instances are templates of instances that differ from the rest.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Instances []InstanceTemplate `json:"instances,omitempty"`

	// Ordinals that the instances may have.
	// +optional
	Ordinals *Ordinals `json:"ordinals,omitempty"`

	// FlatInstanceOrdinal gives the instances of all templates numbers of one series,
	// and leaves the template out of their names.
	// +optional
	FlatInstanceOrdinal bool `json:"flatInstanceOrdinal,omitempty"`

	// OfflineInstances are the names of instances that must not run. Naming one and
	// lowering replicas by one removes exactly that instance; its ordinal is not used
	// again while it stands here.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	OfflineInstances []string `json:"offlineInstances,omitempty"`

	// DisableExporter leaves the container metrics-exporter out. The engine's own
	// /metrics stays.
	// +optional
	DisableExporter *bool `json:"disableExporter,omitempty"`

	// EnableInstanceAPI asks for an object of the kind Instance beside each pod. There
	// is no such kind here; the field is accepted so that specs that say false are.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self",message="the kind Instance is not served: leave enableInstanceAPI out or set it to false"
	EnableInstanceAPI *bool `json:"enableInstanceAPI,omitempty"`
}

// ComponentConfig sets the variables of one configuration template.
type ComponentConfig struct {
	// Name of the template in the ComponentDefinition, such as qdrant-config-template.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Variables of the template by name. Changing one replaces the pods, one after
	// another, where the template says so.
	// +optional
	// +kubebuilder:validation:MaxProperties=128
	Variables map[string]string `json:"variables,omitempty"`
}

// ComponentService changes a service that the ComponentDefinition makes.
type ComponentService struct {
	// Name of the service in the ComponentDefinition.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=25
	Name string `json:"name"`

	// Annotations of the service, such as those that a cloud's load balancer reads.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// ServiceType is ClusterIP (the default), NodePort or LoadBalancer.
	// +optional
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	ServiceType corev1.ServiceType `json:"serviceType,omitempty"`

	// PodService makes one service for each pod.
	// +optional
	PodService *bool `json:"podService,omitempty"`
}

// SystemAccount changes an account that the ComponentDefinition makes.
type SystemAccount struct {
	// Name of the account in the ComponentDefinition.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Disabled leaves the account out.
	// +optional
	Disabled *bool `json:"disabled,omitempty"`

	// SecretRef is the Secret with the account's password.
	// +optional
	SecretRef *AccountSecret `json:"secretRef,omitempty"`
}

// AccountSecret names the Secret with the password of an account.
type AccountSecret struct {
	SecretReference `json:",inline"`

	// Password is the key of the password in the Secret. "password" when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Password string `json:"password,omitempty"`
}

// Network of the pods of a component.
type Network struct {
	// HostNetwork lets the pods use the network of their node.
	// +optional
	HostNetwork bool `json:"hostNetwork,omitempty"`

	// HostPorts are the ports that are taken on the node.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	HostPorts []HostPort `json:"hostPorts,omitempty"`

	// HostAliases are added to the hosts file of the pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	HostAliases []corev1.HostAlias `json:"hostAliases,omitempty"`

	// DNSPolicy of the pods.
	// +optional
	// +kubebuilder:validation:Enum=ClusterFirstWithHostNet;ClusterFirst;Default;None
	DNSPolicy *corev1.DNSPolicy `json:"dnsPolicy,omitempty"`

	// DNSConfig of the pods.
	// +optional
	DNSConfig *corev1.PodDNSConfig `json:"dnsConfig,omitempty"`
}

// HostPort is a port of a container on its node.
type HostPort struct {
	// Name of the container's port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Port on the node.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// IssuerName says who issues certificates.
//
// +kubebuilder:validation:Enum=KubeBlocks;UserProvided
type IssuerName string

// Who issues certificates.
const (
	// IssuerOperator is the operator itself: it makes an authority for the component,
	// issues certificates and renews them. The value is what existing manifests say.
	IssuerOperator IssuerName = "KubeBlocks"
	// IssuerUser is a Secret of the user.
	IssuerUser IssuerName = "UserProvided"
)

// Issuer of the certificates of a component.
//
// +kubebuilder:validation:XValidation:rule="self.name != 'UserProvided' || has(self.secretRef)",message="issuer UserProvided needs secretRef: the Secret with the certificates"
// +kubebuilder:validation:XValidation:rule="self.name != 'KubeBlocks' || !has(self.secretRef)",message="issuer KubeBlocks makes its own certificates: leave secretRef out, or use UserProvided"
type Issuer struct {
	// Name is KubeBlocks for certificates that the operator makes, UserProvided for
	// those of a Secret.
	// +optional
	// +kubebuilder:default=KubeBlocks
	Name IssuerName `json:"name"`

	// SecretRef is the Secret with the certificates of UserProvided.
	// +optional
	SecretRef *CertificateSecret `json:"secretRef,omitempty"`
}

// CertificateSecret names a Secret with certificates and the keys under which they
// stand.
type CertificateSecret struct {
	SecretReference `json:",inline"`

	// CA is the key of the authority's certificate.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CA string `json:"ca"`

	// Cert is the key of the certificate.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Cert string `json:"cert"`

	// Key is the key of the certificate's private key.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}
