// Package group names the API groups that the operator serves. The groups, kinds
// and label keys are those that manifests and scripts written for KubeBlocks use,
// so that they work here unchanged; what they all end with is said once, in Domain.
//
// The generators of custom resource definitions read comments, not constants: the
// groupName markers of the API packages repeat these names, and a test of package
// api compares the two.
package group

// Domain is what every group and every label key of the operator ends with.
const Domain = "kubeblocks.io"

// The groups.
const (
	// Apps holds what users declare (Cluster) and what describes an engine.
	Apps = "apps." + Domain
	// Workloads holds what runs pods (InstanceSet).
	Workloads = "workloads." + Domain
	// Operations holds the operations that users ask for (OpsRequest).
	Operations = "operations." + Domain
	// DataProtection holds backups and restores.
	DataProtection = "dataprotection." + Domain
)
