package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// Phase says whether an object can be used.
//
// +kubebuilder:validation:Enum=Available;Unavailable;Failed
type Phase string

// Whether an object can be used.
const (
	PhaseAvailable   Phase = "Available"
	PhaseUnavailable Phase = "Unavailable"
	PhaseFailed      Phase = "Failed"
)

// PhaseStatus is what the operator sees of an object that can be used or not.
type PhaseStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase says whether the object can be used.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// Message says why it can't.
	// +optional
	Message string `json:"message,omitempty"`
}

// BackupPolicy says how backups of a component are made.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Namespaced,shortName=bp
// +kubebuilder:printcolumn:name="BACKUP-REPO",type=string,JSONPath=`.spec.backupRepoName`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type BackupPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec BackupPolicySpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status PhaseStatus `json:"status,omitempty"`
}

// BackupPolicyList is a list of the kind BackupPolicy.
//
// +kubebuilder:object:root=true
type BackupPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BackupPolicy `json:"items"`
}

// BackupPolicySpec says how backups of a component are made.
type BackupPolicySpec struct {
	// BackupRepoName is where they are kept; in the default BackupRepo when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	BackupRepoName *string `json:"backupRepoName,omitempty"`

	// PathPrefix is put before the path of every backup.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	PathPrefix string `json:"pathPrefix,omitempty"`

	// BackoffLimit is how often a failed job is repeated.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`

	// Target are the pods that backups are made of.
	// +optional
	Target *BackupTarget `json:"target,omitempty"`

	// BackupMethods are the ways in which backups can be made.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	BackupMethods []BackupMethod `json:"backupMethods"`
}

// BackupTarget are the pods that backups are made of.
type BackupTarget struct {
	// Name of the target, where there are several.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// PodSelector matches the pods.
	PodSelector TargetPodSelector `json:"podSelector"`

	// ServiceAccountName is the account of the jobs.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// TargetPodSelector matches the pods that backups are made of.
type TargetPodSelector struct {
	// MatchLabels are labels that the pods have.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	MatchLabels map[string]string `json:"matchLabels,omitempty"`

	// Strategy says whether a backup is made of any one of them or of all.
	// +optional
	// +kubebuilder:default=Any
	// +kubebuilder:validation:Enum=Any;All
	Strategy string `json:"strategy,omitempty"`
}

// BackupMethod is a way in which backups can be made.
type BackupMethod struct {
	// Name of the method, such as datafile.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// ActionSetName is the ActionSet that does it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ActionSetName string `json:"actionSetName,omitempty"`

	// CompatibleMethod is the method of the full backups that an incremental one
	// continues.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	CompatibleMethod string `json:"compatibleMethod,omitempty"`

	// SnapshotVolumes makes snapshots of volumes.
	// +optional
	// +kubebuilder:default=false
	SnapshotVolumes *bool `json:"snapshotVolumes,omitempty"`

	// TargetVolumes are the volumes that the jobs need.
	// +optional
	TargetVolumes *TargetVolumes `json:"targetVolumes,omitempty"`

	// Env are variables of the jobs.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`

	// Target are the pods that backups are made of, instead of the policy's.
	// +optional
	Target *BackupTarget `json:"target,omitempty"`
}

// TargetVolumes are the volumes that jobs need.
type TargetVolumes struct {
	// Volumes are names of volumes of the pods.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Volumes []string `json:"volumes,omitempty"`

	// VolumeMounts say where the jobs mount them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`
}

// BackupPolicyTemplate is what the BackupPolicy and the BackupSchedule of a component are made from.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster,shortName=bpt
// +kubebuilder:printcolumn:name="SERVICE-KIND",type=string,JSONPath=`.spec.serviceKind`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type BackupPolicyTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec BackupPolicyTemplateSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status PhaseStatus `json:"status,omitempty"`
}

// BackupPolicyTemplateList is a list of the kind BackupPolicyTemplate.
//
// +kubebuilder:object:root=true
type BackupPolicyTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BackupPolicyTemplate `json:"items"`
}

// BackupPolicyTemplateSpec is what policies and schedules are made from.
type BackupPolicyTemplateSpec struct {
	// ServiceKind is the protocol of the engine, such as qdrant.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ServiceKind string `json:"serviceKind,omitempty"`

	// CompDefs are names of ComponentDefinitions, beginnings of names, or regular
	// expressions.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	CompDefs []string `json:"compDefs"`

	// Target are the pods that backups are made of.
	// +optional
	Target *TemplateTarget `json:"target,omitempty"`

	// BackupMethods are the ways in which backups can be made.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	BackupMethods []BackupMethod `json:"backupMethods"`

	// Schedules of the BackupSchedule.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Schedules []SchedulePolicy `json:"schedules,omitempty"`
}

// TemplateTarget are the pods of a component that backups are made of.
type TemplateTarget struct {
	// Role of the pods; all when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Role string `json:"role,omitempty"`

	// Strategy says whether a backup is made of any one of them or of all.
	// +optional
	// +kubebuilder:default=Any
	// +kubebuilder:validation:Enum=Any;All
	Strategy string `json:"strategy,omitempty"`
}

// BackupSchedule says when backups of a component are made.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Namespaced,shortName=bs
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type BackupSchedule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec BackupScheduleSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status BackupScheduleStatus `json:"status,omitempty"`
}

// BackupScheduleList is a list of the kind BackupSchedule.
//
// +kubebuilder:object:root=true
type BackupScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BackupSchedule `json:"items"`
}

// BackupScheduleSpec says when backups are made.
type BackupScheduleSpec struct {
	// BackupPolicyName is the BackupPolicy to follow.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	BackupPolicyName string `json:"backupPolicyName"`

	// StartingDeadlineMinutes is how late a missed backup may still start.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1440
	StartingDeadlineMinutes *int64 `json:"startingDeadlineMinutes,omitempty"`

	// Schedules, one for each method or more.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Schedules []SchedulePolicy `json:"schedules"`
}

// SchedulePolicy says when backups of one method are made.
type SchedulePolicy struct {
	// Name of the schedule; that of the method when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// Enabled turns the schedule on.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// BackupMethod is a method of the BackupPolicy.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	BackupMethod string `json:"backupMethod"`

	// CronExpression says when, in UTC.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	CronExpression string `json:"cronExpression"`

	// RetentionPeriod is how long a backup is kept.
	// +optional
	// +kubebuilder:default="7d"
	RetentionPeriod appsv1.RetentionPeriod `json:"retentionPeriod,omitempty"`

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

// BackupScheduleStatus is what the operator sees of a schedule.
type BackupScheduleStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase says whether backups are made as the schedule says.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// FailureReason says why they aren't.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`

	// Schedules are the states of the schedules by name.
	// +optional
	Schedules map[string]ScheduleStatus `json:"schedules,omitempty"`
}

// ScheduleStatus is the state of one schedule.
type ScheduleStatus struct {
	// Phase is Running or Failed.
	// +optional
	// +kubebuilder:validation:Enum=Running;Failed
	Phase string `json:"phase,omitempty"`

	// FailureReason says why no backups are made.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`

	// LastScheduleTime is when a backup was last begun.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`

	// LastSuccessfulTime is when a backup was last completed.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
}
