package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Component is one part of a cluster. The operator derives it from the Cluster and
// calls it {cluster}-{component}.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},shortName=cmp
// +kubebuilder:printcolumn:name="DEFINITION",type=string,JSONPath=`.spec.compDef`
// +kubebuilder:printcolumn:name="SERVICE-VERSION",type=string,JSONPath=`.spec.serviceVersion`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.offlineInstances) || self.spec.offlineInstances.all(i, i.startsWith(self.metadata.name + '-'))",message="offlineInstances must name instances of the component: {component}-{ordinal}",fieldPath=".spec.offlineInstances"
type Component struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the component is to be.
	Spec ComponentSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status ComponentStatus `json:"status,omitempty"`
}

// ComponentList is a list of components.
//
// +kubebuilder:object:root=true
type ComponentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Component `json:"items"`
}

// ComponentSpec is what a component is to be.
type ComponentSpec struct {
	// CompDef is the name of the ComponentDefinition.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	CompDef string `json:"compDef"`

	// TerminationPolicy is that of the cluster.
	// +optional
	// +kubebuilder:default=Delete
	TerminationPolicy TerminationPolicy `json:"terminationPolicy,omitempty"`

	// TLSConfig turns on encryption of all ports.
	// +optional
	TLSConfig *TLSConfig `json:"tlsConfig,omitempty"`

	Settings `json:",inline"`
}

// TLSConfig turns on encryption of all ports.
type TLSConfig struct {
	// Enable turns it on.
	// +optional
	Enable bool `json:"enable,omitempty"`

	// Issuer of the certificates. The operator when left out.
	// +optional
	Issuer *Issuer `json:"issuer,omitempty"`
}

// ComponentPhase is the state of a component in one word.
//
// +kubebuilder:validation:Enum=Creating;Updating;Stopping;Starting;Running;Stopped;Failed;Deleting
type ComponentPhase string

// The phases of a component.
const (
	// ComponentCreating: the component is being made for the first time.
	ComponentCreating ComponentPhase = "Creating"
	// ComponentUpdating: the component follows a change.
	ComponentUpdating ComponentPhase = "Updating"
	// ComponentStopping: its pods are going because it is to stop.
	ComponentStopping ComponentPhase = "Stopping"
	// ComponentStarting: its pods are coming back after a stop.
	ComponentStarting ComponentPhase = "Starting"
	// ComponentRunning: all instances are available.
	ComponentRunning ComponentPhase = "Running"
	// ComponentStopped: it has no pods, as asked.
	ComponentStopped ComponentPhase = "Stopped"
	// ComponentFailed: an instance can't become available by waiting.
	ComponentFailed ComponentPhase = "Failed"
	// ComponentDeleting: the component is being deleted.
	ComponentDeleting ComponentPhase = "Deleting"
)

// The conditions that only a component has; the others it shares with the Cluster.
const (
	// ConditionProgressing: work on the component is under way.
	ConditionProgressing = "Progressing"
	// ConditionHealthy: nothing is the matter with the component.
	ConditionHealthy = "Healthy"
)

// ComponentStatus is what the operator sees of a component.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.bootstrap) || has(self.bootstrap)",message="bootstrap cannot be removed: the cluster would be founded again",fieldPath=".bootstrap"
type ComponentStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is the state of the component in one word.
	// +optional
	Phase ComponentPhase `json:"phase,omitempty"`

	// Message says by object ({kind}/{name}) what is the matter with it.
	// +optional
	Message map[string]string `json:"message,omitempty"`

	// Bootstrap says how the nodes became one cluster.
	// +optional
	Bootstrap *Bootstrap `json:"bootstrap,omitempty"`

	// Conditions of the component: Available, Progressing, Healthy,
	// ProvisioningStarted, Restore.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
