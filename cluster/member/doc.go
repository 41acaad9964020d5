// Package member is one node's part in a cluster: it runs the node's voice in the consensus,
// the copies of shards that the topology puts here, and, where this node leads the consensus,
// the controller. What the pure packages decide is carried out here, and what happens on disks
// and wires is told to them.
//
// Callers: server/node opens a Member and puts it behind the p2p door; cluster/coordinator
// writes to and reads from shards through it, wherever their copies are, and changes the topology.
//
// Locks, in the order in which they may be taken: Member.mu, replica.mu. Nothing that may wait for a
// disk, a peer or a caller is done under them.
package member
