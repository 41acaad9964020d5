package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Machine is the replicated state machine. The group calls it from one goroutine at
// a time, and never two calls at once. Its state must depend on nothing but the
// calls of Apply and Restore.
type Machine interface {
	// Apply carries out a committed proposal. It can't fail: a proposal that makes no
	// sense changes nothing, the same everywhere, and result says so. data may be
	// kept, but not changed.
	Apply(index uint64, data []byte) (result any)
	// Snapshot returns the whole state. The bytes aren't changed afterwards.
	Snapshot() ([]byte, error)
	// Restore replaces the state by a snapshot that contains everything up to index.
	// data may be kept, but not changed.
	Restore(index uint64, data []byte) error
}

// Limits that are the same everywhere.
const (
	// MaxProposal is the length of the largest proposal.
	MaxProposal = 8 << 20
	// maxPending and maxPendingBytes bound the proposals of this node under way.
	maxPending      = 1024
	maxPendingBytes = 32 << 20
	// maxWaiting bounds what else waits: reads, changes of membership.
	maxWaiting = 4096
	// maxInbox and maxInboxBytes bound the messages that wait to be read.
	maxInbox      = 4096
	maxInboxBytes = 64 << 20
	// maxAhead is how far the oldest proposal under way may be behind the newest: it
	// bounds what is remembered against applying twice.
	maxAhead = 16 * maxPending
)

// The defaults of Options.
const (
	DefaultTickInterval    = 100 * time.Millisecond
	DefaultElectionTicks   = 10
	DefaultSnapshotEntries = 10_000
	DefaultSnapshotBytes   = 64 << 20
	DefaultKeepEntries     = 1_000
)

// Options says what a group is made of. The zero value of a field is its default.
type Options struct {
	// ID is this node. Required.
	ID topology.PeerID
	// FS is the file system, Dir the group's own directory; it is made when missing.
	// Required.
	FS  fsx.FS
	Dir string
	// Machine is what is replicated. Required. With a state on disk it is restored
	// before Open returns.
	Machine Machine
	// Send carries a message to another node; it may be lost. It must return at once,
	// must not change the message, and must not call the group. Required.
	Send func(to topology.PeerID, m *raftpb.Message)
	// Gone, when not nil, tells whether the machine knows a node for one that never comes back; such members are
	// removed. It must return at once and must not call the group.
	Gone func(topology.PeerID) bool
	// OnLeader is told of each change of who leads; 0 is nobody as far as is known
	// here. me comes only when everything is applied that was committed before this
	// node led. It must return at once and must not call the group; it may be called
	// before Open returns. May be nil.
	OnLeader func(leader topology.PeerID, me bool)
	// TickInterval is how long a tick takes.
	TickInterval time.Duration
	// Ticks, when not nil, is where ticks come from, instead of a clock.
	Ticks <-chan time.Time
	// ElectionTicks is for how long a leader may be silent. A heartbeat is sent each
	// tick.
	ElectionTicks int
	// SnapshotEntries and SnapshotBytes say after how many applied entries, or bytes
	// in them, a snapshot is taken; after entries only when they are about as long as the
	// last snapshot. KeepEntries of the entries in it stay readable,
	// for followers that are a little behind; no more than SnapshotEntries.
	SnapshotEntries uint64
	SnapshotBytes   uint64
	KeepEntries     uint64
	// Reserve is how many bytes of the disk are kept for the group, so that it goes on when the
	// disk is full; 0 is none. OnShort, when not nil, hears when they are about to be used, and
	// when they are there again: nobody else should take room meanwhile. It must return at once.
	Reserve uint64
	OnShort func(short bool)
	// Logger may be nil.
	Logger *slog.Logger
}

// complete fills in defaults and says everything that is wrong.
func (o *Options) complete() error {
	setDefault(&o.TickInterval, DefaultTickInterval)
	setDefault(&o.ElectionTicks, DefaultElectionTicks)
	setDefault(&o.SnapshotEntries, DefaultSnapshotEntries)
	setDefault(&o.SnapshotBytes, DefaultSnapshotBytes)
	setDefault(&o.KeepEntries, min(DefaultKeepEntries, o.SnapshotEntries))
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnShort == nil {
		o.OnShort = func(bool) {}
	}
	if o.OnLeader == nil {
		o.OnLeader = func(topology.PeerID, bool) {}
	}
	var wrong []error
	check := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, errors.New(what))
		}
	}
	check(validID(o.ID), "ID must be a peer's")
	check(o.FS != nil && o.Dir != "", "FS and Dir are required")
	check(o.Machine != nil, "Machine is required")
	check(o.Send != nil, "Send is required")
	check(o.TickInterval > 0, "TickInterval must be positive")
	check(o.ElectionTicks > 1, "ElectionTicks must be above 1")
	check(o.KeepEntries <= o.SnapshotEntries, "KeepEntries must not be above SnapshotEntries")
	if len(wrong) > 0 {
		return fmt.Errorf("consensus: %w", errors.Join(wrong...))
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validID says whether a number can name a peer: the highest ones mean something else
// to etcd-raft.
func validID(id topology.PeerID) bool { return id != 0 && id < math.MaxUint64-16 }
