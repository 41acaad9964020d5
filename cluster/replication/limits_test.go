package replication_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/replication"
)

// healthy returns a world of two copies that are in sync.
func healthy(t *testing.T, limits replication.Limits) (*world, *play) {
	t.Helper()
	p := &play{w: newWorld(2, 1, limits)}
	for _, n := range p.w.nodes {
		p.w.learnNewest(n)
	}
	p.settle()
	require.NoError(t, p.w.wrong)
	require.True(t, p.w.node(2).proc.r.Readable())
	return p.w, p
}

// underway returns the entries that are on their way to a node.
func underway(w *world, to peerID) (entries, messages int) {
	for _, m := range w.net {
		if a, ok := m.Message.(replication.Append); ok && m.To == to && len(a.Entries) > 0 {
			entries += len(a.Entries)
			messages++
		}
	}
	return entries, messages
}

func TestWindowOfEntries(t *testing.T) {
	w, p := healthy(t, replication.Limits{WindowEntries: 5})
	for range 9 {
		w.propose(w.node(1), replication.OpID{}, "x")
	}
	n, _ := underway(w, 2)
	require.Equal(t, 5, n)
	p.settle()
	require.Equal(t, w.node(1).proc.log.last(), w.node(2).disk.log.last())
	require.NoError(t, w.wrong)
}

func TestWindowOfBytes(t *testing.T) {
	w, p := healthy(t, replication.Limits{WindowBytes: 100, MessageBytes: 50})
	for range 9 {
		w.propose(w.node(1), replication.OpID{}, "0123456789012345678901234567890123456789")
	}
	n, _ := underway(w, 2)
	require.Equal(t, 3, n, "the third crosses 100 bytes")
	p.settle()
	require.Equal(t, w.node(1).proc.log.last(), w.node(2).disk.log.last())
}

// TestCatchUpInMessages: what a follower lacks comes in messages of a bounded size.
func TestCatchUpInMessages(t *testing.T) {
	w, p := healthy(t, replication.Limits{MessageEntries: 4})
	for range 10 {
		w.propose(w.node(1), replication.OpID{}, "x")
	}
	w.net = nil
	w.propose(w.node(1), replication.OpID{}, "x")
	p.deliver(true, nil) // A gap.
	p.deliver(true, nil) // One message until it is answered.
	n, messages := underway(w, 2)
	require.Equal(t, []int{4, 1}, []int{n, messages})
	p.settle()
	require.Equal(t, w.node(1).proc.log.last(), w.node(2).disk.log.last())
}

// TestLateGap: a Gap that comes when all is well again starts nothing.
func TestLateGap(t *testing.T) {
	w, p := healthy(t, replication.Limits{})
	late := w.node(2)
	gap := replication.Envelope{
		From: 2, To: 1, FromIncarnation: late.inc, FromAlloc: late.disk.alloc, Epoch: 1,
		Message: replication.Appended{Gap: true},
	}
	w.step(w.node(1), replication.Received{Envelope: gap})
	require.Empty(t, w.net)
	p.settle()
	require.True(t, w.node(1).proc.r.IsIdle())
}

func TestPendingIsBounded(t *testing.T) {
	w, _ := healthy(t, replication.Limits{PendingEntries: 3})
	for range 5 {
		w.propose(w.node(1), replication.OpID{}, "x")
	}
	require.Equal(t, 2, w.tally["overloaded"])

	w, _ = healthy(t, replication.Limits{PendingBytes: 10})
	w.propose(w.node(1), replication.OpID{}, "more than ten bytes") // One always passes.
	w.propose(w.node(1), replication.OpID{}, "x")
	require.Equal(t, 1, w.tally["overloaded"])

	w, _ = healthy(t, replication.Limits{Reads: 2})
	for range 4 {
		w.read(w.node(1))
	}
	require.Equal(t, 2, w.tally["overloaded"])
}

// TestSlowApplyLosesTheSeat: a copy that stores and doesn't apply keeps everybody who
// waits for visibility waiting.
func TestSlowApplyLosesTheSeat(t *testing.T) {
	w, _ := healthy(t, replication.Limits{})
	w.propose(w.node(1), replication.OpID{}, "x")
	for range 30 { // Everything but applying at node 2.
		w.store(w.node(1), 10, true)
		w.store(w.node(2), 10, true)
		w.apply(w.node(1), 10)
		if len(w.net) > 0 {
			w.deliver(0, false)
		}
	}
	require.Equal(t, uint64(2), w.node(1).proc.r.Commit())
	require.Equal(t, uint64(1), w.node(1).proc.r.Visible())
	w.now += 9 * time.Second
	w.step(w.node(1), replication.Tick{})
	require.Empty(t, w.alters)
	w.now += time.Second
	w.step(w.node(1), replication.Tick{})
	require.Len(t, w.alters, 1)
	require.Equal(t, []peerID{1}, w.alters[0].InSync)
}

// TestRejoinBacksOff: a copy that is thrown out again and again stays out longer. What a node that can't be reached
// costs the others is soon over, so it doesn't stay out for as long as one that slows them down.
func TestRejoinBacksOff(t *testing.T) {
	for _, tt := range []struct {
		name   string
		burden func(w *world, p *play)
		end    func(w *world)
		want   []time.Duration
	}{
		{
			name: "full",
			burden: func(w *world, p *play) {
				w.step(w.node(2), replication.LogFull{Full: true})
				w.propose(w.node(1), replication.OpID{}, "x")
				p.settle()
			},
			end:  func(w *world) { w.step(w.node(2), replication.LogFull{}) },
			want: []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second},
		},
		{
			name: "cut off",
			burden: func(w *world, _ *play) {
				w.step(w.node(1), replication.LinkDown{Peer: 2, Incarnation: w.node(2).inc, Since: w.now})
				w.propose(w.node(1), replication.OpID{}, "x")
				w.now += 3 * time.Second
				w.step(w.node(1), replication.Tick{})
			},
			end: func(w *world) {
				w.step(w.node(1), replication.LinkUp{Peer: 2, Incarnation: w.node(2).inc})
			},
			want: []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p := healthy(t, replication.Limits{})
			leader, follower := w.node(1), w.node(2)
			var waits []time.Duration
			for range tt.want {
				tt.burden(w, p)
				require.Len(t, w.alters, 1)
				require.True(t, w.master.alter(w.alters[0]))
				w.alters = nil
				w.learnNewest(leader)
				out := w.now
				tt.end(w)
				p.settle()
				for len(w.alters) == 0 {
					at, ok := leader.proc.r.NextTick()
					require.True(t, ok)
					w.now = max(at, w.now)
					w.step(leader, replication.Tick{})
					p.settle()
				}
				waits = append(waits, w.now-out)
				require.True(t, w.master.alter(w.alters[0]))
				w.alters = nil
				w.learnNewest(leader)
				w.learnNewest(follower)
				p.settle()
			}
			require.Equal(t, tt.want, waits)
			require.NoError(t, w.wrong)
		})
	}
}

// TestListenerGetsNoSeat: a listener gets the log, and nobody waits for it.
func TestListenerGetsNoSeat(t *testing.T) {
	w := newWorld(2, 1, replication.Limits{})
	w.master.rec.Replicas[1].Kind = 2 // Listener
	w.master.rec.InSync = []peerID{1}
	w.master.changed()
	for _, n := range w.nodes {
		w.learnNewest(n)
	}
	w.propose(w.node(1), replication.OpID{}, "x")
	w.store(w.node(1), 10, true)
	require.Equal(t, uint64(2), w.node(1).proc.r.Commit())
	p := &play{w: w}
	p.settle()
	require.Equal(t, w.node(1).proc.log.last(), w.node(2).disk.log.last())
	w.now += time.Minute
	w.step(w.node(1), replication.Tick{})
	require.Empty(t, w.alters)
	require.True(t, w.node(1).proc.r.IsIdle())
	require.False(t, w.node(2).proc.r.Readable())
	pr, ok := w.node(1).proc.r.Progress(2)
	require.True(t, ok)
	require.Equal(t, replication.Progress{Durable: 2, Applied: 2, State: replication.PeerStreaming}, pr)
}

// TestContradictionsAreDamage: what can't be is said, and the copy does nothing more.
func TestContradictionsAreDamage(t *testing.T) {
	append2 := func(prev, entry replication.Position) replication.Message {
		return replication.Append{Prev: prev, Entries: []replication.Entry{{Position: entry, Kind: replication.Data}}}
	}
	for name, ev := range map[string]func(m func(replication.Message) replication.Event) replication.Event{
		"applied what isn't committed": func(func(replication.Message) replication.Event) replication.Event {
			return replication.Applied{Seq: 99}
		},
		"files nobody asked for": func(func(replication.Message) replication.Event) replication.Event {
			return replication.FilesInstalled{}
		},
		"a log that lost entries": func(func(replication.Message) replication.Event) replication.Event {
			return replication.Stored{Number: 99}
		},
		"damaged log": func(func(replication.Message) replication.Event) replication.Event { return replication.LogDamaged{} },
		"another entry in the place of one": func(m func(replication.Message) replication.Event) replication.Event {
			return m(append2(replication.Position{}, replication.Position{Epoch: 0, Seq: 1}))
		},
	} {
		w, _ := healthy(t, replication.Limits{})
		n := w.node(2)
		w.step(n, ev(func(m replication.Message) replication.Event {
			return replication.Received{Envelope: replication.Envelope{
				From: 1, To: 2, FromIncarnation: 1, ToIncarnation: 1, FromAlloc: 1, Epoch: 1, Message: m,
			}}
		}))
		require.True(t, n.proc.broken, name)
		require.Error(t, n.proc.r.Damaged(), name)
		var fx replication.Effects
		n.proc.r.Step(w.now, replication.ReadIndex{Token: 1}, &fx)
		require.Len(t, fx.Rejected, 1, name)
		require.False(t, n.proc.r.Readable(), name)
	}
}
