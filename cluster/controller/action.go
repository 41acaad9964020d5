package controller

import (
	"fmt"
	"strings"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Action is something that is to be done. Its reason is for people.
type Action interface {
	fmt.Stringer
	// Why is the reason.
	Why() string
}

// Reason is why an action is taken.
type Reason string

// Why returns the reason.
func (r Reason) Why() string { return string(r) }

// Process is one process of a node.
type Process struct {
	Peer        topology.PeerID
	Incarnation uint64
}

// Fence says that nodes count as gone: all in one command (R12).
type Fence struct {
	Peers []Process
	Reason
}

// Relieve takes leaderships and seats from nodes that live and hold others up, where others can do without them.
type Relieve struct {
	Peers []Process
	Reason
}

// Elect asks for leaders of shards that have none and could have one.
type Elect struct {
	Shards []topology.ShardName
	Reason
}

// Hand asks a shard's leader to hand its leadership over. It goes to that node, not to
// the topology.
type Hand struct {
	Shard topology.ShardName
	// Epoch is the leadership that is to end.
	Epoch    uint64
	From, To topology.PeerID
	Reason
}

// Replicate starts a transfer. To has no copy yet, or one that isn't in sync and that
// nobody fills.
type Replicate struct {
	Shard    topology.ShardName
	From, To topology.PeerID
	// Move says that the copy of From goes when that of To is in sync.
	Move bool
	Reason
}

// Drop removes a copy.
type Drop struct {
	Shard topology.ShardName
	Peer  topology.PeerID
	Reason
}

// Abort ends a transfer. A copy that was made for it goes with it or is dropped later.
type Abort struct {
	Shard    topology.ShardName
	From, To topology.PeerID
	Reason
}

// DrainDone says that a draining node holds nothing any more. It comes once.
type DrainDone struct {
	Peer topology.PeerID
	Reason
}

func (a Fence) String() string { return "fence" + processes(a.Peers) + ": " + string(a.Reason) }

func (a Relieve) String() string { return "relieve" + processes(a.Peers) + ": " + string(a.Reason) }

func processes(list []Process) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, " %d/%d", p.Peer, p.Incarnation)
	}
	return b.String()
}

func (a Elect) String() string {
	var b strings.Builder
	b.WriteString("elect")
	for _, s := range a.Shards {
		b.WriteByte(' ')
		b.WriteString(name(s))
	}
	return b.String() + ": " + string(a.Reason)
}

func (a Hand) String() string {
	return fmt.Sprintf("hand %s %d→%d: %s", name(a.Shard), a.From, a.To, a.Reason)
}

func (a Replicate) String() string {
	verb := "copy"
	if a.Move {
		verb = "move"
	}
	return fmt.Sprintf("%s %s %d→%d: %s", verb, name(a.Shard), a.From, a.To, a.Reason)
}

func (a Drop) String() string {
	return fmt.Sprintf("drop %s of %d: %s", name(a.Shard), a.Peer, a.Reason)
}

func (a Abort) String() string {
	return fmt.Sprintf("abort %s %d→%d: %s", name(a.Shard), a.From, a.To, a.Reason)
}

func (a DrainDone) String() string { return fmt.Sprintf("drained %d: %s", a.Peer, a.Reason) }

func name(s topology.ShardName) string { return fmt.Sprintf("%s/%d", s.Collection, s.Shard) }
