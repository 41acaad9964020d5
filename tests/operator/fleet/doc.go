// Package fleet stands in for the nodes of a component, and for the agents beside them,
// where the operator is tested without containers: processes that live in the test, answer
// on the addresses and ports of their pods, and form clusters as real nodes do. They found
// or join by QDRANT_BOOTSTRAP, have shards with copies in sync, hand over, are drained,
// removed, fenced, repaired, and lose their data with their disk.
//
// There is no data, only how much of it each copy has: enough to tell when acknowledged
// writes are gone. A World watches all the time for what must never happen, whatever the
// operator does, and remembers it (Violations):
//
//   - a second cluster is founded where there is one;
//   - a disk is used by two processes;
//   - the last copy that has all acknowledged writes is thrown away;
//   - a node is stopped that has the only copy in sync of a shard with more copies, unless
//     everything is being stopped.
//
// Agents are the real ones (package agent).
package fleet
