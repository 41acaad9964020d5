// Package v1 holds the API types of the group apps: what a user declares (Cluster),
// what the operator derives from it (Component), and what describes an engine
// (ClusterDefinition, ComponentDefinition, ComponentVersion).
//
// The comments of the fields are what `kubectl explain` prints. Rules that concern
// one object are CEL rules beside the field, so that the API server refuses what
// can't work before a controller sees it; lists and strings are bounded, because
// the API server only accepts rules whose cost it can bound.
//
// +kubebuilder:object:generate=true
// +groupName=apps.kubeblocks.io
package v1
