package p2p_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/testbed/authority"
	"github.com/sextantdb/sextant/server/p2p"
)

// known answers at once.
type known struct{ peer.Handler }

func (known) Status(context.Context) (peer.Status, error) { return peer.Status{Term: 7}, nil }

func certified(t *testing.T) *certificates.Certificates {
	t.Helper()
	f, _ := authority.New(t).Issue(t.TempDir(), "127.0.0.1")
	c, err := certificates.Load(certificates.Files{Cert: f.Cert, Key: f.Key, CA: f.CA, AskCallers: true})
	require.NoError(t, err)
	return c
}

func TestPeersWithCertificatesReachEachOther(t *testing.T) {
	c := certified(t)
	s := p2p.Serve(port(t), peer.ServerOptions{
		Self: peer.Identity{Cluster: "c", Peer: 2, Incarnation: 1}, Handler: known{}, TLS: c.Server,
	})
	defer s.Shutdown(t.Context())
	a := peer.NewAsk(peer.PoolOptions{Self: peer.Identity{Peer: 1}, TLS: c.Client}, s.Addr().String())
	defer a.Close()
	status, err := a.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, status.Term)

	b := peer.NewAsk(peer.PoolOptions{Self: peer.Identity{Peer: 1}, TLS: certified(t).Client}, s.Addr().String())
	defer b.Close()
	_, err = b.Status(t.Context())
	require.ErrorIs(t, err, peer.ErrUnreachable)
}
