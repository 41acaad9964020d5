package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// InstanceSet runs the pods of a component and their claims. It owns pods directly:
// it can remove any one of them, grow their volumes, and update them in the order of
// their roles.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas
// +kubebuilder:resource:categories={kubeblocks},shortName=its
// +kubebuilder:printcolumn:name="DESIRED",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="UP-TO-DATE",type=integer,JSONPath=`.status.updatedReplicas`
// +kubebuilder:printcolumn:name="READY",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="AVAILABLE",type=integer,JSONPath=`.status.availableReplicas`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.offlineInstances) || self.spec.offlineInstances.all(i, i.startsWith(self.metadata.name + '-'))",message="offlineInstances must name instances of the set: {set}-{ordinal}",fieldPath=".spec.offlineInstances"
type InstanceSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is to run.
	Spec InstanceSetSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status InstanceSetStatus `json:"status,omitempty"`
}

// InstanceSetList is a list of instance sets.
//
// +kubebuilder:object:root=true
type InstanceSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []InstanceSet `json:"items"`
}

// InstanceSetSpec is what is to run.
type InstanceSetSpec struct {
	// Replicas is how many instances run.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// Stop removes all pods and keeps their claims.
	// +optional
	Stop *bool `json:"stop,omitempty"`

	// Paused keeps the operator from doing anything for the set.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// Selector matches the pods of the set. It cannot be changed.
	Selector PodSelector `json:"selector"`

	// Template of the pods. It is checked when pods are made from it, not here.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Template corev1.PodTemplateSpec `json:"template"`

	// Instances are templates of instances that differ from the rest.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Instances []appsv1.InstanceTemplate `json:"instances,omitempty"`

	// Templates are the pods of those instances whose version or definition is their
	// own: for them they take the place of template. What instances says is added to
	// them, too.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Templates []InstancePods `json:"templates,omitempty"`

	// Ordinals that the instances may have.
	// +optional
	Ordinals *appsv1.Ordinals `json:"ordinals,omitempty"`

	// FlatInstanceOrdinal gives the instances of all templates numbers of one series,
	// and leaves the template out of their names.
	// +optional
	FlatInstanceOrdinal bool `json:"flatInstanceOrdinal,omitempty"`

	// OfflineInstances are the names of instances that must not run.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	OfflineInstances []string `json:"offlineInstances,omitempty"`

	// VolumeClaimTemplates are the claims of each instance.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	VolumeClaimTemplates []appsv1.VolumeClaimTemplate `json:"volumeClaimTemplates,omitempty"`

	// PersistentVolumeClaimRetentionPolicy says when claims outlive their instances.
	// +optional
	PersistentVolumeClaimRetentionPolicy *appsv1.ClaimRetentionPolicy `json:"persistentVolumeClaimRetentionPolicy,omitempty"`

	// MinReadySeconds is how long a pod must have been ready before it counts as
	// available.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	MinReadySeconds int32 `json:"minReadySeconds,omitempty"`

	// PodManagementPolicy says whether pods are made one after another (OrderedReady,
	// the default) or together (Parallel).
	// +optional
	// +kubebuilder:default=OrderedReady
	PodManagementPolicy appsv1.PodManagementPolicy `json:"podManagementPolicy,omitempty"`

	// ParallelPodManagementConcurrency is how many pods are made or removed at a time,
	// as a number or a percentage, where the policy is Parallel. All when left out.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^([0-9]+|[0-9]{1,3}%)$`
	ParallelPodManagementConcurrency *intstr.IntOrString `json:"parallelPodManagementConcurrency,omitempty"`

	// PodUpdatePolicy says whether pods may be changed in place. PreferInPlace when
	// left out.
	// +optional
	PodUpdatePolicy appsv1.PodUpdatePolicyType `json:"podUpdatePolicy,omitempty"`

	// PodUpgradePolicy says how a pod gets new images. As podUpdatePolicy when left
	// out.
	// +optional
	PodUpgradePolicy appsv1.PodUpdatePolicyType `json:"podUpgradePolicy,omitempty"`

	// InstanceUpdateStrategy says how changes reach the instances.
	// +optional
	InstanceUpdateStrategy *appsv1.InstanceUpdateStrategy `json:"instanceUpdateStrategy,omitempty"`

	// MemberUpdateStrategy says how many instances are updated at a time.
	// +optional
	MemberUpdateStrategy *appsv1.MemberUpdateStrategy `json:"memberUpdateStrategy,omitempty"`

	// Roles that an instance can have.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Roles []appsv1.Role `json:"roles,omitempty"`

	// LifecycleActions say how the engine is asked and told about what happens.
	// +optional
	LifecycleActions *appsv1.LifecycleActions `json:"lifecycleActions,omitempty"`

	// Configs say which configuration the pods are to have.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Configs []ConfigRevision `json:"configs,omitempty"`

	// EnableInstanceAPI asks for an object of the kind Instance beside each pod, which
	// is not served.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self",message="the kind Instance is not served: leave enableInstanceAPI out or set it to false"
	EnableInstanceAPI *bool `json:"enableInstanceAPI,omitempty"`
}

// InstancePods is the template of the pods of some instances.
type InstancePods struct {
	// Name of the entry in instances that it belongs to.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// Template of the pods. It is checked when pods are made from it, not here.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Template corev1.PodTemplateSpec `json:"template"`
}

// PodSelector matches pods by labels.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="selector cannot be changed: the pods that run would be lost"
type PodSelector struct {
	// MatchLabels are labels that the pods have.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	MatchLabels map[string]string `json:"matchLabels"`
}

// ConfigRevision says which content of a configuration the pods are to have.
type ConfigRevision struct {
	// Name of the configuration in the ComponentDefinition.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// ConfigHash is a hash of its content.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ConfigHash string `json:"configHash,omitempty"`

	// RestartOnFileChange says that pods with other content must be replaced.
	// +optional
	RestartOnFileChange bool `json:"restartOnFileChange,omitempty"`
}

// The conditions of an InstanceSet.
const (
	// ConditionInstanceReady: all instances are ready.
	ConditionInstanceReady = "InstanceReady"
	// ConditionInstanceAvailable: all instances are available.
	ConditionInstanceAvailable = "InstanceAvailable"
	// ConditionInstanceFailure: an instance can't become ready by waiting.
	ConditionInstanceFailure = "InstanceFailure"
	// ConditionInstanceUpdateRestricted: an update needs what podUpdatePolicy forbids.
	ConditionInstanceUpdateRestricted = "InstanceUpdateRestricted"
	// ConditionRestore: how the restore of the instances goes.
	ConditionRestore = "Restore"
)

// InstanceSetStatus is what the operator sees of a set.
type InstanceSetStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Replicas is the number of pods.
	// +optional
	Replicas int32 `json:"replicas"`

	// ReadyReplicas is the number of pods that are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// AvailableReplicas is the number of pods that have been ready for
	// minReadySeconds.
	// +optional
	AvailableReplicas int32 `json:"availableReplicas"`

	// CurrentReplicas is the number of pods of the revision before the update.
	// +optional
	CurrentReplicas int32 `json:"currentReplicas"`

	// UpdatedReplicas is the number of pods of the newest revision.
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas"`

	// CurrentRevision is the revision before the update.
	// +optional
	CurrentRevision string `json:"currentRevision,omitempty"`

	// UpdateRevision is the newest revision.
	// +optional
	UpdateRevision string `json:"updateRevision,omitempty"`

	// InstanceStatus are the states of the instances.
	// +optional
	// +listType=map
	// +listMapKey=podName
	InstanceStatus []InstanceStatus `json:"instanceStatus,omitempty"`

	// TemplatesStatus are the numbers of pods by template.
	// +optional
	// +listType=map
	// +listMapKey=name
	TemplatesStatus []TemplateStatus `json:"templatesStatus,omitempty"`

	// Conditions of the set: InstanceReady, InstanceAvailable, InstanceFailure,
	// InstanceUpdateRestricted, Restore.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InstanceDesiredState is what an instance is to be.
//
// +kubebuilder:validation:Enum=Active;Offline;Released
type InstanceDesiredState string

// What an instance is to be.
const (
	// InstanceActive: the instance is to run.
	InstanceActive InstanceDesiredState = "Active"
	// InstanceOffline: the instance is not to run, its ordinal stays taken.
	InstanceOffline InstanceDesiredState = "Offline"
	// InstanceReleased: the instance is to go.
	InstanceReleased InstanceDesiredState = "Released"
)

// InstanceCurrentState is whether the pod of an instance exists.
//
// +kubebuilder:validation:Enum=Present;Terminating;Absent
type InstanceCurrentState string

// Whether the pod of an instance exists.
const (
	// InstancePresent: there is a pod.
	InstancePresent InstanceCurrentState = "Present"
	// InstanceTerminating: the pod is going.
	InstanceTerminating InstanceCurrentState = "Terminating"
	// InstanceAbsent: there is no pod.
	InstanceAbsent InstanceCurrentState = "Absent"
)

// InstanceStatus is the state of one instance.
type InstanceStatus struct {
	// PodName is the name of the instance and of its pod.
	PodName string `json:"podName"`

	// TemplateName is the template of the instance; empty for the default one.
	// +optional
	TemplateName string `json:"templateName,omitempty"`

	// DesiredState is what the instance is to be.
	// +optional
	DesiredState InstanceDesiredState `json:"desiredState,omitempty"`

	// CurrentState is whether the pod exists.
	// +optional
	CurrentState InstanceCurrentState `json:"currentState,omitempty"`

	// UpToDate says whether the pod follows the newest template.
	// +optional
	UpToDate bool `json:"upToDate,omitempty"`

	// Ready says whether the pod is ready.
	// +optional
	Ready bool `json:"ready,omitempty"`

	// Available says whether the pod has been ready for minReadySeconds.
	// +optional
	Available bool `json:"available,omitempty"`

	// Failed says that the pod can't become ready by waiting.
	// +optional
	Failed bool `json:"failed,omitempty"`

	// Role of the instance.
	// +optional
	Role string `json:"role,omitempty"`

	// Message says what is the matter with the instance.
	// +optional
	Message string `json:"message,omitempty"`

	// VolumeExpansion says that a claim of the instance is being grown.
	// +optional
	VolumeExpansion bool `json:"volumeExpansion,omitempty"`

	// Configs are the contents of configurations that the pod has.
	// +optional
	// +listType=map
	// +listMapKey=name
	Configs []ConfigRevision `json:"configs,omitempty"`
}

// TemplateStatus are the numbers of pods of one template.
type TemplateStatus struct {
	// Name of the template; empty for the default one.
	Name string `json:"name"`

	// Replicas is the number of pods.
	// +optional
	Replicas int32 `json:"replicas"`

	// ReadyReplicas is the number of pods that are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// AvailableReplicas is the number of pods that are available.
	// +optional
	AvailableReplicas int32 `json:"availableReplicas"`

	// CurrentReplicas is the number of pods of the revision before the update.
	// +optional
	CurrentReplicas int32 `json:"currentReplicas"`

	// UpdatedReplicas is the number of pods of the newest revision.
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas"`
}
