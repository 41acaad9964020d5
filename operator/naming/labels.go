package naming

import (
	"strings"

	"github.com/sextantdb/sextant/operator/api/group"
)

// The labels of Kubernetes that the operator sets.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelName      = "app.kubernetes.io/name"
	LabelVersion   = "app.kubernetes.io/version"
)

// ManagedBy is the value of LabelManagedBy. Monitoring that was set up for KubeBlocks
// takes the name of its job from it.
const ManagedBy = "kubeblocks"

// The labels of the group apps.
const (
	LabelComponentName  = group.Apps + "/component-name"
	LabelServiceVersion = group.Apps + "/service-version"
	LabelPodName        = group.Apps + "/pod-name"
	LabelClaimTemplate  = group.Apps + "/vct-name"
	LabelReleasePhase   = group.Apps + "/release-phase"
)

// The values of LabelReleasePhase. Services select the stable pods, so that pods of
// jobs and of trials don't get into them, nor those whose nodes are about to leave.
const (
	ReleaseStable  = "stable"
	ReleaseCanary  = "canary"
	ReleaseLeaving = "leaving"
)

// The labels of the group workloads, and the value of the first.
const (
	LabelWorkloadManagedBy = group.Workloads + "/managed-by"
	LabelWorkloadInstance  = group.Workloads + "/instance"
	LabelTemplate          = group.Workloads + "/template-name"

	WorkloadInstanceSet = "InstanceSet"
)

// Labels that belong to no group.
const (
	// LabelRole is what an instance is: leader or follower.
	LabelRole = group.Domain + "/role"
	// LabelRevision is the revision of the template that a pod was made from.
	LabelRevision = "controller-revision-hash"
)

// The labels of operations and of the objects that they make.
const (
	LabelOpsType = group.Operations + "/ops-type"
	LabelOpsName = group.Operations + "/ops-name"
)

// The labels of backups.
const (
	LabelClusterUID     = group.DataProtection + "/cluster-uid"
	LabelBackupPolicy   = group.DataProtection + "/backup-policy"
	LabelBackupType     = group.DataProtection + "/backup-type"
	LabelBackupMethod   = group.DataProtection + "/backup-method"
	LabelBackupSchedule = group.DataProtection + "/backup-schedule"
	LabelAutoBackup     = group.DataProtection + "/autobackup"
)

// The annotations that users and the operator set.
const (
	// AnnotationRestart on a pod's template holds the time of the last restart.
	AnnotationRestart = group.Domain + "/restart"
	// AnnotationConfigHash on a pod's template is the hash of files that need new pods
	// when they change.
	AnnotationConfigHash = group.Apps + "/config-hash"
	// AnnotationAcceptDataLoss on a Cluster lists pods (commas) that may leave although
	// something would be lost with them. It is copied to Component and InstanceSet.
	AnnotationAcceptDataLoss = group.Apps + "/accept-data-loss"
	// AnnotationAcceptLowMemory on a Cluster is the lowest memory limit (512Mi) that is followed although
	// nodes are estimated to need more.
	AnnotationAcceptLowMemory = group.Apps + "/accept-low-memory"
	// AnnotationFounding on an InstanceSet is the name of the only pod that may be made
	// before the cluster is founded.
	AnnotationFounding = group.Workloads + "/founding"
	// AnnotationRebuild on an InstanceSet maps pods to tokens (RebuildToken), as JSON; on a
	// claim it is the token. Claims of a pod without its token are replaced.
	AnnotationRebuild = group.Workloads + "/rebuild"
	// AnnotationPodRevision on a pod is a hash of that part of its template that needs a new
	// pod when it changes.
	AnnotationPodRevision = group.Workloads + "/pod-revision"
	// AnnotationManagedKeys on a pod lists the labels and annotations that it has from its
	// template.
	AnnotationManagedKeys = group.Workloads + "/managed-keys"
	// AnnotationReplacing on a pod says which containers get new images: JSON.
	AnnotationReplacing = group.Workloads + "/replacing"
	// AnnotationLeaving on a pod is since when no service sends clients there: RFC 3339.
	AnnotationLeaving = group.Workloads + "/leaving"
	// AnnotationLeft on a claim says that its node has left the cluster: what is in it is of
	// no use to a new one.
	AnnotationLeft = group.Workloads + "/left"
	// AnnotationApplied on an object is the hash of what was last applied to it.
	AnnotationApplied = group.Domain + "/applied"
	// AnnotationFactor on a ConfigMap with files is the replication factor that was chosen when
	// the component was created.
	AnnotationFactor = group.Apps + "/default-replication-factor"
	// AnnotationKeyRevision on the Secret of the API key changes with its contents: a name for
	// them that tells nothing of them.
	AnnotationKeyRevision = group.Apps + "/key-revision"
	// AnnotationAllowNamespaces on a Secret with certificates lists namespaces (commas) whose
	// clusters may use it, beside its own.
	AnnotationAllowNamespaces = group.Apps + "/allow-namespaces"
	// AnnotationOpsQueue on a Cluster holds the operations that wait for each other.
	AnnotationOpsQueue = group.Domain + "/ops-request"
	// AnnotationRestoreFrom on a Cluster says from which backup it is filled.
	AnnotationRestoreFrom = group.Domain + "/restore-from-backup"
	// AnnotationClusterSnapshot on a Backup holds the Cluster as JSON.
	AnnotationClusterSnapshot = group.Domain + "/cluster-snapshot"
	// AnnotationSkipImmutable on a ComponentDefinition lets its spec be changed.
	AnnotationSkipImmutable = group.Apps + "/skip-immutable-check"
	// AnnotationSpecSeen on a ComponentDefinition is what its spec was when it was first seen:
	// "{generation}-{hash}".
	AnnotationSpecSeen = group.Apps + "/spec-seen"
	// AnnotationCompatibleDefinitions on a ComponentVersion lists the names of the
	// ComponentDefinitions that it fits.
	AnnotationCompatibleDefinitions = "componentversion." + group.Domain + "/compatible-definitions"
	// AnnotationDefaultRepo on a BackupRepo makes it the default one.
	AnnotationDefaultRepo = group.DataProtection + "/is-default-repo"
)

// The finalizers of the operator's kinds.
const (
	FinalizerCluster     = "cluster." + group.Domain + "/finalizer"
	FinalizerComponent   = "component." + group.Domain + "/finalizer"
	FinalizerInstanceSet = "instanceset." + group.Workloads + "/finalizer"
	FinalizerOpsRequest  = "opsrequest." + group.Domain + "/finalizer"
	FinalizerBackup      = group.DataProtection + "/finalizer"
	FinalizerBackupRepo  = "backuprepo." + group.DataProtection + "/finalizer"
)

// Owner is the component that an object belongs to.
type Owner struct {
	// Cluster and Component are the names that users know.
	Cluster, Component string
	// Definition is the name of the ComponentDefinition.
	Definition string
	// ServiceVersion is the version that is served.
	ServiceVersion string
}

// ClusterLabels are carried by every object of a cluster: `kubectl get -l
// app.kubernetes.io/instance={cluster}` finds them all.
func ClusterLabels(cluster string) map[string]string {
	return map[string]string{
		LabelManagedBy: ManagedBy,
		LabelInstance:  cluster,
	}
}

// ComponentLabels are carried by every object of a component.
func ComponentLabels(o Owner) map[string]string {
	labels := ClusterLabels(o.Cluster)
	labels[LabelComponentName] = o.Component
	return labels
}

// PodSelector are the labels by which an InstanceSet knows its pods. They never
// change during the life of the set.
func PodSelector(o Owner) map[string]string {
	return map[string]string{
		LabelManagedBy:     ManagedBy,
		LabelInstance:      o.Cluster,
		LabelComponentName: o.Component,
	}
}

// ServiceSelector are the labels by which services reach the pods of a component, or
// those of one role where a role is given.
func ServiceSelector(o Owner, role string) map[string]string {
	selector := PodSelector(o)
	selector[LabelReleasePhase] = ReleaseStable
	if role != "" {
		selector[LabelRole] = role
	}
	return selector
}

// PodLabels are the labels of a pod, without its role and its revision, which come
// later.
func PodLabels(o Owner, pod, template string, canary bool) map[string]string {
	labels := ComponentLabels(o)
	labels[LabelComponent] = o.Definition
	labels[LabelServiceVersion] = o.ServiceVersion
	labels[LabelPodName] = pod
	labels[LabelReleasePhase] = ReleaseStable
	if canary {
		labels[LabelReleasePhase] = ReleaseCanary
	}
	labels[LabelWorkloadManagedBy] = WorkloadInstanceSet
	labels[LabelWorkloadInstance] = Component(o.Cluster, o.Component)
	if template != "" {
		labels[LabelTemplate] = template
	}
	return labels
}

// OpsLabels are the labels of an operation.
func OpsLabels(cluster, opsType string) map[string]string {
	return map[string]string{
		LabelInstance: cluster,
		LabelOpsType:  opsType,
	}
}

// BackupLabels are the labels of a Backup.
func BackupLabels(o Owner, clusterUID, policy, method, backupType string) map[string]string {
	return map[string]string{
		LabelInstance:      o.Cluster,
		LabelComponentName: o.Component,
		LabelClusterUID:    clusterUID,
		LabelBackupPolicy:  policy,
		LabelBackupMethod:  method,
		LabelBackupType:    backupType,
	}
}

// RebuildToken tells one rebuild of an instance from others. Machine is the Kubernetes node on which it is to run
// then, "" is any.
func RebuildToken(operation, machine string) string {
	if machine == "" {
		return operation
	}
	return operation + "@" + machine
}

// RebuildMachine is the machine that a token names, "" is any.
func RebuildMachine(token string) string {
	_, machine, _ := strings.Cut(token, "@")
	return machine
}
