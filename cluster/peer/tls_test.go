package peer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
)

// certificate is one that only vouches for itself.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

func TestTLSInBothDirectionsAndRenewed(t *testing.T) {
	var current atomic.Pointer[tls.Config]
	current.Store(certificate(t))
	n := newNode()
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n, TLS: current.Load})
	px := proxy(t, addr)
	p, _ := dial(t, px.Addr(), func(o *peer.PoolOptions) { o.TLS = current.Load })
	reach(t, p, n, "a")
	_, err := conn(t, p).Status(t.Context())
	require.NoError(t, err)

	plain, _ := dial(t, addr)
	_, err = conn(t, plain).Status(t.Context())
	require.ErrorIs(t, err, peer.ErrUnreachable)
	old := current.Load()
	stranger, _ := dial(t, addr, func(o *peer.PoolOptions) {
		o.TLS = func() *tls.Config { return &tls.Config{RootCAs: old.RootCAs, MinVersion: tls.VersionTLS12} }
	})
	_, err = conn(t, stranger).Status(t.Context())
	require.ErrorIs(t, err, peer.ErrUnreachable, "there is no client certificate")

	current.Store(certificate(t))
	px.Cut() // new connections have the new certificate on both sides
	reach(t, p, n, "b")
	require.Eventually(t, func() bool {
		_, err := conn(t, p).Status(t.Context())
		return err == nil
	}, patience, time.Millisecond)
	outdated, _ := dial(t, addr, func(o *peer.PoolOptions) { o.TLS = func() *tls.Config { return old } })
	_, err = conn(t, outdated).Status(t.Context())
	require.ErrorIs(t, err, peer.ErrUnreachable)
}
