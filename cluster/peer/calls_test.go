package peer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/internal/apierror"
)

func TestCalls(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	c := conn(t, p)

	answer, err := c.Call(t.Context(), peer.Call{Shard: shard, At: 8, Kind: 1, Request: []byte("q")})
	require.NoError(t, err)
	require.Equal(t, "1: {c-1 3} 8 1 q", string(answer))

	beat, err := c.Heartbeat(t.Context(), peer.Heartbeat{Incarnation: 10, Load: []byte("load"), Digest: []byte("digest")})
	require.NoError(t, err)
	require.Equal(t, peer.HeartbeatAnswer{Leader: 7, Answer: []byte("1.10 load digest")}, beat)

	commanded, err := c.Command(t.Context(), []byte("command"))
	require.NoError(t, err)
	require.Equal(t, peer.Commanded{Index: 9, Result: []byte("command")}, commanded)

	status, err := c.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, peer.Status{Identity: two, Version: 1, Leader: 7, Term: 3, Applied: 11}, status)
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	fail := func(err error) error {
		n.call = func(context.Context, peer.From, peer.Call) ([]byte, error) { return nil, err }
		_, got := conn(t, p).Call(t.Context(), peer.Call{})
		require.Error(t, got)
		return got
	}
	for kind := apierror.Internal; kind <= apierror.Inference; kind++ {
		want := apierror.New(kind, "it's %d", kind)
		got := fail(fmt.Errorf("around it: %w", want))
		require.Equal(t, kind, apierror.KindOf(got))
		require.Equal(t, want.Error(), got.Error())
	}
	require.Equal(t, "Service internal error: plain", fail(errors.New("plain")).Error())
	require.Equal(t, apierror.Timeout, apierror.KindOf(fail(context.DeadlineExceeded)))
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	n := newNode()
	ended := make(chan error, 1)
	n.call = func(ctx context.Context, _ peer.From, _ peer.Call) ([]byte, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := conn(t, p).Call(ctx, peer.Call{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, apierror.Timeout, apierror.KindOf(err))
	require.Error(t, next(t, ended))

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = conn(t, p).Call(ctx, peer.Call{})
	require.ErrorIs(t, err, context.Canceled)
}

// The deadline of a call passes on both sides. What the caller gets doesn't depend on who notices first.
func TestDeadlineThatTheHandlerNotices(t *testing.T) {
	n := newNode()
	n.call = func(context.Context, peer.From, peer.Call) ([]byte, error) {
		return nil, context.DeadlineExceeded
	}
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	_, err := conn(t, p).Call(t.Context(), peer.Call{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, apierror.Timeout, apierror.KindOf(err))
}

func TestCallsFailAtOnceWhileThePeerIsDown(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	px := proxy(t, addr)
	// The breaker stays open for hours, unless a lane reaches the peer.
	p, news := dial(t, px.Addr(), func(o *peer.PoolOptions) { o.Timing.BackoffMax = time.Hour; o.Timing.BackoffBase = time.Hour })
	px.Refuse()
	_, err := conn(t, p).Status(t.Context())
	require.ErrorIs(t, err, peer.ErrUnreachable)
	require.NotErrorIs(t, err, peer.ErrDown, "the first one tried")
	_, err = conn(t, p).Status(t.Context())
	require.ErrorIs(t, err, peer.ErrDown)
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	require.NoError(t, px.Heal())
	_, err = conn(t, p).Status(t.Context())
	require.ErrorIs(t, err, peer.ErrDown)
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, news.up)
	_, err = conn(t, p).Status(t.Context())
	require.NoError(t, err)
}

func TestCallUnderWayEndsWhenThePeerFallsSilent(t *testing.T) {
	n := newNode()
	began := make(chan struct{}, 1)
	n.call = func(ctx context.Context, _ peer.From, _ peer.Call) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, Timing: nervous})
	px := proxy(t, addr)
	p, _ := dial(t, px.Addr(), func(o *peer.PoolOptions) { o.Timing = nervous })
	reach(t, p, n, "a")
	failed := make(chan error, 1)
	c := conn(t, p)
	go func() {
		_, err := c.Call(context.Background(), peer.Call{})
		failed <- err
	}()
	next(t, began)
	px.Blackhole()
	require.ErrorIs(t, next(t, failed), peer.ErrUnreachable)
}

func TestAskBeforeJoining(t *testing.T) {
	n := newNode()
	addr, stop := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, Keys: []string{"secret", "next"}})
	a := peer.NewAsk(peer.PoolOptions{Self: peer.Identity{Peer: 9, Incarnation: 1}, Keys: []string{"before", "secret"}, Timing: quick}, addr)
	defer a.Close()
	status, err := a.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, two, status.Identity)
	joined, err := a.Join(t.Context(), peer.Join{Peer: 9, URI: "http://nine:6335", Incarnation: 1})
	require.NoError(t, err)
	require.Equal(t, peer.Joined{Cluster: "here", Members: []peer.Member{{Peer: 2, URI: "http://two:6335"}, {Peer: 9, URI: "http://nine:6335"}}}, joined)
	_, err = a.Join(t.Context(), peer.Join{Zone: "full"})
	require.Equal(t, apierror.Precondition, apierror.KindOf(err))
	stop()
	_, err = a.Status(t.Context())
	require.ErrorContains(t, err, "node at "+addr+" is unreachable")
}

func TestHandshakesThatDontFit(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, Keys: []string{"secret", "next"}})
	good := func(o *peer.PoolOptions) { o.Keys = []string{"next"} }
	for name, c := range map[string]struct {
		options func(*peer.PoolOptions)
		target  peer.Target
		reason  peer.RefusedReason
		text    string
	}{
		"no key":        {func(o *peer.PoolOptions) { o.Keys = nil }, peer.Target{Peer: 2}, peer.RefusedKey, "no api key"},
		"other key":     {func(o *peer.PoolOptions) { o.Keys = []string{"secret2", "3"} }, peer.Target{Peer: 2}, peer.RefusedKey, "another api key"},
		"other cluster": {func(o *peer.PoolOptions) { o.Self.Cluster = "there" }, peer.Target{Peer: 2}, peer.RefusedCluster, `cluster "here", the caller wants "there"`},
		"no cluster":    {func(o *peer.PoolOptions) { o.Self.Cluster = "" }, peer.Target{Peer: 2}, peer.RefusedCluster, `cluster "here"`},
		"other peer":    {good, peer.Target{Peer: 3}, peer.RefusedPeer, "peer 2, the caller wants 3"},
		"same peer":     {func(o *peer.PoolOptions) { o.Self.Peer = 2; o.Self.Incarnation = 5 }, peer.Target{Peer: 3}, peer.RefusedPeer, "the caller wants 3"},
		"nobody":        {func(o *peer.PoolOptions) { o.Self.Peer = 0 }, peer.Target{Peer: 2}, peer.RefusedMalformed, "which peer it is"},
		"other process": {good, peer.Target{Peer: 2, Incarnation: 19}, peer.RefusedIncarnation, "process 20 of peer 2, the caller wants process 19"},
	} {
		t.Run(name, func(t *testing.T) {
			o := peer.PoolOptions{Self: one, Keys: []string{"secret"}, Timing: quick}
			c.options(&o)
			p := peer.NewPool(o)
			defer p.Close()
			c.target.Addr = addr
			require.NoError(t, p.Set(c.target))
			cc, err := p.Peer(c.target.Peer)
			require.NoError(t, err)
			_, err = cc.Call(t.Context(), peer.Call{})
			refused, ok := errors.AsType[*peer.Refused](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.reason, refused.Reason)
			require.Contains(t, refused.Text, c.text)
			_, err = cc.Call(t.Context(), peer.Call{})
			require.NotErrorIs(t, err, peer.ErrDown, "who refuses isn't down")

			e := envelope(1)
			e.To = c.target.Peer
			p.SendReplication(e)
			require.Eventually(t, func() bool { return p.Failures()[addr].Count > 0 }, patience, time.Millisecond)
			require.Contains(t, p.Failures()[addr].LatestError, c.text)
		})
	}
	require.Empty(t, n.replicated)
}

func TestControlLaneReachesAnyProcess(t *testing.T) {
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, news := dial(t, addr)
	require.NoError(t, p.Set(peer.Target{Peer: 2, Addr: addr, Incarnation: 19}))
	p.SendRaft(two.Peer, []byte("a"), nil)
	next(t, n.raft)
	require.Equal(t, peer.Up{Peer: 2, Incarnation: 20}, next(t, news.up))
	_, err := conn(t, p).Status(t.Context())
	require.NoError(t, err)
	_, err = conn(t, p).Call(t.Context(), peer.Call{})
	require.ErrorContains(t, err, "the caller wants process 19")
	require.NoError(t, p.Set(peer.Target{Peer: 2, Addr: addr, Incarnation: 20}))
	_, err = conn(t, p).Call(t.Context(), peer.Call{})
	require.NoError(t, err)
}
