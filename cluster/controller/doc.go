// Package controller is the brain of the cluster. On the Raft leader it says which nodes
// count as gone, which shards need a leader, and what copies are to be made, moved and
// dropped until every shard is where it should be.
//
// Controller is pure: Observe takes what happens (heartbeats, refused connections, the
// leadership), Decide takes the time and a View of the topology and returns Actions, and
// NextDecision says when to ask again. It knows no clock, network or goroutine, and the
// same calls always give the same actions. Whoever owns it proposes the actions to the
// topology or sends them to nodes; an action that is lost or refused is decided again.
//
// # Gone nodes
//
// A node that isn't heard of for a session is fenced. Nodes that fall silent together are
// fenced together, because a shard keeps the seats of copies that are fenced at once
// (R12). A node whose connections break and are refused is fenced within half a second.
// Before more than a minority of the nodes is fenced within one session, the controller
// waits for another session: it may be the one that is cut off. A controller that was
// stopped itself (a paused machine) forgives the time in which it heard nobody.
//
// A node that lives and holds others up is relieved: where enough other copies are in sync it loses leaderships and
// seats, and stays a member. That is for a node whose disk stalls, one whose disk is full and that couldn't hand over, and
// a leader that most nodes (two at least) can't reach while it is heard here: then it is the leader that is cut off, and
// those that reach each other go on. A leader that only some can't reach goes on without those.
//
// # What is wanted
//
// The replication factor is what should be, at any time: a factor that is raised adds
// copies, one that is lowered drops some. A copy on a fenced node counts for a grace
// period, then it is replaced, and dropped when its replacement is in sync. A copy in
// sync is only dropped while as many others as are wanted are in sync and there; the last
// one never. A draining node first gives its leaderships away, then its copies. What users
// placed themselves stays as it is for a while (Rule.PinnedUntil).
//
// # Why it comes to rest
//
// Moves of leaderships and copies lower a cost (sums of squares, and shards whose copies
// share a zone), so they can't go round in circles. Copies are moved only between shards
// that are whole, after the cluster was quiet for a while.
//
// # Time
//
// How long a node has been fenced isn't in the topology: every node's controller takes
// note, leading or not, when it is called. So Decide is to be called on all nodes when
// peers change; one that doesn't lead decides nothing.
package controller
