package peer

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Timing are the times of both sides. Zero values are the defaults.
type Timing struct {
	// Beat is how often an open lane says something: 500 ms.
	Beat time.Duration
	// Silence is how long the other side may say nothing until it counts as gone: 2.5 s.
	// Beat comes on top, as that is how often it is looked at.
	Silence time.Duration
	// Connect is how long a connection with its handshake may take: 1 s.
	Connect time.Duration
	// BackoffBase and BackoffMax bound the wait before a peer is dialled again: 50 ms, 1 s.
	BackoffBase, BackoffMax time.Duration
	// Idle is how long an unused connection stays open: 1 minute.
	Idle time.Duration
}

func (t Timing) withDefaults() Timing {
	return Timing{
		Beat:        cmp.Or(t.Beat, 500*time.Millisecond),
		Silence:     cmp.Or(t.Silence, 2500*time.Millisecond),
		Connect:     cmp.Or(t.Connect, time.Second),
		BackoffBase: cmp.Or(t.BackoffBase, 50*time.Millisecond),
		BackoffMax:  cmp.Or(t.BackoffMax, time.Second),
		Idle:        cmp.Or(t.Idle, time.Minute),
	}
}

// Sizes.
const (
	// frameBytes is about how much a frame carries; a larger message is sent in parts.
	frameBytes = 1<<20 - 64<<10
	// defaultQueueMessages and defaultQueueBytes bound what waits in a lane.
	defaultQueueMessages = 16 << 10
	defaultQueueBytes    = 64 << 20
	// defaultMaxMessage is the largest message that a server puts together of parts, and
	// the largest call it reads.
	defaultMaxMessage = 256 << 20
)

// PoolOptions are what a Pool needs.
type PoolOptions struct {
	// Self is who dials.
	Self Identity
	// Keys are the api keys that peers are shown, whether they demand one or not.
	Keys []string
	// TLS, when not nil, is asked for the configuration of each new connection.
	TLS    func() *tls.Config
	Timing Timing
	// QueueMessages and QueueBytes bound what waits to be sent in each lane of each peer;
	// 0 is 16,384 messages, 64 MiB.
	QueueMessages, QueueBytes int
	// OnDown and OnUp, when not nil, hear news of peers, of one peer in order. They must
	// not block, nor call the Pool.
	OnDown func(Down)
	OnUp   func(Up)
	Logger *slog.Logger
}

// Down is the news that a peer can't be reached.
type Down struct {
	Peer topology.PeerID
	// Incarnation is the process that was reached last, 0 if none ever was.
	Incarnation uint64
	// Refused says that nobody listens at the peer's address: that process is gone. Else
	// it may be the network. News with Refused may follow news without.
	Refused bool
	// Since is when it was heard of last, or when it was tried since then.
	Since time.Time
}

// Up is the news that a peer was reached, or another process of it.
type Up struct {
	Peer        topology.PeerID
	Incarnation uint64
}

// Target is a peer to be reached.
type Target struct {
	Peer topology.PeerID
	// Addr is host:port.
	Addr string
	// Incarnation is the process that is meant, 0 for any. Except for the control lane and
	// Status, Join and Heartbeat, another process refuses.
	Incarnation uint64
}

// Failure counts messages to an address that were not sent.
type Failure struct {
	Count       uint64
	LatestError string
	LatestTime  time.Time
}
