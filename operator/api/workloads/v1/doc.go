// Package v1 holds the API types of the group workloads: InstanceSet, which runs the
// pods of a component.
//
// +kubebuilder:object:generate=true
// +groupName=workloads.kubeblocks.io
package v1
