package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// AccessMethod says how a job reaches a repository.
//
// +kubebuilder:validation:Enum=Mount;Tool
type AccessMethod string

// How a job reaches a repository.
const (
	// AccessMount mounts it as a volume.
	AccessMount AccessMethod = "Mount"
	// AccessTool speaks its protocol.
	AccessTool AccessMethod = "Tool"
)

// RepoPhase is the state of a repository in one word.
//
// +kubebuilder:validation:Enum=PreChecking;Ready;Failed;Deleting
type RepoPhase string

// The phases of a repository.
const (
	// RepoPreChecking: a job tries to write, read and remove a file.
	RepoPreChecking RepoPhase = "PreChecking"
	// RepoReady: backups can be kept in it.
	RepoReady RepoPhase = "Ready"
	// RepoFailed: it can't be used; the conditions say why.
	RepoFailed RepoPhase = "Failed"
	// RepoDeleting: it is being deleted.
	RepoDeleting RepoPhase = "Deleting"
)

// The conditions of a repository.
const (
	ConditionStorageProviderReady = "StorageProviderReady"
	ConditionParametersChecked    = "ParametersChecked"
	ConditionStorageClassCreated  = "StorageClassCreated"
	ConditionPVCTemplateChecked   = "PVCTemplateChecked"
	ConditionPreCheckPassed       = "PreCheckPassed"
)

// BackupRepo is a place where backups are kept, such as a bucket.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster,path=backuprepos
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="STORAGEPROVIDER",type=string,JSONPath=`.spec.storageProviderRef`
// +kubebuilder:printcolumn:name="ACCESSMETHOD",type=string,JSONPath=`.spec.accessMethod`
// +kubebuilder:printcolumn:name="DEFAULT",type=boolean,JSONPath=`.status.isDefault`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type BackupRepo struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec BackupRepoSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status BackupRepoStatus `json:"status,omitempty"`
}

// BackupRepoList is a list of the kind BackupRepo.
//
// +kubebuilder:object:root=true
type BackupRepoList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BackupRepo `json:"items"`
}

// BackupRepoSpec says where backups are kept.
type BackupRepoSpec struct {
	// StorageProviderRef is the name of the StorageProvider, such as s3 or minio. It
	// cannot be changed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="storageProviderRef cannot be changed: make another BackupRepo"
	StorageProviderRef string `json:"storageProviderRef"`

	// AccessMethod says whether jobs mount the repository or speak its protocol.
	// +optional
	// +kubebuilder:default=Mount
	AccessMethod AccessMethod `json:"accessMethod,omitempty"`

	// VolumeCapacity is the size of the volume, for repositories that are mounted.
	// +optional
	VolumeCapacity *resource.Quantity `json:"volumeCapacity,omitempty"`

	// PVReclaimPolicy says whether the volume goes with the repository.
	// +kubebuilder:validation:Enum=Delete;Retain
	// +optional
	PVReclaimPolicy corev1.PersistentVolumeReclaimPolicy `json:"pvReclaimPolicy,omitempty"`

	// Config are the parameters of the provider, such as bucket, endpoint and region.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Config map[string]string `json:"config,omitempty"`

	// Credential is the Secret with what must not be seen, such as accessKeyId and
	// secretAccessKey.
	// +optional
	Credential *corev1.SecretReference `json:"credential,omitempty"`

	// PathPrefix is put before the path of every backup.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^([a-zA-Z0-9-_]+/?)*$`
	PathPrefix string `json:"pathPrefix,omitempty"`
}

// BackupRepoStatus is what the operator sees of a repository.
type BackupRepoStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is the state of the repository in one word.
	// +optional
	Phase RepoPhase `json:"phase,omitempty"`

	// IsDefault says whether backups that name no repository are kept here.
	// +optional
	IsDefault bool `json:"isDefault,omitempty"`

	// BackupPVCName is the claim that jobs mount.
	// +optional
	BackupPVCName string `json:"backupPVCName,omitempty"`

	// ToolConfigSecretName is the Secret with the settings of the tool.
	// +optional
	ToolConfigSecretName string `json:"toolConfigSecretName,omitempty"`

	// Conditions: StorageProviderReady, ParametersChecked, StorageClassCreated, PVCTemplateChecked,
	// PreCheckPassed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// StorageProvider says how a kind of storage is reached and which parameters it needs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={kubeblocks},scope=Cluster
// +kubebuilder:printcolumn:name="STATUS",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="CSIDRIVER",type=string,JSONPath=`.spec.csiDriverName`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type StorageProvider struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user declares.
	Spec StorageProviderSpec `json:"spec"`

	// Status is what the operator sees.
	// +optional
	Status StorageProviderStatus `json:"status,omitempty"`
}

// StorageProviderList is a list of the kind StorageProvider.
//
// +kubebuilder:object:root=true
type StorageProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StorageProvider `json:"items"`
}

// StorageProviderSpec says how a kind of storage is reached.
type StorageProviderSpec struct {
	// CSIDriverName is the driver that mounts the storage; empty where it is not mounted.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CSIDriverName string `json:"csiDriverName,omitempty"`

	// ParametersSchema says which parameters a BackupRepo must and may have.
	// +optional
	ParametersSchema *ParametersSchema `json:"parametersSchema,omitempty"`
}

// ParametersSchema says which parameters a BackupRepo must and may have.
type ParametersSchema struct {
	// OpenAPIV3Schema is a schema of the parameters.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +optional
	OpenAPIV3Schema *runtime.RawExtension `json:"openAPIV3Schema,omitempty"`

	// CredentialFields are the parameters that belong into a Secret.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	CredentialFields []string `json:"credentialFields,omitempty"`
}

// StorageProviderPhase is the state of a provider in one word.
//
// +kubebuilder:validation:Enum=NotReady;Ready
type StorageProviderPhase string

// The phases of a provider.
const (
	// StorageProviderNotReady: its driver is missing.
	StorageProviderNotReady StorageProviderPhase = "NotReady"
	// StorageProviderReady: repositories may use it.
	StorageProviderReady StorageProviderPhase = "Ready"
)

// StorageProviderStatus is what the operator sees of a provider.
type StorageProviderStatus struct {
	// Phase is the state of the provider in one word.
	// +optional
	Phase StorageProviderPhase `json:"phase,omitempty"`

	// Conditions: CSIDriverInstalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
