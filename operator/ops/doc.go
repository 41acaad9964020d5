// Package ops carries out operations on clusters: OpsRequests. An operation edits the Cluster, as
// a user would, and then watches what the other controllers make of it: it never touches a pod. Two
// kinds do more than that: a switchover is an action of the agent beside a node, and a rebuild marks the
// InstanceSet, which replaces the volumes.
//
// Plan is the core: from a cluster with its operations, as they were read, it says what is to
// be written. It does no I/O and has no clock. Reconciler reads, and writes what the plan says.
//
// Callers: the operator's program, through Register.
package ops
