// Package v1alpha1 holds the API types of the group operations: OpsRequest, one
// operation on a cluster that a user asks for.
//
// +kubebuilder:object:generate=true
// +groupName=operations.kubeblocks.io
package v1alpha1
