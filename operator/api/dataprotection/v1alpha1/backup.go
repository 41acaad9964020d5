package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// BackupPhase is the state of a backup in one word.
//
// +kubebuilder:validation:Enum=New;Running;Completed;Failed;Deleting
type BackupPhase string

// The phases of a backup.
const (
	// BackupNew: it has been accepted.
	BackupNew BackupPhase = "New"
	// BackupRunning: it is under way.
	BackupRunning BackupPhase = "Running"
	// BackupCompleted: it can be restored.
	BackupCompleted BackupPhase = "Completed"
	// BackupFailed: it can't be restored.
	BackupFailed BackupPhase = "Failed"
	// BackupDeleting: it is being deleted.
	BackupDeleting BackupPhase = "Deleting"
)

// BackupType is what a backup holds.
//
// +kubebuilder:validation:Enum=Full;Incremental;Differential;Continuous;Selective
type BackupType string

// BackupTypeFull holds all data.
const BackupTypeFull BackupType = "Full"

// Backup is one backup.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Namespaced
// +kubebuilder:printcolumn:name="POLICY",type=string,JSONPath=`.spec.backupPolicyName`
// +kubebuilder:printcolumn:name="METHOD",type=string,JSONPath=`.spec.backupMethod`
// +kubebuilder:printcolumn:name="REPO",type=string,JSONPath=`.status.backupRepoName`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="TOTAL-SIZE",type=string,JSONPath=`.status.totalSize`
// +kubebuilder:printcolumn:name="DURATION",type=string,JSONPath=`.status.duration`
// +kubebuilder:printcolumn:name="DELETION-POLICY",type=string,JSONPath=`.spec.deletionPolicy`
// +kubebuilder:printcolumn:name="CREATION-TIME",type=string,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="COMPLETION-TIME",type=string,JSONPath=`.status.completionTimestamp`
// +kubebuilder:printcolumn:name="EXPIRATION-TIME",type=string,JSONPath=`.status.expiration`
type Backup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec BackupSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status BackupStatus `json:"status,omitempty"`
}

// BackupList is a list of the kind Backup.
//
// +kubebuilder:object:root=true
type BackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Backup `json:"items"`
}

// BackupSpec says what is backed up, and how long it is kept.
type BackupSpec struct {
	// BackupPolicyName is the BackupPolicy to follow.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="backupPolicyName cannot be changed"
	BackupPolicyName string `json:"backupPolicyName"`

	// BackupMethod is a method of the policy.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="backupMethod cannot be changed"
	BackupMethod string `json:"backupMethod"`

	// DeletionPolicy says whether the data goes with the object.
	// +optional
	// +kubebuilder:default=Delete
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

// BackupStatus is how a backup goes.
type BackupStatus struct {
	// FormatVersion is the version of the form in which the backup is kept.
	// +optional
	FormatVersion string `json:"formatVersion,omitempty"`

	// Phase is the state of the backup in one word.
	// +optional
	Phase BackupPhase `json:"phase,omitempty"`

	// FailureReason says why it failed.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`

	// StartTimestamp is when it was begun.
	// +optional
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// CompletionTimestamp is when it came to its end.
	// +optional
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// Duration from start to end.
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Expiration is when the backup is removed.
	// +optional
	Expiration *metav1.Time `json:"expiration,omitempty"`

	// TotalSize of the data, for people.
	// +optional
	TotalSize string `json:"totalSize,omitempty"`

	// Path of the backup in its repository.
	// +optional
	Path string `json:"path,omitempty"`

	// BackupRepoName is where the backup is kept.
	// +optional
	BackupRepoName string `json:"backupRepoName,omitempty"`

	// BackupMethod is the method as it was when the backup was begun.
	// +optional
	BackupMethod *BackupMethod `json:"backupMethod,omitempty"`

	// Target are the pods that the backup was made of.
	// +optional
	Target *BackupStatusTarget `json:"target,omitempty"`

	// Actions are the jobs.
	// +optional
	// +listType=map
	// +listMapKey=name
	Actions []ActionStatus `json:"actions,omitempty"`

	// TimeRange is the time that the data stands for.
	// +optional
	TimeRange *BackupTimeRange `json:"timeRange,omitempty"`
}

// BackupStatusTarget are the pods that a backup was made of.
type BackupStatusTarget struct {
	BackupTarget `json:",inline"`

	// SelectedTargetPods are the names of the pods.
	// +optional
	// +listType=set
	SelectedTargetPods []string `json:"selectedTargetPods,omitempty"`
}

// ActionStatus is how one job of a backup goes.
type ActionStatus struct {
	// Name of the job's action.
	Name string `json:"name"`

	// Phase of the job.
	// +optional
	// +kubebuilder:validation:Enum=New;Running;Completed;Failed
	Phase string `json:"phase,omitempty"`

	// TargetPodName is the pod that it works on.
	// +optional
	TargetPodName string `json:"targetPodName,omitempty"`

	// ObjectRef is the job.
	// +optional
	ObjectRef *corev1.ObjectReference `json:"objectRef,omitempty"`

	// StartTimestamp is when it was begun.
	// +optional
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// CompletionTimestamp is when it came to its end.
	// +optional
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// FailureReason says why it failed.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`

	// TotalSize of its data, for people.
	// +optional
	TotalSize string `json:"totalSize,omitempty"`

	// TimeRange is the time that its data stands for.
	// +optional
	TimeRange *BackupTimeRange `json:"timeRange,omitempty"`
}

// BackupTimeRange is the time that data stands for.
type BackupTimeRange struct {
	// TimeZone of the engine.
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// Start of the range.
	// +optional
	Start *metav1.Time `json:"start,omitempty"`

	// End of the range.
	// +optional
	End *metav1.Time `json:"end,omitempty"`
}

// ActionSet says which jobs make a backup and restore it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster,shortName=as
// +kubebuilder:printcolumn:name="BACKUP-TYPE",type=string,JSONPath=`.spec.backupType`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ActionSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec ActionSetSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status PhaseStatus `json:"status,omitempty"`
}

// ActionSetList is a list of the kind ActionSet.
//
// +kubebuilder:object:root=true
type ActionSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActionSet `json:"items"`
}

// ActionSetSpec says which jobs make a backup and restore it.
type ActionSetSpec struct {
	// BackupType is what the backups hold.
	BackupType BackupType `json:"backupType"`

	// Env are variables of the jobs.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`

	// Backup says how a backup is made.
	// +optional
	Backup *BackupActions `json:"backup,omitempty"`

	// Restore says how it is restored.
	// +optional
	Restore *RestoreActions `json:"restore,omitempty"`
}

// BackupActions say how a backup is made.
type BackupActions struct {
	// BackupData is the job that copies the data.
	// +optional
	BackupData *JobAction `json:"backupData,omitempty"`
}

// RestoreActions say how a backup is restored.
type RestoreActions struct {
	// PrepareData is the job that fills a volume before the engine starts.
	// +optional
	PrepareData *JobAction `json:"prepareData,omitempty"`

	// PostReady are the jobs that run when the engine is ready.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	PostReady []PostReadyAction `json:"postReady,omitempty"`
}

// PostReadyAction is a job that runs when the engine is ready.
type PostReadyAction struct {
	// Job to run.
	// +optional
	Job *JobAction `json:"job,omitempty"`
}

// JobAction is a job.
type JobAction struct {
	// Image of the job.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`

	// Command of the job. It is not passed to a shell.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Command []string `json:"command"`

	// RunOnTargetPodNode runs the job on the node of its pod.
	// +optional
	RunOnTargetPodNode *bool `json:"runOnTargetPodNode,omitempty"`
}

// RestorePhase is the state of a restore in one word.
//
// +kubebuilder:validation:Enum=Running;Completed;Failed;AsDataSource
type RestorePhase string

// The phases of a restore.
const (
	// RestoreRunning: it is under way.
	RestoreRunning RestorePhase = "Running"
	// RestoreCompleted: the cluster has the data.
	RestoreCompleted RestorePhase = "Completed"
	// RestoreFailed: it failed.
	RestoreFailed RestorePhase = "Failed"
	// RestoreAsDataSource: claims take their data from it.
	RestoreAsDataSource RestorePhase = "AsDataSource"
)

// Restore fills a new cluster from a backup.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Namespaced
// +kubebuilder:printcolumn:name="BACKUP",type=string,JSONPath=`.spec.backup.name`
// +kubebuilder:printcolumn:name="RESTORE-TIME",type=string,JSONPath=`.spec.restoreTime`
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="DURATION",type=string,JSONPath=`.status.duration`
// +kubebuilder:printcolumn:name="CREATION-TIME",type=string,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="COMPLETION-TIME",type=string,JSONPath=`.status.completionTimestamp`
type Restore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec RestoreSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status RestoreStatus `json:"status,omitempty"`
}

// RestoreList is a list of the kind Restore.
//
// +kubebuilder:object:root=true
type RestoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Restore `json:"items"`
}

// RestoreSpec says which backup is restored, and where.
//
// +kubebuilder:validation:XValidation:rule="self.backup == oldSelf.backup",message="backup cannot be changed"
type RestoreSpec struct {
	// Backup to restore.
	Backup BackupReference `json:"backup"`

	// RestoreTime is the moment to restore, for continuous backups.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	RestoreTime string `json:"restoreTime,omitempty"`

	// ClusterName is the cluster to fill.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ClusterName string `json:"clusterName,omitempty"`

	// ComponentName is the component to fill.
	// +optional
	// +kubebuilder:validation:MaxLength=22
	ComponentName string `json:"componentName,omitempty"`

	// Env are variables of the jobs.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`

	// BackoffLimit is how often a failed job is repeated.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`

	// Parameters of the restore.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Parameters []NamedValue `json:"parameters,omitempty"`
}

// BackupReference names a Backup.
type BackupReference struct {
	// Name of the Backup.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the Backup.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// SourceTargetName is the target of the Backup, where it has several.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	SourceTargetName string `json:"sourceTargetName,omitempty"`
}

// RestoreStatus is how a restore goes.
type RestoreStatus struct {
	// Phase is the state of the restore in one word.
	// +optional
	Phase RestorePhase `json:"phase,omitempty"`

	// StartTimestamp is when it was begun.
	// +optional
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// CompletionTimestamp is when it came to its end.
	// +optional
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// Duration from start to end.
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Conditions: Validated, PrepareDataCompleted, PostReadyCompleted.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
