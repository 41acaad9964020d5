// Package v1alpha1 holds the API types of the group dataprotection: where backups
// are kept (BackupRepo, StorageProvider), how and when they are made (BackupPolicy,
// BackupSchedule, ActionSet, BackupPolicyTemplate), backups themselves (Backup) and
// what is made from them (Restore).
//
// +kubebuilder:object:generate=true
// +groupName=dataprotection.kubeblocks.io
package v1alpha1
