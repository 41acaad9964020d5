package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefinitionPhase says whether a definition can be used.
//
// +kubebuilder:validation:Enum=Available;Unavailable
type DefinitionPhase string

// The phases of a definition.
const (
	// DefinitionAvailable: clusters may use it.
	DefinitionAvailable DefinitionPhase = "Available"
	// DefinitionUnavailable: it is wrong; the message says why.
	DefinitionUnavailable DefinitionPhase = "Unavailable"
)

// DefinitionStatus is what the operator sees of a definition.
type DefinitionStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is Available or Unavailable.
	// +optional
	Phase DefinitionPhase `json:"phase,omitempty"`

	// Message says why the definition is unavailable.
	// +optional
	Message string `json:"message,omitempty"`
}

// ClusterDefinition says of which components a kind of cluster is made.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster,shortName=cd
// +kubebuilder:printcolumn:name="TOPOLOGIES",type=string,JSONPath=`.status.topologies`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the definition.
	// +optional
	Spec ClusterDefinitionSpec `json:"spec,omitempty"`

	// Status is what the operator sees.
	// +optional
	Status ClusterDefinitionStatus `json:"status,omitempty"`
}

// ClusterDefinitionList is a list of cluster definitions.
//
// +kubebuilder:object:root=true
type ClusterDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterDefinition `json:"items"`
}

// ClusterDefinitionSpec says of which components a kind of cluster is made.
type ClusterDefinitionSpec struct {
	// Topologies are the shapes that a cluster may have.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.filter(t, has(t.default) && t.default).size() <= 1",message="only one topology can be the default"
	Topologies []Topology `json:"topologies,omitempty"`
}

// Topology is a shape of a cluster.
type Topology struct {
	// Name of the topology.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// Default makes the topology that of clusters which name none.
	// +optional
	Default bool `json:"default,omitempty"`

	// Components of the topology.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Components []TopologyComponent `json:"components"`

	// Orders say in which order components are made, updated and removed. All at once
	// when left out.
	// +optional
	Orders *TopologyOrders `json:"orders,omitempty"`
}

// TopologyComponent is a component of a topology.
type TopologyComponent struct {
	// Name of the component.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=22
	// +kubebuilder:validation:Pattern=`^[a-z]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// CompDef is the name of a ComponentDefinition, the beginning of one, or a regular
	// expression; the newest that matches is used.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	CompDef string `json:"compDef"`
}

// TopologyOrders are lists of names of components; components that are joined by a
// comma go together.
type TopologyOrders struct {
	// Provision is the order in which components are made.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Provision []string `json:"provision,omitempty"`

	// Terminate is the order in which components are removed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Terminate []string `json:"terminate,omitempty"`

	// Update is the order in which components are updated.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Update []string `json:"update,omitempty"`
}

// ClusterDefinitionStatus is what the operator sees of a cluster definition.
type ClusterDefinitionStatus struct {
	DefinitionStatus `json:",inline"`

	// Topologies are the names of the topologies, joined by commas.
	// +optional
	Topologies string `json:"topologies,omitempty"`
}

// ComponentVersion says which image serves which version of an engine.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster,shortName=cmpv
// +kubebuilder:printcolumn:name="VERSIONS",type=string,JSONPath=`.status.serviceVersions`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ComponentVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec are the versions.
	Spec ComponentVersionSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status ComponentVersionStatus `json:"status,omitempty"`
}

// ComponentVersionList is a list of component versions.
//
// +kubebuilder:object:root=true
type ComponentVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ComponentVersion `json:"items"`
}

// ComponentVersionSpec says which image serves which version of an engine.
//
// +kubebuilder:validation:XValidation:rule="self.compatibilityRules.all(r, r.releases.all(n, self.releases.exists(x, x.name == n)))",message="compatibilityRules[].releases must be names of releases"
type ComponentVersionSpec struct {
	// CompatibilityRules say which releases work with which ComponentDefinitions.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	CompatibilityRules []CompatibilityRule `json:"compatibilityRules"`

	// Releases are the images by version.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Releases []Release `json:"releases"`
}

// CompatibilityRule says which releases work with which ComponentDefinitions.
type CompatibilityRule struct {
	// CompDefs are names of ComponentDefinitions, beginnings of names, or regular
	// expressions.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	CompDefs []string `json:"compDefs"`

	// Releases are names of releases.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=32
	Releases []string `json:"releases"`
}

// Release is the set of images of one version.
type Release struct {
	// Name of the release.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`

	// Changes says in a sentence what is new.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Changes string `json:"changes,omitempty"`

	// ServiceVersion that the release serves.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]+\.[0-9]+(\.[0-9]+)?([-+.][0-9A-Za-z.+-]+)?$`
	ServiceVersion string `json:"serviceVersion"`

	// Images by name of the container, or of the lifecycle action.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	Images map[string]string `json:"images"`
}

// ComponentVersionStatus is what the operator sees of a component version.
type ComponentVersionStatus struct {
	DefinitionStatus `json:",inline"`

	// ServiceVersions are the versions, newest first, joined by commas.
	// +optional
	ServiceVersions string `json:"serviceVersions,omitempty"`
}
