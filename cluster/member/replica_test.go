package member

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// around is a node around a copy that hears what the copy wants of it.
type around struct {
	sent chan replication.Envelope
	lost chan error
	// space is the room on its disk; refused hears when there is too little.
	space   *fsx.Quota
	refused chan struct{}
}

// inject lets the disk refuse what there is no room for.
func (a *around) inject(op fsx.Op) error {
	err := a.space.Inject(op)
	if err != nil {
		select {
		case a.refused <- struct{}{}:
		default:
		}
	}
	return err
}

func (*around) peer() topology.PeerID                { return 1 }
func (*around) now() replication.Now                 { return 0 }
func (a *around) send(e replication.Envelope)        { a.sent <- e }
func (*around) alter(replication.Alter)              {}
func (*around) wake(*replica, replication.Now, bool) {}
func (a *around) damaged(_ *replica, err error)      { a.lost <- err }
func (*around) warn(*replica, error)                 {}
func (*around) takeFiles(context.Context, *replica, replication.FileSource) error {
	return nil
}

// newFollower returns copy 1 of a shard on peer 1 that peer 2 leads in epoch 1. It has no data: nothing
// gets committed.
func newFollower(t *testing.T) (*replica, *around) {
	t.Helper()
	node := &around{
		sent: make(chan replication.Envelope, 100), lost: make(chan error, 1),
		space: fsx.NewQuota(1 << 30), refused: make(chan struct{}, 1),
	}
	log, err := oplog.Open(oplog.Options{FS: fsx.NewFault(fsx.NewMem(), node.inject), Dir: "log", RetryAfter: time.Millisecond})
	require.NoError(t, err)
	r := &replica{
		node: node, name: topology.ShardName{Collection: "c"}, alloc: 1, stream: log.Stream("c/0"),
		marks: &marks{stream: log.Stream("c/0#mark")}, reading: map[topology.PeerID]bool{}, asked: map[uint64]*request{},
	}
	r.idle.L = &r.mu
	r.ctx, r.stop = context.WithCancel(t.Context())
	r.sm = replication.New(replication.Options{Self: 1, Incarnation: 1, Alloc: 1, Shard: r.name})
	t.Cleanup(func() {
		r.stop()
		r.work.Wait()
		require.NoError(t, log.Close())
	})
	r.step(replication.ConfigChanged{Config: replication.Config{
		Shard: &topology.Shard{
			History: 1, Epoch: 1, Version: 1, Leader: 2, InSync: []topology.PeerID{2},
			Replicas: []topology.Replica{{Peer: 1, Alloc: 1, Created: true}, {Peer: 2, Alloc: 2, Created: true}},
		},
		MinInSync: 1, Incarnations: map[topology.PeerID]uint64{1: 1, 2: 1},
	}})
	r.awaitQuiet() // the epoch is on disk
	r.say(replication.Welcome{})
	return r, node
}

// say lets peer 2 say something.
func (r *replica) say(m replication.Message) {
	r.step(replication.Received{Envelope: replication.Envelope{
		From: 2, To: 1, FromIncarnation: 1, ToIncarnation: 1, FromAlloc: 2, Shard: r.name, Epoch: 1, Message: m,
	}})
}

// entriesOf are entries 1, 2, … of epoch 1, with the chain values of a log that has them.
func entriesOf(bodies ...string) (out []replication.Entry) {
	var theirs recent
	for i, b := range bodies {
		out = append(out, theirs.add(replication.Entry{
			Position: replication.Position{Epoch: 1, Seq: uint64(i) + 1}, Kind: replication.Data, Body: []byte(b),
		}).Entry)
	}
	return out
}

// durableOn waits until the leader hears that an entry is durable.
func (a *around) durableOn(t *testing.T, seq uint64) {
	t.Helper()
	for {
		select {
		case e := <-a.sent:
			if m, ok := e.Message.(replication.Appended); ok && m.Durable == seq {
				return
			}
		case err := <-a.lost:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			t.Fatal("nobody hears of it")
		}
	}
}

func TestFollowerHasWhatItsLeaderSent(t *testing.T) {
	r, node := newFollower(t)
	sent := entriesOf("a", "b", "c")
	r.say(replication.Append{Entries: slices.Clone(sent[:2])})
	r.say(replication.Append{Prev: sent[1].Position, Entries: slices.Clone(sent[2:])})
	node.durableOn(t, 3)
	require.Equal(t, oplog.Position(sent[2].Position), r.stream.Durable())
	got, err := r.read(1, 3, readBytes)
	require.NoError(t, err)
	require.Equal(t, sent, got)
}

// TestFollowerOfAnotherLog: logs that differ below are found at the next entry, which isn't taken.
func TestFollowerOfAnotherLog(t *testing.T) {
	r, node := newFollower(t)
	ours, theirs := entriesOf("a", "b"), entriesOf("a", "B", "c")
	r.say(replication.Append{Entries: slices.Clone(ours)})
	node.durableOn(t, 2)
	r.say(replication.Append{Prev: ours[1].Position, Entries: slices.Clone(theirs[2:])})
	select {
	case err := <-node.lost:
		require.ErrorIs(t, err, oplog.ErrDiverged)
	case <-time.After(20 * time.Second):
		t.Fatal("nobody hears of it")
	}
	require.Equal(t, oplog.Position(ours[1].Position), r.stream.Last())
	for range len(node.sent) {
		if m, ok := (<-node.sent).Message.(replication.Appended); ok {
			require.LessOrEqual(t, m.Durable, uint64(2))
		}
	}
}

// A leader's copy gives its entries the chain values that its log has.
func TestMemoryHasThePositionsOfTheLog(t *testing.T) {
	r, node := newFollower(t)
	known := entriesOf("a", "b")
	r.say(replication.Append{Entries: slices.Clone(known)})
	node.durableOn(t, 2)
	r.mu.Lock()
	records := r.remember([]replication.Entry{{Position: replication.Position{Epoch: 1, Seq: 3}, Kind: replication.Data, Body: []byte("c")}})
	r.mu.Unlock()
	_, err := r.append(records)
	require.NoError(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Equal(t, r.stream.Last(), r.recent.end)
	require.NotZero(t, r.recent.end.Chain)
}

// TestAFullDiskIsWaitedFor: whatever a copy has to store, on a full disk it waits for room and loses nothing.
func TestAFullDiskIsWaitedFor(t *testing.T) {
	entries := entriesOf("a", "b", "c")
	for _, tc := range []struct {
		name        string
		work        replication.DiskEffect
		epoch, last uint64
	}{
		{"an epoch", replication.DiskEffect{Epoch: 7}, 7, 2},
		{"a cut", replication.DiskEffect{Truncate: true, TruncateAfter: 1}, 1, 1},
		{"entries", replication.DiskEffect{Append: entries[2:]}, 1, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, node := newFollower(t)
			r.say(replication.Append{Entries: slices.Clone(entries[:2])})
			node.durableOn(t, 2)
			r.awaitQuiet()
			node.space.SetRoom(0)
			stored := make(chan error, 1)
			w := diskWork{DiskEffect: tc.work}
			r.mu.Lock()
			w.records = r.remember(tc.work.Append)
			r.mu.Unlock()
			go func() { stored <- r.storeAll([]diskWork{w}) }()
			select {
			case <-node.refused:
			case err := <-stored:
				t.Fatalf("stored on a full disk: %v", err)
			}
			node.space.SetRoom(1 << 30)
			require.NoError(t, <-stored)
			require.Equal(t, r.stream.Last(), r.stream.Durable())
			known, ok, err := loadMarks(t.Context(), r.marks.stream)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, tc.epoch, known.last.epoch)
			require.Equal(t, tc.last, r.stream.Durable().Seq)
		})
	}
}
