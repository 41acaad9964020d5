package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// OpsType is what an operation does.
//
// +kubebuilder:validation:Enum=Start;Stop;Restart;VerticalScaling;HorizontalScaling;VolumeExpansion;Upgrade;Expose;Switchover;Reconfiguring;Backup;Restore;RebuildInstance;Custom
type OpsType string

// What an operation does.
const (
	// Start brings stopped components back.
	Start OpsType = "Start"
	// Stop takes the pods of components down and keeps their data.
	Stop OpsType = "Stop"
	// Restart replaces the pods of components, one after another.
	Restart OpsType = "Restart"
	// VerticalScaling changes the resources of components.
	VerticalScaling OpsType = "VerticalScaling"
	// HorizontalScaling adds or removes instances.
	HorizontalScaling OpsType = "HorizontalScaling"
	// VolumeExpansion grows volumes.
	VolumeExpansion OpsType = "VolumeExpansion"
	// Upgrade changes the version.
	Upgrade OpsType = "Upgrade"
	// Expose makes services, or removes them.
	Expose OpsType = "Expose"
	// Switchover hands the role of an instance to another one.
	Switchover OpsType = "Switchover"
	// Reconfiguring changes parameters of the engine.
	Reconfiguring OpsType = "Reconfiguring"
	// Backup makes a backup.
	Backup OpsType = "Backup"
	// Restore makes a new cluster from a backup.
	Restore OpsType = "Restore"
	// RebuildInstance gives an instance a new volume and fills it.
	RebuildInstance OpsType = "RebuildInstance"
	// Custom needs an OpsDefinition, a kind that is not served. The type is known so
	// that it can be refused with a reason.
	Custom OpsType = "Custom"
)

// OpsRequest is one operation on a cluster. Operations on one cluster wait for each
// other; the spec cannot be changed once an operation has started, except to cancel
// it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},shortName=ops
// +kubebuilder:printcolumn:name="TYPE",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="CLUSTER",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="PROGRESS",type=string,JSONPath=`.status.progress`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || (has(self.spec.force) == has(oldSelf.spec.force) && (!has(self.spec.force) || self.spec.force == oldSelf.spec.force) && has(self.spec.enqueueOnForce) == has(oldSelf.spec.enqueueOnForce) && (!has(self.spec.enqueueOnForce) || self.spec.enqueueOnForce == oldSelf.spec.enqueueOnForce) && has(self.spec.preConditionDeadlineSeconds) == has(oldSelf.spec.preConditionDeadlineSeconds) && (!has(self.spec.preConditionDeadlineSeconds) || self.spec.preConditionDeadlineSeconds == oldSelf.spec.preConditionDeadlineSeconds) && has(self.spec.timeoutSeconds) == has(oldSelf.spec.timeoutSeconds) && (!has(self.spec.timeoutSeconds) || self.spec.timeoutSeconds == oldSelf.spec.timeoutSeconds) && has(self.spec.ttlSecondsAfterSucceed) == has(oldSelf.spec.ttlSecondsAfterSucceed) && (!has(self.spec.ttlSecondsAfterSucceed) || self.spec.ttlSecondsAfterSucceed == oldSelf.spec.ttlSecondsAfterSucceed) && has(self.spec.ttlSecondsAfterUnsuccessfulCompletion) == has(oldSelf.spec.ttlSecondsAfterUnsuccessfulCompletion) && (!has(self.spec.ttlSecondsAfterUnsuccessfulCompletion) || self.spec.ttlSecondsAfterUnsuccessfulCompletion == oldSelf.spec.ttlSecondsAfterUnsuccessfulCompletion) && has(self.spec.start) == has(oldSelf.spec.start) && (!has(self.spec.start) || self.spec.start == oldSelf.spec.start) && has(self.spec.stop) == has(oldSelf.spec.stop) && (!has(self.spec.stop) || self.spec.stop == oldSelf.spec.stop) && has(self.spec.restart) == has(oldSelf.spec.restart) && (!has(self.spec.restart) || self.spec.restart == oldSelf.spec.restart) && has(self.spec.verticalScaling) == has(oldSelf.spec.verticalScaling) && (!has(self.spec.verticalScaling) || self.spec.verticalScaling == oldSelf.spec.verticalScaling) && has(self.spec.horizontalScaling) == has(oldSelf.spec.horizontalScaling) && (!has(self.spec.horizontalScaling) || self.spec.horizontalScaling == oldSelf.spec.horizontalScaling) && has(self.spec.volumeExpansion) == has(oldSelf.spec.volumeExpansion) && (!has(self.spec.volumeExpansion) || self.spec.volumeExpansion == oldSelf.spec.volumeExpansion) && has(self.spec.upgrade) == has(oldSelf.spec.upgrade) && (!has(self.spec.upgrade) || self.spec.upgrade == oldSelf.spec.upgrade) && has(self.spec.expose) == has(oldSelf.spec.expose) && (!has(self.spec.expose) || self.spec.expose == oldSelf.spec.expose) && has(self.spec.switchover) == has(oldSelf.spec.switchover) && (!has(self.spec.switchover) || self.spec.switchover == oldSelf.spec.switchover) && has(self.spec.reconfigures) == has(oldSelf.spec.reconfigures) && (!has(self.spec.reconfigures) || self.spec.reconfigures == oldSelf.spec.reconfigures) && has(self.spec.backup) == has(oldSelf.spec.backup) && (!has(self.spec.backup) || self.spec.backup == oldSelf.spec.backup) && has(self.spec.restore) == has(oldSelf.spec.restore) && (!has(self.spec.restore) || self.spec.restore == oldSelf.spec.restore) && has(self.spec.rebuildFrom) == has(oldSelf.spec.rebuildFrom) && (!has(self.spec.rebuildFrom) || self.spec.rebuildFrom == oldSelf.spec.rebuildFrom))",message="the spec of an operation that has started cannot be changed, except cancel: make another operation",fieldPath=".spec"
type OpsRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what to do.
	Spec OpsRequestSpec `json:"spec"`

	// Status is how it goes.
	// +optional
	Status OpsRequestStatus `json:"status,omitempty"`
}

// OpsRequestList is a list of operations.
//
// +kubebuilder:object:root=true
type OpsRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []OpsRequest `json:"items"`
}

// OpsRequestSpec is what to do. Beside the fields that all operations have there is
// one for each type.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'Custom'",message="operations of type Custom need an OpsDefinition, which is not served here"
// +kubebuilder:validation:XValidation:rule="!has(self.start) || self.type == 'Start'",message="start belongs to operations of type Start"
// +kubebuilder:validation:XValidation:rule="!has(self.stop) || self.type == 'Stop'",message="stop belongs to operations of type Stop"
// +kubebuilder:validation:XValidation:rule="has(self.restart) == (self.type == 'Restart')",message="an operation of type Restart needs restart, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.verticalScaling) == (self.type == 'VerticalScaling')",message="an operation of type VerticalScaling needs verticalScaling, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.horizontalScaling) == (self.type == 'HorizontalScaling')",message="an operation of type HorizontalScaling needs horizontalScaling, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.volumeExpansion) == (self.type == 'VolumeExpansion')",message="an operation of type VolumeExpansion needs volumeExpansion, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.upgrade) == (self.type == 'Upgrade')",message="an operation of type Upgrade needs upgrade, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.expose) == (self.type == 'Expose')",message="an operation of type Expose needs expose, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.switchover) == (self.type == 'Switchover')",message="an operation of type Switchover needs switchover, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.reconfigures) == (self.type == 'Reconfiguring')",message="an operation of type Reconfiguring needs reconfigures, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.backup) == (self.type == 'Backup')",message="an operation of type Backup needs backup, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.restore) == (self.type == 'Restore')",message="an operation of type Restore needs restore, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="has(self.rebuildFrom) == (self.type == 'RebuildInstance')",message="an operation of type RebuildInstance needs rebuildFrom, and no other type may have it"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="cancel cannot be taken back"
type OpsRequestSpec struct {
	// ClusterName is the cluster to work on; for Restore, the cluster to make.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="clusterName cannot be changed"
	ClusterName string `json:"clusterName"`

	// Type is what to do.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="type cannot be changed"
	Type OpsType `json:"type"`

	// Force starts the operation at once, whatever the state of the cluster and
	// whatever else is under way. What would lose data still needs an acknowledgement
	// of its own.
	// +optional
	Force bool `json:"force,omitempty"`

	// EnqueueOnForce lets a forced operation wait for those before it.
	// +optional
	EnqueueOnForce bool `json:"enqueueOnForce,omitempty"`

	// Cancel stops the operation and puts back what it changed, as far as that is
	// possible. It cannot be taken back.
	// +optional
	Cancel bool `json:"cancel,omitempty"`

	// PreConditionDeadlineSeconds is how long the operation waits for the cluster to
	// be in a phase in which it can start, before it fails.
	// +optional
	// +kubebuilder:validation:Minimum=0
	PreConditionDeadlineSeconds *int32 `json:"preConditionDeadlineSeconds,omitempty"`

	// TimeoutSeconds is how long the operation may take before it is aborted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// TTLSecondsAfterSucceed removes the object that long after it has succeeded.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterSucceed int32 `json:"ttlSecondsAfterSucceed,omitempty"`

	// TTLSecondsAfterUnsuccessfulCompletion removes the object that long after it has
	// failed, or was cancelled or aborted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterUnsuccessfulCompletion int32 `json:"ttlSecondsAfterUnsuccessfulCompletion,omitempty"`

	// Start names the components to start; all when left out.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Start []ComponentOps `json:"start,omitempty"`

	// Stop names the components to stop; all when left out.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Stop []ComponentOps `json:"stop,omitempty"`

	// Restart names the components to restart.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Restart []ComponentOps `json:"restart,omitempty"`

	// VerticalScaling says which resources components get.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	VerticalScaling []VerticalScalingOps `json:"verticalScaling,omitempty"`

	// HorizontalScaling says which instances are added or removed.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	HorizontalScaling []HorizontalScalingOps `json:"horizontalScaling,omitempty"`

	// VolumeExpansion says how large volumes become.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	VolumeExpansion []VolumeExpansionOps `json:"volumeExpansion,omitempty"`

	// Upgrade says which versions components get.
	// +optional
	Upgrade *UpgradeOps `json:"upgrade,omitempty"`

	// Expose says which services are made or removed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Expose []ExposeOps `json:"expose,omitempty"`

	// Switchover says which instances hand over their roles.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Switchover []SwitchoverOps `json:"switchover,omitempty"`

	// Reconfigures says which parameters change.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Reconfigures []ReconfigureOps `json:"reconfigures,omitempty"`

	// Backup says how the backup is made.
	// +optional
	Backup *BackupOps `json:"backup,omitempty"`

	// Restore says what the new cluster is made from.
	// +optional
	Restore *RestoreOps `json:"restore,omitempty"`

	// RebuildFrom says which instances are rebuilt.
	// +optional
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	RebuildFrom []RebuildInstanceOps `json:"rebuildFrom,omitempty"`
}

// ComponentOps names the component that an operation is about.
type ComponentOps struct {
	// ComponentName is the name of the component in the cluster.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=22
	ComponentName string `json:"componentName"`
}

// VerticalScalingOps says which resources a component gets.
//
// +kubebuilder:validation:XValidation:rule="has(self.limits) || has(self.requests) || has(self.instances)",message="say which limits or requests the component gets"
type VerticalScalingOps struct {
	ComponentOps `json:",inline"`

	appsv1.Resources `json:",inline"`

	// Instances are templates of instances that get resources of their own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Instances []InstanceResources `json:"instances,omitempty"`
}

// InstanceResources are the resources of the instances of a template.
type InstanceResources struct {
	// Name of the template.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	appsv1.Resources `json:",inline"`
}

// HorizontalScalingOps says which instances are added or removed.
//
// +kubebuilder:validation:XValidation:rule="has(self.scaleOut) || has(self.scaleIn)",message="say scaleOut or scaleIn"
type HorizontalScalingOps struct {
	ComponentOps `json:",inline"`

	// ScaleOut adds instances.
	// +optional
	ScaleOut *ScaleOut `json:"scaleOut,omitempty"`

	// ScaleIn removes instances.
	// +optional
	ScaleIn *ScaleIn `json:"scaleIn,omitempty"`
}

// ScaleOut adds instances.
//
// +kubebuilder:validation:XValidation:rule="has(self.replicaChanges) || has(self.instances) || has(self.newInstances) || has(self.offlineInstancesToOnline)",message="scaleOut must say replicaChanges, instances, newInstances or offlineInstancesToOnline"
type ScaleOut struct {
	// ReplicaChanges is how many instances are added.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ReplicaChanges *int32 `json:"replicaChanges,omitempty"`

	// Instances says how many are added by template.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Instances []InstanceReplicas `json:"instances,omitempty"`

	// NewInstances are templates to add, with their instances.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	NewInstances []appsv1.InstanceTemplate `json:"newInstances,omitempty"`

	// OfflineInstancesToOnline are names of offline instances that come back.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	OfflineInstancesToOnline []string `json:"offlineInstancesToOnline,omitempty"`
}

// ScaleIn removes instances. What they hold is moved to those that stay first.
//
// +kubebuilder:validation:XValidation:rule="has(self.replicaChanges) || has(self.instances) || has(self.onlineInstancesToOffline)",message="scaleIn must say replicaChanges, instances or onlineInstancesToOffline"
// +kubebuilder:validation:XValidation:rule="!has(self.replicaChanges) || !has(self.onlineInstancesToOffline) || self.replicaChanges >= size(self.onlineInstancesToOffline)",message="replicaChanges counts the instances of onlineInstancesToOffline, too: it must not be lower than their number"
type ScaleIn struct {
	// ReplicaChanges is how many instances are removed, those with the highest
	// ordinals first.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ReplicaChanges *int32 `json:"replicaChanges,omitempty"`

	// Instances says how many are removed by template.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Instances []InstanceReplicas `json:"instances,omitempty"`

	// OnlineInstancesToOffline are names of instances to remove. They count as part of
	// replicaChanges where both are given.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	OnlineInstancesToOffline []string `json:"onlineInstancesToOffline,omitempty"`
}

// InstanceReplicas is a change of the number of instances of a template.
type InstanceReplicas struct {
	// Name of the template.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// ReplicaChanges is how many instances are added or removed.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ReplicaChanges int32 `json:"replicaChanges"`
}

// VolumeExpansionOps says how large the volumes of a component become.
//
// +kubebuilder:validation:XValidation:rule="has(self.volumeClaimTemplates) || has(self.instances)",message="say which volumeClaimTemplates grow"
type VolumeExpansionOps struct {
	ComponentOps `json:",inline"`

	// VolumeClaimTemplates are the new sizes by template.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	VolumeClaimTemplates []VolumeSize `json:"volumeClaimTemplates,omitempty"`

	// Instances are the new sizes of the instances of a template.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Instances []InstanceVolumeSizes `json:"instances,omitempty"`
}

// InstanceVolumeSizes are the sizes of the volumes of the instances of a template.
type InstanceVolumeSizes struct {
	// Name of the template.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// VolumeClaimTemplates are the new sizes by template.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	VolumeClaimTemplates []VolumeSize `json:"volumeClaimTemplates"`
}

// VolumeSize is the size of the volumes of a template.
type VolumeSize struct {
	// Name of the template, such as data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// Storage is the size.
	Storage resource.Quantity `json:"storage"`
}

// UpgradeOps says which versions components get.
type UpgradeOps struct {
	// Components to upgrade.
	// +listType=map
	// +listMapKey=componentName
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Components []UpgradeComponent `json:"components"`
}

// UpgradeComponent says which version a component gets.
//
// +kubebuilder:validation:XValidation:rule="has(self.serviceVersion) || has(self.componentDefinitionName)",message="say serviceVersion, componentDefinitionName, or both"
type UpgradeComponent struct {
	ComponentOps `json:",inline"`

	// ServiceVersion to run. The newest of the ComponentDefinition when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ServiceVersion *string `json:"serviceVersion,omitempty"`

	// ComponentDefinitionName is the definition to use; the present one when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ComponentDefinitionName *string `json:"componentDefinitionName,omitempty"`
}

// Switch turns something on or off.
//
// +kubebuilder:validation:Enum=Enable;Disable
type Switch string

// On and off.
const (
	Enable  Switch = "Enable"
	Disable Switch = "Disable"
)

// ExposeOps says which services are made or removed.
type ExposeOps struct {
	// ComponentName is the component whose pods the services reach; all pods of the
	// cluster when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=22
	ComponentName string `json:"componentName,omitempty"`

	// Switch is Enable to make the services, Disable to remove them.
	Switch Switch `json:"switch"`

	// Services to make or remove.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Services []ExposedService `json:"services"`
}

// ExposedService is a service to make or remove.
type ExposedService struct {
	// Name of the service, which is called {cluster}-{component}-{name}.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=25
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// ServiceType is LoadBalancer, NodePort or ClusterIP (the default).
	// +optional
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	ServiceType corev1.ServiceType `json:"serviceType,omitempty"`

	// Annotations of the service, such as those that a cloud's load balancer reads.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// Ports of the service; those for clients when left out.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Ports []corev1.ServicePort `json:"ports,omitempty"`

	// RoleSelector reaches only the pods of a role; all pods when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	RoleSelector string `json:"roleSelector,omitempty"`

	// PodSelector are further labels that the pods must have.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	PodSelector map[string]string `json:"podSelector,omitempty"`

	// IPFamilies of the service.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2
	IPFamilies []corev1.IPFamily `json:"ipFamilies,omitempty"`

	// IPFamilyPolicy of the service.
	// +optional
	// +kubebuilder:validation:Enum=SingleStack;PreferDualStack;RequireDualStack
	IPFamilyPolicy *corev1.IPFamilyPolicy `json:"ipFamilyPolicy,omitempty"`
}

// SwitchoverOps says which instance hands over its role.
//
// +kubebuilder:validation:XValidation:rule="!has(self.candidateName) || self.candidateName != self.instanceName",message="candidateName must be another instance than instanceName"
type SwitchoverOps struct {
	ComponentOps `json:",inline"`

	// InstanceName is the instance that hands over what it leads.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	InstanceName string `json:"instanceName"`

	// CandidateName is the instance that takes over; the operator chooses when it is
	// left out.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	CandidateName string `json:"candidateName,omitempty"`
}

// ReconfigureOps says which parameters of a component change.
type ReconfigureOps struct {
	ComponentOps `json:",inline"`

	// Parameters to change.
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Parameters []ParameterPair `json:"parameters"`
}

// ParameterPair is a parameter and its value.
type ParameterPair struct {
	// Key of the parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`

	// Value of the parameter; its default when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value *string `json:"value,omitempty"`
}

// BackupOps says how a backup is made.
type BackupOps struct {
	// BackupName is the name of the Backup; made up when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	BackupName string `json:"backupName,omitempty"`

	// BackupPolicyName is the BackupPolicy to follow.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	BackupPolicyName string `json:"backupPolicyName,omitempty"`

	// BackupMethod is a method of the policy, such as datafile.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	BackupMethod string `json:"backupMethod,omitempty"`

	// DeletionPolicy says whether the data goes with the Backup.
	// +optional
	// +kubebuilder:validation:Enum=Delete;Retain
	DeletionPolicy string `json:"deletionPolicy,omitempty"`

	// RetentionPeriod is how long the backup is kept; for ever when left out.
	// +optional
	RetentionPeriod appsv1.RetentionPeriod `json:"retentionPeriod,omitempty"`

	// ParentBackupName is the backup that an incremental one continues.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ParentBackupName string `json:"parentBackupName,omitempty"`

	// Parameters of the method.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Parameters []NamedValue `json:"parameters,omitempty"`
}

// NamedValue is a parameter of a backup or a restore.
type NamedValue struct {
	// Name of the parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Value of the parameter.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
}

// RestoreOps says what a new cluster is made from.
type RestoreOps struct {
	// BackupName is the Backup to restore.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	BackupName string `json:"backupName"`

	// BackupNamespace is the namespace of the Backup; that of the operation when left
	// out.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	BackupNamespace string `json:"backupNamespace,omitempty"`

	// RestorePointInTime is the moment to restore, for continuous backups.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RestorePointInTime string `json:"restorePointInTime,omitempty"`

	// Env are variables of the restore.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`

	// VolumeRestorePolicy says whether volumes are restored together (Parallel, the
	// default) or one after another (Serial).
	// +optional
	// +kubebuilder:default=Parallel
	// +kubebuilder:validation:Enum=Parallel;Serial
	VolumeRestorePolicy string `json:"volumeRestorePolicy,omitempty"`

	// DeferPostReadyUntilClusterRunning waits with what is done after the start until
	// the whole cluster runs, not only the component.
	// +optional
	DeferPostReadyUntilClusterRunning bool `json:"deferPostReadyUntilClusterRunning,omitempty"`

	// Parameters of the restore.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Parameters []NamedValue `json:"parameters,omitempty"`
}

// RebuildInstanceOps says which instances of a component are rebuilt.
type RebuildInstanceOps struct {
	ComponentOps `json:",inline"`

	// Instances to rebuild.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Instances []RebuiltInstance `json:"instances"`

	// InPlace keeps the name of the instance. Otherwise a new instance is made, and
	// the old one leaves when the others have its data.
	// +optional
	InPlace bool `json:"inPlace,omitempty"`

	// BackupName fills the instance from a Backup; from the other instances when it is
	// left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	BackupName string `json:"backupName,omitempty"`
}

// RebuiltInstance is an instance to rebuild.
type RebuiltInstance struct {
	// Name of the instance.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// TargetNodeName is the node on which it is to run, which needs inPlace; the
	// scheduler chooses when it is left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TargetNodeName string `json:"targetNodeName,omitempty"`
}
