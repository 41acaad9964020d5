package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Resources says what a container may use and what is kept free for it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || (type(self.requests[k]) == string ? quantity(self.requests[k]).asApproximateFloat() : double(self.requests[k])) <= (type(self.limits[k]) == string ? quantity(self.limits[k]).asApproximateFloat() : double(self.limits[k])))",message="limits must be at least as large as requests"
type Resources struct {
	// Limits is the most that the container may use: cpu, memory, ephemeral-storage
	// and extended resources.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Limits corev1.ResourceList `json:"limits,omitempty"`

	// Requests is what the scheduler keeps free for the container. A resource that is
	// only limited is requested to the same amount.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Requests corev1.ResourceList `json:"requests,omitempty"`
}

// VolumeClaimTemplate is the template of a PersistentVolumeClaim of each instance.
// The claim is called {template}-{pod}.
type VolumeClaimTemplate struct {
	// Name of the volume, as the ComponentDefinition calls it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// Labels that are added to each claim.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations that are added to each claim.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// Spec of each claim.
	// +optional
	Spec VolumeClaimSpec `json:"spec,omitempty"`
}

// VolumeClaimSpec is what a claim asks for. Storage can grow; all else is fixed once
// the claim exists, because Kubernetes has no way to change it.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.storageClassName) && self.storageClassName != "") == (has(oldSelf.storageClassName) && oldSelf.storageClassName != "") && (!has(self.storageClassName) || self.storageClassName == "" || self.storageClassName == oldSelf.storageClassName)`,message="storageClassName cannot be changed: claims that exist cannot move to another class"
// +kubebuilder:validation:XValidation:rule="has(self.accessModes) == has(oldSelf.accessModes) && (!has(self.accessModes) || self.accessModes == oldSelf.accessModes)",message="accessModes cannot be changed: claims that exist keep theirs"
// +kubebuilder:validation:XValidation:rule="has(self.volumeMode) == has(oldSelf.volumeMode) && (!has(self.volumeMode) || self.volumeMode == oldSelf.volumeMode)",message="volumeMode cannot be changed: claims that exist keep theirs"
type VolumeClaimSpec struct {
	// StorageClassName is the class of the volume. Empty or left out, it means the
	// cluster's default class (plain Kubernetes reads the empty string as "no class").
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`

	// AccessModes that the volume must have. ReadWriteOnce when left out.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	AccessModes []AccessMode `json:"accessModes,omitempty"`

	// VolumeMode is Filesystem (the default) or Block.
	// +optional
	VolumeMode *VolumeMode `json:"volumeMode,omitempty"`

	// VolumeAttributesClassName chooses among the qualities of one storage class,
	// such as its throughput.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	VolumeAttributesClassName *string `json:"volumeAttributesClassName,omitempty"`

	// Resources of the volume: requests.storage is its size.
	// +optional
	Resources VolumeResources `json:"resources,omitempty"`
}

// AccessMode says how many nodes may mount a volume.
//
// +kubebuilder:validation:Enum=ReadWriteOnce;ReadWriteOncePod;ReadWriteMany;ReadOnlyMany
// +kubebuilder:validation:MaxLength=16
type AccessMode string

// VolumeMode says whether a volume holds a file system or is a raw device.
//
// +kubebuilder:validation:Enum=Filesystem;Block
// +kubebuilder:validation:MaxLength=16
type VolumeMode string

// VolumeResources is the size of a volume.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.requests) || !('storage' in oldSelf.requests) || (has(self.requests) && 'storage' in self.requests && (type(self.requests['storage']) == string ? quantity(self.requests['storage']).asApproximateFloat() : double(self.requests['storage'])) >= (type(oldSelf.requests['storage']) == string ? quantity(oldSelf.requests['storage']).asApproximateFloat() : double(oldSelf.requests['storage'])))",message="storage cannot shrink: a volume can only grow"
type VolumeResources struct {
	// Requests holds the size of the volume under the key storage.
	// +optional
	// +kubebuilder:validation:MaxProperties=4
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// Limits of the volume. Kubernetes knows none for volumes; kept so that specs
	// written for claims are accepted.
	// +optional
	// +kubebuilder:validation:MaxProperties=4
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// SchedulingPolicy says on which nodes instances may run.
type SchedulingPolicy struct {
	// SchedulerName is the scheduler that places the pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SchedulerName string `json:"schedulerName,omitempty"`

	// NodeSelector are labels that a node must have.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// NodeName puts the pods on one named node and goes around the scheduler.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// Affinity attracts pods to nodes and keeps them apart from other pods. Given, it
	// takes the place of the operator's default, which keeps the instances of a
	// component on different nodes where it can.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// Tolerations let the pods run on tainted nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// TopologySpreadConstraints spread the pods over zones, racks and the like. Given,
	// they take the place of the operator's default.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
}

// RetentionPolicyType says whether a claim outlives its instance.
//
// +kubebuilder:validation:Enum=Retain;Delete
type RetentionPolicyType string

// What may become of a claim.
const (
	RetainClaims RetentionPolicyType = "Retain"
	DeleteClaims RetentionPolicyType = "Delete"
)

// ClaimRetentionPolicy says when claims outlive their instances.
type ClaimRetentionPolicy struct {
	// WhenDeleted applies when the component goes with its cluster. Delete when left
	// out. Claims of a component that is deleted while its cluster stays are kept.
	// +optional
	WhenDeleted RetentionPolicyType `json:"whenDeleted,omitempty"`

	// WhenScaled applies when an instance is scaled in or taken offline. Delete when
	// left out.
	// +optional
	WhenScaled RetentionPolicyType `json:"whenScaled,omitempty"`
}

// PodUpdatePolicyType says what the operator may do to make a pod follow its
// template.
//
// +kubebuilder:validation:Enum=PreferInPlace;StrictInPlace;ReCreate
type PodUpdatePolicyType string

// How pods are updated.
const (
	// PreferInPlace changes what Kubernetes can change in a running pod, such as
	// images, and replaces the pod for all else.
	PreferInPlace PodUpdatePolicyType = "PreferInPlace"
	// StrictInPlace refuses changes that need a new pod.
	StrictInPlace PodUpdatePolicyType = "StrictInPlace"
	// ReCreate replaces the pod for every change.
	ReCreate PodUpdatePolicyType = "ReCreate"
)

// InstanceUpdateStrategyType says who starts the update of an instance.
//
// +kubebuilder:validation:Enum=RollingUpdate;OnDelete
type InstanceUpdateStrategyType string

// Who starts the update of an instance.
const (
	// RollingUpdateInstances lets the operator update one instance after another.
	RollingUpdateInstances InstanceUpdateStrategyType = "RollingUpdate"
	// OnDeleteInstances updates an instance when its pod is deleted by hand.
	OnDeleteInstances InstanceUpdateStrategyType = "OnDelete"
)

// InstanceUpdateStrategy says how changes of the template reach the instances.
type InstanceUpdateStrategy struct {
	// Type is RollingUpdate (the default) or OnDelete.
	// +optional
	Type InstanceUpdateStrategyType `json:"type,omitempty"`

	// RollingUpdate are the bounds of a rolling update.
	// +optional
	RollingUpdate *RollingUpdate `json:"rollingUpdate,omitempty"`
}

// RollingUpdate are the bounds of a rolling update.
type RollingUpdate struct {
	// Replicas is how many instances are updated, as a number or a percentage; the
	// rest keep the old template. All when left out.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^([0-9]+|[0-9]{1,3}%)$`
	Replicas *intstr.IntOrString `json:"replicas,omitempty"`

	// MaxUnavailable is how many instances may be unavailable during the update, as a
	// number or a percentage. 1 when left out. The last copies of a shard are never
	// taken down, whatever is allowed here.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^([0-9]+|[0-9]{1,3}%)$`
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// OrdinalRange are the ordinals from start to end, both included.
//
// +kubebuilder:validation:XValidation:rule="self.start <= self.end",message="start must not be above end"
type OrdinalRange struct {
	// Start is the first ordinal.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9999
	Start int32 `json:"start"`

	// End is the last ordinal.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9999
	End int32 `json:"end"`
}

// Ordinals are the numbers that instances may have.
type Ordinals struct {
	// Ranges of ordinals.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Ranges []OrdinalRange `json:"ranges,omitempty"`

	// Discrete are single ordinals.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Discrete []int32 `json:"discrete,omitempty"`
}

// InstanceTemplate makes some instances of a component different from the rest.
//
// +kubebuilder:validation:XValidation:rule="has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates) && (!has(self.volumeClaimTemplates) || (self.volumeClaimTemplates.size() == oldSelf.volumeClaimTemplates.size() && self.volumeClaimTemplates.all(n, oldSelf.volumeClaimTemplates.exists(o, o.name == n.name))))",message="volumeClaimTemplates can be neither added nor removed: instances that run keep their volumes"
type InstanceTemplate struct {
	// Name of the template; pods are called {cluster}-{component}-{template}-{ordinal}.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// Replicas is how many instances are made from the template; they count as part
	// of the component's replicas.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// Ordinals that the instances of the template may have.
	// +optional
	Ordinals *Ordinals `json:"ordinals,omitempty"`

	// Labels that are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations that are added to the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// ServiceVersion of these instances, where it differs from the component's.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ServiceVersion string `json:"serviceVersion,omitempty"`

	// CompDef of these instances, where it differs from the component's.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	CompDef string `json:"compDef,omitempty"`

	// Canary marks the instances as a trial of a new version.
	// +optional
	Canary *bool `json:"canary,omitempty"`

	// Env are variables that are added to the engine's container, or take the place
	// of variables of the same name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Env []corev1.EnvVar `json:"env,omitempty"`

	// Resources of the engine's container, instead of the component's.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// SchedulingPolicy of the instances, instead of the component's.
	// +optional
	SchedulingPolicy *SchedulingPolicy `json:"schedulingPolicy,omitempty"`

	// VolumeClaimTemplates of the instances; a template replaces the component's of
	// the same name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	VolumeClaimTemplates []VolumeClaimTemplate `json:"volumeClaimTemplates,omitempty"`
}

// SecretReference names a Secret.
type SecretReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the Secret; that of the object when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}
