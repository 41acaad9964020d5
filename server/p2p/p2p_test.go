package p2p_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/server/p2p"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow is a node whose status takes until it is let go.
type slow struct {
	peer.Handler // nothing else is called
	asked, let   chan struct{}
}

func (s slow) Status(context.Context) (peer.Status, error) {
	s.asked <- struct{}{}
	<-s.let
	return peer.Status{Term: 7}, nil
}

func port(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func TestShutdownWaitsForCalls(t *testing.T) {
	h := slow{asked: make(chan struct{}, 1), let: make(chan struct{})}
	s := p2p.Serve(port(t), peer.ServerOptions{
		Self: peer.Identity{Cluster: "c", Peer: 2, Incarnation: 1}, Handler: h,
	})
	a := peer.NewAsk(peer.PoolOptions{Self: peer.Identity{Peer: 1}}, s.Addr().String())
	defer a.Close()
	answered := make(chan error, 1)
	go func() {
		st, err := a.Status(context.Background())
		if err == nil && st.Term != 7 {
			err = context.Canceled
		}
		answered <- err
	}()
	<-h.asked
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Shutdown(ctx)
	}()
	require.Eventually(t, func() bool { // the port closes first
		c, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond)
	close(h.let)
	require.NoError(t, <-answered)
	<-stopped
	require.NoError(t, <-s.Failed())
}
