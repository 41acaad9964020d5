// Package topologypb has the messages in which cluster/topology writes commands and
// states. The code is generated from topology.proto (make generate).
//
// Callers: cluster/topology.
package topologypb
