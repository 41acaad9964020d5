package p2p_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/server/p2p"
)

// write makes a certificate that vouches for itself, with a serial number to tell it by.
func write(t *testing.T, dir string, serial int64) p2p.CertificateFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	f := p2p.CertificateFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), TTL: time.Nanosecond}
	f.CA = f.Cert
	for name, block := range map[string]*pem.Block{f.Cert: {Type: "CERTIFICATE", Bytes: cert}, f.Key: {Type: "PRIVATE KEY", Bytes: rawKey}} {
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	}
	return f
}

func serial(t *testing.T, c *p2p.Certificates) int64 {
	t.Helper()
	require.Equal(t, c.Client().Certificates[0].Leaf.SerialNumber, c.Server().Certificates[0].Leaf.SerialNumber)
	return c.Client().Certificates[0].Leaf.SerialNumber.Int64()
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	f := write(t, dir, 1)
	c, err := p2p.LoadCertificates(f)
	require.NoError(t, err)
	require.EqualValues(t, 1, serial(t, c))
	write(t, dir, 2)
	require.EqualValues(t, 2, serial(t, c))
	require.NoError(t, os.WriteFile(f.Cert, []byte("half writ"), 0o600))
	require.EqualValues(t, 2, serial(t, c), "those read before stay in use")
	write(t, dir, 3)
	require.EqualValues(t, 3, serial(t, c))

	f.TTL = 0
	fixed, err := p2p.LoadCertificates(f)
	require.NoError(t, err)
	write(t, dir, 4)
	require.EqualValues(t, 3, serial(t, fixed))
}

func TestCertificatesThatArentThere(t *testing.T) {
	f := write(t, t.TempDir(), 1)
	for name, spoil := range map[string]func(*p2p.CertificateFiles){
		"the certificate for peers": func(f *p2p.CertificateFiles) { f.Cert += "x" },
		"the authority for peers":   func(f *p2p.CertificateFiles) { f.CA += "x" },
		"there is no certificate":   func(f *p2p.CertificateFiles) { f.CA = f.Key },
	} {
		spoiled := f
		spoil(&spoiled)
		_, err := p2p.LoadCertificates(spoiled)
		require.ErrorContains(t, err, name)
	}
}

// known answers at once.
type known struct{ peer.Handler }

func (known) Status(context.Context) (peer.Status, error) { return peer.Status{Term: 7}, nil }

func TestPeersWithCertificatesReachEachOther(t *testing.T) {
	c, err := p2p.LoadCertificates(write(t, t.TempDir(), 1))
	require.NoError(t, err)
	s := p2p.Serve(port(t), peer.ServerOptions{
		Self: peer.Identity{Cluster: "c", Peer: 2, Incarnation: 1}, Handler: known{}, TLS: c.Server,
	})
	defer s.Shutdown(t.Context())
	a := peer.NewAsk(peer.PoolOptions{Self: peer.Identity{Peer: 1}, TLS: c.Client}, s.Addr().String())
	defer a.Close()
	status, err := a.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, status.Term)

	foreign, err := p2p.LoadCertificates(write(t, t.TempDir(), 2))
	require.NoError(t, err)
	b := peer.NewAsk(peer.PoolOptions{Self: peer.Identity{Peer: 1}, TLS: foreign.Client}, s.Addr().String())
	defer b.Close()
	_, err = b.Status(t.Context())
	require.ErrorIs(t, err, peer.ErrUnreachable)
}
