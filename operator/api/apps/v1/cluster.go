package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TerminationPolicy says what goes when a cluster is deleted.
//
// +kubebuilder:validation:Enum=DoNotTerminate;Delete;WipeOut
type TerminationPolicy string

// What goes when a cluster is deleted.
const (
	// DoNotTerminate keeps the cluster: a deletion waits until the policy is changed.
	DoNotTerminate TerminationPolicy = "DoNotTerminate"
	// Delete removes pods, services, claims and secrets, and keeps completed backups.
	Delete TerminationPolicy = "Delete"
	// WipeOut also removes backups, except those that are to be retained.
	WipeOut TerminationPolicy = "WipeOut"
)

// Cluster is a running engine: what the user declares, and how it is.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks,all}
// +kubebuilder:printcolumn:name="CLUSTER-DEFINITION",type=string,JSONPath=`.spec.clusterDef`
// +kubebuilder:printcolumn:name="TERMINATION-POLICY",type=string,JSONPath=`.spec.terminationPolicy`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be lower-case letters, digits and '-', begin with a letter and not end with '-': services are named after the cluster",fieldPath=".metadata.name"
// +kubebuilder:validation:XValidation:rule="self.spec.componentSpecs.all(c, size(self.metadata.name) + size(c.name) <= 52)",message="the names of cluster and component together must not be longer than 52 characters: pods and services are named after both",fieldPath=".metadata.name"
// +kubebuilder:validation:XValidation:rule="self.spec.componentSpecs.all(c, !has(c.offlineInstances) || c.offlineInstances.all(i, i.startsWith(self.metadata.name + '-' + c.name + '-')))",message="offlineInstances must name instances of their component: {cluster}-{component}-{ordinal}",fieldPath=".spec.componentSpecs"
// +kubebuilder:validation:XValidation:rule="self.spec.componentSpecs.all(c, !has(c.instances) || c.instances.all(i, size(self.metadata.name) + size(c.name) + size(i.name) <= 56))",message="the names of cluster, component and template of instances together must not be longer than 56 characters: pods are named after all three",fieldPath=".metadata.name"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.services) || self.spec.services.all(s, size(self.metadata.name) + size(has(s.serviceName) ? s.serviceName : s.name) <= 62)",message="the names of cluster and service together must not be longer than 62 characters: the service is named after both",fieldPath=".spec.services"
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec ClusterSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status ClusterStatus `json:"status,omitempty"`
}

// ClusterList is a list of clusters.
//
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}

// ClusterSpec is what a user declares of a cluster.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusterDef) == has(oldSelf.clusterDef) && (!has(self.clusterDef) || self.clusterDef == oldSelf.clusterDef)",message="clusterDef cannot be changed: a cluster cannot become another kind of cluster",fieldPath=".clusterDef"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.topology) || (has(self.topology) && self.topology == oldSelf.topology)",message="topology cannot be changed once it is set",fieldPath=".topology"
// +kubebuilder:validation:XValidation:rule="has(self.restore) == has(oldSelf.restore)",message="restore only works when the cluster is created: it can be neither added nor removed",fieldPath=".restore"
// +kubebuilder:validation:XValidation:rule="!has(self.services) || self.services.all(s, !has(s.componentSelector) || self.componentSpecs.exists(c, c.name == s.componentSelector))",message="services[].componentSelector must be the name of one of componentSpecs",fieldPath=".services"
// +kubebuilder:validation:XValidation:rule="has(self.clusterDef) || self.componentSpecs.all(c, has(c.componentDef))",message="without clusterDef each of componentSpecs needs componentDef",fieldPath=".componentSpecs"
type ClusterSpec struct {
	// ClusterDef is the name of the ClusterDefinition, such as qdrant. It cannot be
	// changed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterDef string `json:"clusterDef,omitempty"`

	// Topology is one of those of the ClusterDefinition; its default when left out. It
	// cannot be changed once it is set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Topology string `json:"topology,omitempty"`

	// TerminationPolicy says what goes when the cluster is deleted: nothing
	// (DoNotTerminate), all but completed backups (Delete), or all (WipeOut).
	TerminationPolicy TerminationPolicy `json:"terminationPolicy"`

	// ComponentSpecs are the parts of the cluster. An engine of one kind of node has
	// one.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="oldSelf.all(o, self.exists(n, n.name == o.name))",message="a component cannot be removed from a cluster, its data would go with it: delete the cluster instead"
	ComponentSpecs []ClusterComponentSpec `json:"componentSpecs"`

	// Services are made beside those of the components, for example to reach the
	// cluster from outside.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Services []ClusterService `json:"services,omitempty"`

	// Backup schedules backups of the cluster.
	// +optional
	Backup *ClusterBackup `json:"backup,omitempty"`

	// Restore fills the new cluster from a backup. It cannot be changed.
	// +optional
	Restore *ClusterRestore `json:"restore,omitempty"`
}

// ClusterComponentSpec is one part of a cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.issuer) || self.issuer.name != 'UserProvided' || (has(self.tls) && self.tls)",message="issuer UserProvided has no effect without tls: set tls to true"
// +kubebuilder:validation:XValidation:rule="(has(self.tls) && self.tls) == (has(oldSelf.tls) && oldSelf.tls) || (has(oldSelf.stop) && oldSelf.stop)",message="tls can only be switched on or off while the component is stopped, nodes with and without it don't understand each other: set stop to true first"
type ClusterComponentSpec struct {
	// Name of the component, as the topology calls it, such as qdrant.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=22
	// +kubebuilder:validation:Pattern=`^[a-z]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// ComponentDef is the name of a ComponentDefinition, the beginning of one, or a
	// regular expression; the newest that matches is used. The topology says it when
	// it is left out.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ComponentDef string `json:"componentDef,omitempty"`

	// TLS turns on encryption of all ports.
	// +optional
	TLS bool `json:"tls,omitempty"`

	// Issuer of the certificates for TLS. The operator when left out.
	// +optional
	Issuer *Issuer `json:"issuer,omitempty"`

	Settings `json:",inline"`
}

// ClusterService is a service of a cluster.
type ClusterService struct {
	// Name by which the entry is known in this list.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=25
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// ServiceName is the end of the service's name, which is {cluster}-{serviceName}.
	// Left out, the service is called {cluster}-{name}.
	// +optional
	// +kubebuilder:validation:MaxLength=25
	// +kubebuilder:validation:Pattern=`^[a-z]([a-z0-9-]*[a-z0-9])?$`
	ServiceName string `json:"serviceName,omitempty"`

	// Annotations of the service, such as those that a cloud's load balancer reads.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// ComponentSelector is the name of the component whose pods the service reaches;
	// all pods of the cluster when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=22
	ComponentSelector string `json:"componentSelector,omitempty"`

	// RoleSelector reaches only the pods of a role, such as leader.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	RoleSelector string `json:"roleSelector,omitempty"`

	// PodService makes one service for each pod.
	// +optional
	PodService *bool `json:"podService,omitempty"`

	// Spec of the service. Its selector comes from the selectors above; labels of
	// spec.selector are further ones that the pods must have.
	// +optional
	Spec corev1.ServiceSpec `json:"spec,omitempty"`
}

// ClusterBackup schedules backups of a cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.pitrEnabled) || !self.pitrEnabled || has(self.continuousMethod)",message="pitrEnabled needs continuousMethod"
type ClusterBackup struct {
	// Enabled turns the schedule on.
	// +optional
	// +kubebuilder:default=false
	Enabled *bool `json:"enabled,omitempty"`

	// Method of the full backups, as the BackupPolicy calls it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Method string `json:"method"`

	// CronExpression says when, in UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	CronExpression string `json:"cronExpression,omitempty"`

	// RetentionPeriod is how long a backup is kept: numbers with the units y, mo, w, d,
	// h and m.
	// +optional
	// +kubebuilder:default="7d"
	RetentionPeriod RetentionPeriod `json:"retentionPeriod,omitempty"`

	// RepoName is the BackupRepo; the default one when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RepoName string `json:"repoName,omitempty"`

	// StartingDeadlineMinutes is how late a missed backup may still start.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1440
	StartingDeadlineMinutes *int64 `json:"startingDeadlineMinutes,omitempty"`

	// PITREnabled turns on continuous backups, from which any moment can be restored.
	// +optional
	PITREnabled *bool `json:"pitrEnabled,omitempty"`

	// ContinuousMethod is the method of continuous backups.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ContinuousMethod string `json:"continuousMethod,omitempty"`

	// IncrementalBackupEnabled turns on incremental backups between the full ones.
	// +optional
	IncrementalBackupEnabled *bool `json:"incrementalBackupEnabled,omitempty"`

	// IncrementalCronExpression says when incremental backups are made, in UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	IncrementalCronExpression string `json:"incrementalCronExpression,omitempty"`
}

// RetentionPeriod is a length of time in years (y), months of 30 days (mo), weeks
// (w), days (d), hours (h) and minutes (m), such as 1mo or 1d12h.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^([0-9]+(y|mo|w|d|h|m))+$`
type RetentionPeriod string

// ClusterRestore says from which backup a new cluster is filled.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="restore cannot be changed: it only works when the cluster is created"
type ClusterRestore struct {
	// Source is the backup.
	Source RestoreSource `json:"source"`

	// Parameters of the restore by key, such as
	// dataprotection.kubeblocks.io/volume-restore-policy.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Parameters map[string]RestoreParameter `json:"parameters,omitempty"`
}

// RestoreParameter is the value of a parameter of a restore.
//
// +kubebuilder:validation:MaxLength=1024
type RestoreParameter string

// RestoreSource names a Backup.
type RestoreSource struct {
	// APIGroup of the source.
	// +optional
	// +kubebuilder:default=dataprotection.kubeblocks.io
	// +kubebuilder:validation:Enum=dataprotection.kubeblocks.io
	// +kubebuilder:validation:MaxLength=64
	APIGroup string `json:"apiGroup,omitempty"`

	// Kind of the source.
	// +optional
	// +kubebuilder:default=Backup
	// +kubebuilder:validation:Enum=Backup
	// +kubebuilder:validation:MaxLength=16
	Kind string `json:"kind,omitempty"`

	// Name of the Backup.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the Backup; that of the cluster when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// ClusterPhase is the state of a cluster in one word.
//
// +kubebuilder:validation:Enum=Creating;Running;Updating;Stopping;Stopped;Deleting;Failed;Abnormal
type ClusterPhase string

// The phases of a cluster.
const (
	// ClusterCreating: all components are being made.
	ClusterCreating ClusterPhase = "Creating"
	// ClusterRunning: all components run, or are stopped as asked.
	ClusterRunning ClusterPhase = "Running"
	// ClusterUpdating: a component follows a change, or starts.
	ClusterUpdating ClusterPhase = "Updating"
	// ClusterStopping: a component is being stopped.
	ClusterStopping ClusterPhase = "Stopping"
	// ClusterStopped: all components are stopped.
	ClusterStopped ClusterPhase = "Stopped"
	// ClusterDeleting: the cluster is being deleted.
	ClusterDeleting ClusterPhase = "Deleting"
	// ClusterFailed: all components have failed.
	ClusterFailed ClusterPhase = "Failed"
	// ClusterAbnormal: some components have failed.
	ClusterAbnormal ClusterPhase = "Abnormal"
)

// The conditions of a cluster.
const (
	// ConditionProvisioningStarted: the spec was understood, and work on it has begun.
	ConditionProvisioningStarted = "ProvisioningStarted"
	// ConditionApplyResources: the objects of the cluster have been applied.
	ConditionApplyResources = "ApplyResources"
	// ConditionReady: all components are ready.
	ConditionReady = "Ready"
	// ConditionAvailable: clients are served.
	ConditionAvailable = "Available"
	// ConditionRestore: how the restore goes that the cluster was created with.
	ConditionRestore = "Restore"
)

// The reasons of the conditions Ready and Restore of a cluster.
const (
	ReasonClusterReady       = "ClusterReady"
	ReasonComponentsNotReady = "ComponentsNotReady"
	ReasonRestoreRunning     = "RestoreRunning"
	ReasonRestoreCompleted   = "RestoreCompleted"
	ReasonRestoreFailed      = "RestoreFailed"
)

// ClusterStatus is what the operator sees of a cluster.
type ClusterStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is the state of the cluster in one word.
	// +optional
	Phase ClusterPhase `json:"phase,omitempty"`

	// Message says why the cluster is in its phase.
	// +optional
	Message string `json:"message,omitempty"`

	// Components are the states of the components by name.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Components map[string]ClusterComponentStatus `json:"components,omitempty"`

	// Conditions of the cluster: ProvisioningStarted, ApplyResources, Ready, Available,
	// Restore.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterComponentStatus is the state of one component of a cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.bootstrap) || has(self.bootstrap)",message="bootstrap cannot be removed: the cluster would be founded again",fieldPath=".bootstrap"
type ClusterComponentStatus struct {
	// Phase of the component.
	// +optional
	Phase ComponentPhase `json:"phase,omitempty"`

	// Message says by object ({kind}/{name}) what is the matter with it.
	// +optional
	Message map[string]string `json:"message,omitempty"`

	// ObservedGeneration is the generation of the Component that the state speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// UpToDate says whether the component follows the current spec of the cluster.
	// +optional
	UpToDate bool `json:"upToDate,omitempty"`

	// Bootstrap says how the component's nodes became one cluster.
	// +optional
	Bootstrap *Bootstrap `json:"bootstrap,omitempty"`
}

// Bootstrap records how the nodes of a component became one cluster. It is decided
// once, and never changes: an instance whose disk was lost joins what is recorded
// here and never founds a second cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.clusterID) || has(self.clusterID)",message="the identity of a cluster cannot be removed",fieldPath=".clusterID"
type Bootstrap struct {
	// Founder is the name of the pod that founds the cluster.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the founder is chosen once"
	Founder string `json:"founder"`

	// ClusterID is the identity of the cluster, as its nodes report it. Empty until
	// the founder has answered for the first time.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf || oldSelf == ""`,message="the identity of a cluster never changes"
	ClusterID string `json:"clusterID,omitempty"`

	// FoundedAt is when the founder first answered.
	// +optional
	FoundedAt *metav1.Time `json:"foundedAt,omitempty"`
}
