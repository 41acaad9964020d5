package peer_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/testbed/faultproxy"
)

func TestLanesKeepTheOrder(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	for i := range uint64(500) {
		p.SendRaft(two.Peer, binary.BigEndian.AppendUint64(nil, i), nil)
		p.SendReplication(envelope(i))
	}
	for i := range uint64(500) {
		require.Equal(t, i, binary.BigEndian.Uint64(next(t, n.raft)))
		require.Equal(t, envelope(i), next(t, n.replicated))
	}
	require.Empty(t, p.Failures())
}

func TestLargeMessagesGoInParts(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	big := bytes.Repeat([]byte("snapshot"), 700_000)
	sent := make(chan error, 1)
	p.SendRaft(two.Peer, big, func(err error) { sent <- err })
	require.NoError(t, next(t, sent))
	require.Equal(t, big, next(t, n.raft))

	e := envelope(1)
	e.Message = replication.Append{Entries: []replication.Entry{{Kind: replication.Data, Body: big}}, First: 5, Last: 5}
	p.SendReplication(e)
	p.SendReplication(envelope(2))
	require.Equal(t, e, next(t, n.replicated))
	require.Equal(t, envelope(2), next(t, n.replicated), "large messages keep their place among copies")
}

func TestTooLargeMessageEndsTheStreamOnly(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, MaxMessage: 2 << 20})
	p, _ := dial(t, addr)
	p.SendRaft(two.Peer, make([]byte, 8<<20), nil)
	reach(t, p, n, "small") // those before the stream ended are lost
}

func TestForeignEnvelopesAreDropped(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	for _, spoil := range []func(*replication.Envelope){
		func(e *replication.Envelope) { e.From = 3 },
		func(e *replication.Envelope) { e.FromIncarnation-- },
		func(e *replication.Envelope) { e.ToIncarnation-- },
	} {
		e := envelope(1)
		spoil(&e)
		p.SendReplication(e)
	}
	anyProcess := envelope(2)
	anyProcess.ToIncarnation = 0
	p.SendReplication(anyProcess)
	require.Equal(t, anyProcess, next(t, n.replicated))
}

func TestRefusedIsNoticedAndRestartToo(t *testing.T) {
	n := newNode()
	addr, stop := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, news := dial(t, addr)
	p.SendRaft(two.Peer, []byte("a"), nil)
	require.Equal(t, peer.Up{Peer: 2, Incarnation: 20}, next(t, news.up))
	next(t, n.raft)
	_, err := conn(t, p).Call(t.Context(), peer.Call{Shard: shard})
	require.NoError(t, err)

	stop()
	until(t, news.down, func(d peer.Down) bool { return sudden(d) == peer.Down{Peer: 2, Incarnation: 20, Refused: true} })
	_, err = conn(t, p).Call(t.Context(), peer.Call{Shard: shard})
	require.ErrorIs(t, err, peer.ErrUnreachable)

	again := two
	again.Incarnation++
	serve(t, addr, peer.ServerOptions{Handler: n, Self: again})
	require.Equal(t, peer.Up{Peer: 2, Incarnation: 21}, next(t, news.up))
	_, err = conn(t, p).Call(t.Context(), peer.Call{Shard: shard})
	require.NoError(t, err)
	p.SendRaft(two.Peer, []byte("b"), nil)
	until(t, n.raft, func(m []byte) bool { return string(m) == "b" })
}

func TestNeverReachedIsToldWithoutProcess(t *testing.T) {
	px := proxy(t, "127.0.0.1:1")
	px.Refuse()
	p, news := dial(t, px.Addr())
	sent := make(chan error, 1)
	p.SendRaft(two.Peer, []byte("a"), func(err error) { sent <- err })
	require.Equal(t, peer.Down{Peer: 2, Refused: true}, sudden(next(t, news.down)))
	require.Error(t, next(t, sent))
	require.Equal(t, uint64(1), p.Failures()[px.Addr()].Count)
}

func TestSilenceIsNoticedAndHealingToo(t *testing.T) {
	for name, hole := range map[string]func(*faultproxy.Proxy){
		"both":        func(p *faultproxy.Proxy) { p.Blackhole() },
		"to server":   func(p *faultproxy.Proxy) { p.BlackholeOneWay(faultproxy.ToTarget) },
		"from server": func(p *faultproxy.Proxy) { p.BlackholeOneWay(faultproxy.FromTarget) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, Timing: nervous})
			px := proxy(t, addr)
			p, news := dial(t, px.Addr(), func(o *peer.PoolOptions) { o.Timing = nervous })
			reach(t, p, n, "a")
			p.SendReplication(envelope(1))
			hole(px)
			require.Equal(t, peer.Down{Peer: 2, Incarnation: 20}, sudden(next(t, news.down)))
			require.NoError(t, px.Heal())
			reach(t, p, n, "b")
		})
	}
}

// sudden is news without its time.
func sudden(d peer.Down) peer.Down {
	d.Since = time.Time{}
	return d
}

// TestDownSaysSinceWhen: a peer that fell silent was heard of before that, one that was never reached was
// tried.
func TestDownSaysSinceWhen(t *testing.T) {
	begun := time.Now()
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, Timing: nervous})
	px := proxy(t, addr)
	p, news := dial(t, px.Addr(), func(o *peer.PoolOptions) { o.Timing = nervous })
	reach(t, p, n, "a")
	px.Blackhole()
	down := next(t, news.down)
	require.True(t, down.Since.After(begun))
	require.GreaterOrEqual(t, time.Since(down.Since), nervous.Silence, "it isn't when silence was noticed")

	q, news := dial(t, "127.0.0.1:1")
	before := time.Now()
	q.SendRaft(two.Peer, []byte("a"), nil)
	require.False(t, next(t, news.down).Since.Before(before))
}

// TestAPeerThatIsDownIsDialledUntilItIsThere, also when nothing is sent to it any more.
func TestAPeerThatIsDownIsDialledUntilItIsThere(t *testing.T) {
	n := newNode()
	addr, stop := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	short := nervous
	short.Idle = time.Millisecond
	p, news := dial(t, addr, func(o *peer.PoolOptions) { o.Timing = short })
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, n.raft)
	next(t, news.up)
	stop()
	pulse := time.NewTicker(time.Millisecond)
	defer pulse.Stop()
	for down := false; !down; {
		p.SendRaft(two.Peer, []byte("b"), nil)
		select {
		case <-news.down:
			down = true
		case <-pulse.C:
		}
	}
	serve(t, addr, peer.ServerOptions{Handler: n})
	require.Equal(t, peer.Up{Peer: 2, Incarnation: 20}, next(t, news.up))
}

func TestCutIsNotNews(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	px := proxy(t, addr)
	p, news := dial(t, px.Addr())
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, n.raft)
	px.Cut()
	reach(t, p, n, "b")
	require.Len(t, news.up, 1)
	require.Empty(t, news.down)
}

// TestAnyFaultsKeepTheOrder lets the network do whatever it can: what arrives is in order and
// arrives once, and when the network is well again, messages get through.
func TestAnyFaultsKeepTheOrder(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, Timing: nervous})
	px := proxy(t, addr)
	p, _ := dial(t, px.Addr(), func(o *peer.PoolOptions) { o.Timing = nervous })
	faults := []func(){
		px.Cut, px.Refuse, px.Blackhole,
		func() { px.BlackholeOneWay(faultproxy.ToTarget) },
		func() { px.BlackholeOneWay(faultproxy.FromTarget) },
		func() { px.Set(faultproxy.Faults{Delay: 20 * time.Millisecond}) },
		func() { px.Set(faultproxy.Faults{BytesPerSecond: 100_000}) },
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	sent, last := uint64(0), uint64(0)
	pulse := time.NewTicker(time.Millisecond)
	defer pulse.Stop()
	for range 15 {
		faults[r.IntN(len(faults))]()
		for range r.IntN(200) {
			sent++
			p.SendReplication(envelope(sent))
			<-pulse.C
		}
		require.NoError(t, px.Heal())
		for aim := sent; last <= aim; { // until one gets through that was sent from now on
			sent++
			p.SendReplication(envelope(sent))
			select {
			case e := <-n.replicated:
				round := e.Message.(replication.Confirm).Round
				require.Greater(t, round, last)
				last = round
			case <-pulse.C:
			}
		}
	}
}

func TestStalledReceiverCostsOnlyMessages(t *testing.T) {
	n := newNode()
	stalled := make(chan struct{})
	n.onReplicated = func() { <-stalled }
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, news := dial(t, addr, func(o *peer.PoolOptions) { o.QueueBytes = 1 << 20 })
	body := make([]byte, 64<<10)
	const sends = 1000 // 64 MB, eight times what windows and queue hold
	for i := range uint64(sends) {
		e := envelope(i)
		e.Message = replication.Append{First: i, Last: i, Entries: []replication.Entry{{Kind: replication.Data, Body: body}}}
		p.SendReplication(e) // the test hangs here if it blocks
	}
	dropped := p.Failures()[addr].Count
	require.NotZero(t, dropped)
	// The other lane isn't stalled.
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, n.raft)
	close(stalled)
	got := 0
	until(t, n.replicated, func(e replication.Envelope) bool {
		got++
		return e.Message.(replication.Append).First == sends-1
	})
	require.LessOrEqual(t, got, sends-int(dropped))
	require.Empty(t, news.down, "who is busy isn't gone")
}

func TestUnusedLaneCloses(t *testing.T) {
	n := newNode()
	addr, stop := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, news := dial(t, addr, func(o *peer.PoolOptions) { o.Timing.Idle = 50 * time.Millisecond })
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, n.raft)
	require.Eventually(t, func() bool { return peer.OpenLanes(conn(t, p)) == 0 }, patience, time.Millisecond)
	p.SendRaft(two.Peer, []byte("b"), nil)
	require.Equal(t, "b", string(next(t, n.raft)))
	require.Eventually(t, func() bool { return peer.OpenLanes(conn(t, p)) == 0 }, patience, time.Millisecond)
	stop()
	require.Len(t, news.up, 1)
	require.Empty(t, news.down, "who isn't used isn't watched")
}

func TestOlderProcessGivesWay(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	older, news := dial(t, addr)
	older.SendRaft(two.Peer, []byte("old"), nil)
	next(t, n.raft)
	next(t, news.up)
	newer, _ := dial(t, addr, func(o *peer.PoolOptions) { o.Self.Incarnation++ })
	newer.SendRaft(two.Peer, []byte("new"), nil)
	require.Equal(t, "new", string(next(t, n.raft)))
	require.Equal(t, peer.Down{Peer: 2, Incarnation: 20}, sudden(next(t, news.down)))
	require.Contains(t, lastError(t, older, addr), "isn't its latest, which is 11")
}

// lastError sends until that fails with a refusal.
func lastError(t *testing.T, p *peer.Pool, addr string) (text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		p.SendRaft(two.Peer, []byte("x"), nil)
		text = p.Failures()[addr].LatestError
		return text != ""
	}, patience, time.Millisecond)
	return text
}

func TestProcessBeforeTheRegisteredOneIsRefused(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{
		Handler: n, Latest: func(topology.PeerID) uint64 { return one.Incarnation + 1 },
	})
	p, _ := dial(t, addr)
	require.Contains(t, lastError(t, p, addr), "process 10 of peer 1 isn't its latest, which is 11")
	require.Empty(t, n.raft)
}

func TestAnotherAddressMeansNewConnections(t *testing.T) {
	a, b := newNode(), newNode()
	addrA, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: a})
	addrB, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: b})
	p, _ := dial(t, addrA)
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, a.raft)
	old := conn(t, p)
	require.NoError(t, p.Set(peer.Target{Peer: two.Peer, Addr: addrB}))
	p.SendRaft(two.Peer, []byte("b"), nil)
	require.Equal(t, "b", string(next(t, b.raft)))
	_, err := old.Status(t.Context())
	require.ErrorIs(t, err, peer.ErrDown, "nothing is dialled with connections that were given up")
	p.Remove(two.Peer)
	_, err = p.Peer(two.Peer)
	require.ErrorContains(t, err, "peer 2 isn't known")
	require.Error(t, p.Set(peer.Target{Peer: one.Peer, Addr: addrA}), "a node isn't its own peer")
}
