package peer_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/testbed/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute // how long a test waits for what must happen

// quick are times that let a broken connection be tried again soon; nobody is taken for
// silent because the machine is busy. With nervous, silence is noticed soon.
var (
	quick = peer.Timing{
		Beat: 20 * time.Millisecond, Silence: 20 * time.Second, Connect: 20 * time.Second,
		BackoffBase: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	}
	nervous = peer.Timing{
		Beat: 20 * time.Millisecond, Silence: 300 * time.Millisecond, Connect: 500 * time.Millisecond,
		BackoffBase: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	}
)

var shard = topology.ShardName{Collection: "c-1", Shard: 3}

// node is a Handler that remembers; its answers may be replaced.
type node struct {
	raft         chan []byte
	replicated   chan replication.Envelope
	onReplicated func()
	call         func(context.Context, peer.From, peer.Call) ([]byte, error)
	exports      *transfer.Exports
}

func newNode() *node {
	return &node{
		raft: make(chan []byte, 1000), replicated: make(chan replication.Envelope, 100000),
		call: func(_ context.Context, from peer.From, r peer.Call) ([]byte, error) {
			return fmt.Appendf(nil, "%d: %v %d %d %s", from.Peer, r.Shard, r.At, r.Kind, r.Request), nil
		},
	}
}

func (n *node) OnRaft(_ peer.From, all [][]byte) {
	for _, m := range all {
		n.raft <- m
	}
}

func (n *node) OnReplication(_ peer.From, all []replication.Envelope) {
	if n.onReplicated != nil {
		n.onReplicated()
	}
	for _, e := range all {
		n.replicated <- e
	}
}

func (n *node) Join(_ context.Context, j peer.Join) (peer.Joined, error) {
	if j.Zone == "full" {
		return peer.Joined{}, apierror.New(apierror.Precondition, "there is no room in %q", j.Zone)
	}
	return peer.Joined{Cluster: "here", Members: []peer.Member{{Peer: 2, URI: "http://two:6335"}, {Peer: j.Peer, URI: j.URI}}}, nil
}

func (n *node) Heartbeat(_ context.Context, from peer.From, h peer.Heartbeat) (peer.HeartbeatAnswer, error) {
	answer := fmt.Appendf(nil, "%d.%d %s %s", from.Peer, h.Incarnation, h.Load, h.Digest)
	return peer.HeartbeatAnswer{Leader: 7, Answer: answer}, nil
}

func (n *node) Call(ctx context.Context, from peer.From, r peer.Call) ([]byte, error) {
	return n.call(ctx, from, r)
}

func (n *node) Command(_ context.Context, _ peer.From, c []byte) (peer.Commanded, error) {
	return peer.Commanded{Index: 9, Result: c}, nil
}

func (n *node) Status(context.Context) (peer.Status, error) {
	return peer.Status{Identity: two, Version: 1, Leader: 7, Term: 3, Applied: 11}, nil
}

func (n *node) SendFiles(ctx context.Context, _ peer.From, r transfer.Request, send func(transfer.Chunk) error) error {
	return n.exports.Send(ctx, r, send)
}

var (
	one = peer.Identity{Cluster: "here", Peer: 1, Incarnation: 10}
	two = peer.Identity{Cluster: "here", Peer: 2, Incarnation: 20}
)

// serve starts a server on addr ("127.0.0.1:0" for any) and returns where and how to stop it.
func serve(t *testing.T, addr string, o peer.ServerOptions) (string, func()) {
	t.Helper()
	if o.Self == (peer.Identity{}) {
		o.Self = two
	}
	if o.Timing == (peer.Timing{}) {
		o.Timing = quick
	}
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	s := peer.NewServer(o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			s.Shutdown(ctx)
			require.NoError(t, <-served)
		})
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// news collects what a pool tells.
type news struct {
	up   chan peer.Up
	down chan peer.Down
}

// dial makes node one's pool with node two in it.
func dial(t *testing.T, addr string, change ...func(*peer.PoolOptions)) (*peer.Pool, news) {
	t.Helper()
	n := news{up: make(chan peer.Up, 100), down: make(chan peer.Down, 100)}
	o := peer.PoolOptions{
		Self: one, Timing: quick,
		OnUp:   func(u peer.Up) { n.up <- u },
		OnDown: func(d peer.Down) { n.down <- d },
	}
	for _, c := range change {
		c(&o)
	}
	p := peer.NewPool(o)
	t.Cleanup(p.Close)
	require.NoError(t, p.Set(peer.Target{Peer: two.Peer, Addr: addr}))
	return p, n
}

func conn(t *testing.T, p *peer.Pool) *peer.Conn {
	t.Helper()
	c, err := p.Peer(two.Peer)
	require.NoError(t, err)
	return c
}

// next waits for what must come.
func next[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("no %T came", v)
	}
	return v
}

// until waits for the one that fits.
func until[T any](t *testing.T, ch <-chan T, fits func(T) bool) {
	t.Helper()
	for !fits(next(t, ch)) {
	}
}

// reach sends until a message arrives.
func reach(t *testing.T, p *peer.Pool, n *node, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		p.SendRaft(two.Peer, []byte(text), nil)
		for {
			select {
			case m := <-n.raft:
				if string(m) == text {
					return true
				}
			default:
				return false
			}
		}
	}, patience, 10*time.Millisecond)
}

func proxy(t *testing.T, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(target)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func envelope(round uint64) replication.Envelope {
	return replication.Envelope{
		From: one.Peer, FromIncarnation: one.Incarnation, To: two.Peer, ToIncarnation: two.Incarnation, Shard: shard,
		Message: replication.Confirm{Round: round},
	}
}
