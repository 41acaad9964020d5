// Package consensus drives the one Raft group of a cluster: etcd-raft decides, this
// package keeps its log and snapshots on disk, lets its time pass, carries its
// messages to the network and back, and gives what is committed to the state
// machine (the topology).
//
// A Group is a node's voice in it. Propose changes the replicated state from any
// node, exactly once; ReadIndex makes a read of it linearizable; AddLearner and
// RemoveMember change who is in it, and the leader makes voters of learners by
// itself (NextChange).
//
// Callers: cluster/member. Format: docs/format/consensus.md; reasons: DESIGN.md.
//
// Invariants:
//
//	C1  Nothing is sent before what it promises is synced: term and vote, entries,
//	    a snapshot.
//	C2  What is on disk can be loaded after a crash at any moment: a stored commit
//	    index is never behind the stored entries, a snapshot replaces the old one
//	    atomically, and entries that don't follow from it are dropped.
//	C3  Entries are applied in order, each once in a process; the state machine is
//	    rebuilt from the snapshot and the entries behind it.
//	C4  A proposal is applied at most once, however often it was sent.
//	C5  What an entry does depends on the replicated state alone, also whether a
//	    change of membership is refused.
//	C6  A removed member never comes back under its ID.
//	C7  An error of the disk ends the group; everybody who waits hears of it.
package consensus
