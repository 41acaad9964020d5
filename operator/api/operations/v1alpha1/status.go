package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// OpsPhase is the state of an operation in one word.
//
// +kubebuilder:validation:Enum=Pending;Creating;Running;Cancelling;Cancelled;Aborted;Failed;Succeed
type OpsPhase string

// The phases of an operation.
const (
	// OpsPending: it waits for others, or for the cluster.
	OpsPending OpsPhase = "Pending"
	// OpsCreating: it is about to change the cluster.
	OpsCreating OpsPhase = "Creating"
	// OpsRunning: it is under way.
	OpsRunning OpsPhase = "Running"
	// OpsCancelling: what it changed is being put back.
	OpsCancelling OpsPhase = "Cancelling"
	// OpsCancelled: it was cancelled.
	OpsCancelled OpsPhase = "Cancelled"
	// OpsAborted: a newer operation took its place, or its time was up.
	OpsAborted OpsPhase = "Aborted"
	// OpsFailed: it failed.
	OpsFailed OpsPhase = "Failed"
	// OpsSucceed: it is done.
	OpsSucceed OpsPhase = "Succeed"
)

// Started says whether an operation in this phase has begun to change its cluster.
func (p OpsPhase) Started() bool { return p != "" && p != OpsPending }

// Finished says whether an operation in this phase has come to its end.
func (p OpsPhase) Finished() bool {
	switch p {
	case OpsCancelled, OpsAborted, OpsFailed, OpsSucceed:
		return true
	default:
		return false
	}
}

// The conditions of an operation that all types have.
const (
	ConditionWaitForProgressing = "WaitForProgressing"
	ConditionValidated          = "Validated"
	ConditionSucceed            = "Succeed"
	ConditionFailed             = "Failed"
	ConditionCancelled          = "Cancelled"
	ConditionAborted            = "Aborted"
)

// Condition returns the condition that says that an operation of the type is under
// way.
func (t OpsType) Condition() string {
	switch t {
	case Start:
		return "Starting"
	case Stop:
		return "Stopping"
	case Restart:
		return "Restarting"
	case VolumeExpansion:
		return "VolumeExpanding"
	case Upgrade:
		return "VersionUpgrading"
	case Expose:
		return "Exposing"
	case Reconfiguring:
		return "Reconfigure"
	case RebuildInstance:
		return "InstancesRebuilding"
	default: // the rest are called as their type
		return string(t)
	}
}

// NoProgress is what the progress column shows for an operation that has no steps.
const NoProgress = "-/-"

// OpsRequestStatus is how an operation goes.
type OpsRequestStatus struct {
	// ClusterGeneration is the generation of the cluster's spec after the operation
	// changed it.
	// +optional
	ClusterGeneration int64 `json:"clusterGeneration,omitempty"`

	// Phase is the state of the operation in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Phase OpsPhase `json:"phase,omitempty"`

	// Progress is how many of its steps are done, n/m, or -/- when there are none.
	// +optional
	// +kubebuilder:default="-/-"
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+|-)/([0-9]+|-)$`
	Progress string `json:"progress,omitempty"`

	// StartTimestamp is when the operation began to change the cluster.
	// +optional
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// CancelTimestamp is when it was cancelled.
	// +optional
	CancelTimestamp *metav1.Time `json:"cancelTimestamp,omitempty"`

	// CompletionTimestamp is when it came to its end.
	// +optional
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// LastConfiguration is what the operation found, for putting it back.
	// +optional
	LastConfiguration LastConfiguration `json:"lastConfiguration,omitempty"`

	// Components are the states of the components by name.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Components map[string]OpsComponentStatus `json:"components,omitempty"`

	// Conditions of the operation: WaitForProgressing, Validated, one of the type,
	// Succeed, Failed, Cancelled, Aborted.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LastConfiguration is what an operation found, for putting it back.
type LastConfiguration struct {
	// Components by name.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Components map[string]LastComponentConfiguration `json:"components,omitempty"`
}

// LastComponentConfiguration is what an operation found of a component.
type LastComponentConfiguration struct {
	// Replicas of the component.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// Pods are the names of the instances that there were.
	// +optional
	// +listType=set
	Pods []string `json:"pods,omitempty"`

	appsv1.Resources `json:",inline"`

	// VolumeClaimTemplates are the sizes of volumes.
	// +optional
	// +listType=map
	// +listMapKey=name
	VolumeClaimTemplates []VolumeSize `json:"volumeClaimTemplates,omitempty"`

	// Instances are the templates of instances.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Instances []LastInstanceConfiguration `json:"instances,omitempty"`

	// OfflineInstances of the component.
	// +optional
	// +listType=set
	OfflineInstances []string `json:"offlineInstances,omitempty"`

	// ServiceVersion of the component.
	// +optional
	ServiceVersion string `json:"serviceVersion,omitempty"`

	// ComponentDefinitionName of the component.
	// +optional
	ComponentDefinitionName string `json:"componentDefinitionName,omitempty"`

	// Services are the names of the services of the cluster.
	// +optional
	// +listType=set
	Services []string `json:"services,omitempty"`
}

// LastInstanceConfiguration is what an operation found of a template of instances.
type LastInstanceConfiguration struct {
	// Name of the template.
	Name string `json:"name"`

	// Replicas of the template.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// Resources of the template.
	// +optional
	Resources *appsv1.Resources `json:"resources,omitempty"`

	// VolumeClaimTemplates are the sizes of volumes.
	// +optional
	// +listType=map
	// +listMapKey=name
	VolumeClaimTemplates []VolumeSize `json:"volumeClaimTemplates,omitempty"`
}

// OpsComponentStatus is how an operation goes for one component.
type OpsComponentStatus struct {
	// Phase of the component.
	// +optional
	Phase appsv1.ComponentPhase `json:"phase,omitempty"`

	// LastFailedTime is when the component was first seen to have failed.
	// +optional
	LastFailedTime *metav1.Time `json:"lastFailedTime,omitempty"`

	// ProgressDetails are the steps.
	// +optional
	// +listType=atomic
	ProgressDetails []ProgressDetail `json:"progressDetails,omitempty"`

	// Reason in one word, when something is the matter.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=32768
	Message string `json:"message,omitempty"`
}

// ProgressStatus is the state of a step.
//
// +kubebuilder:validation:Enum=Processing;Pending;Failed;Succeed
type ProgressStatus string

// The states of a step.
const (
	ProgressPending    ProgressStatus = "Pending"
	ProgressProcessing ProgressStatus = "Processing"
	ProgressFailed     ProgressStatus = "Failed"
	ProgressSucceed    ProgressStatus = "Succeed"
)

// ProgressDetail is one step of an operation.
type ProgressDetail struct {
	// Group of steps; a step that fails fails its group.
	// +optional
	Group string `json:"group,omitempty"`

	// ObjectKey is the object that the step is about, {kind}/{name}.
	// +optional
	ObjectKey string `json:"objectKey,omitempty"`

	// Status of the step.
	Status ProgressStatus `json:"status"`

	// Message for people.
	// +optional
	Message string `json:"message,omitempty"`

	// StartTime is when the step began.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// EndTime is when the step came to its end.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
}
