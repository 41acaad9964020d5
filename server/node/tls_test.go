package node_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/testbed/authority"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/node"
)

// secure makes the configuration of a node that speaks TLS.
func secure(t *testing.T, f authority.Files, environ ...string) *config.Config {
	t.Helper()
	return configure(t, t.TempDir(), append([]string{
		"QDRANT__SERVICE__ENABLE_TLS=true", "QDRANT__TLS__CERT=" + f.Cert, "QDRANT__TLS__KEY=" + f.Key, "QDRANT__TLS__CA_CERT=" + f.CA,
	}, environ...)...)
}

// ask asks both doors who they are, and returns the certificate's number that REST showed.
func ask(t *testing.T, n *node.Node, c *tls.Config) (serial int64, rest, grpcErr error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.Clone(), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+n.HTTPAddr()+"/", http.NoBody)
	require.NoError(t, err)
	resp, rest := client.Do(req)
	if rest == nil {
		require.Equal(t, "HTTP/2.0", resp.Proto)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		serial = resp.TLS.PeerCertificates[0].SerialNumber.Int64()
		require.NoError(t, resp.Body.Close())
	}
	conn, err := grpc.NewClient(n.GRPCAddr(), grpc.WithTransportCredentials(credentials.NewTLS(c.Clone())))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, grpcErr = pb.NewQdrantClient(conn).HealthCheck(t.Context(), &pb.HealthCheckRequest{})
	return serial, rest, grpcErr
}

func TestTLSAtBothDoors(t *testing.T) {
	a, dir := authority.New(t), t.TempDir()
	f, first := a.Issue(dir, "127.0.0.1")
	n := start(t, node.Options{Config: secure(t, f, "QDRANT__TLS__CERT_TTL=3600"), OpenDesk: newDesk().open})
	trusting, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err)
	serial, rest, rpc := ask(t, n, trusting.Client())
	require.NoError(t, rest)
	require.NoError(t, rpc)
	require.Equal(t, first, serial)

	other, _ := authority.New(t).Issue(t.TempDir(), "127.0.0.1")
	foreign, err := certificates.Load(certificates.Files{CA: other.CA})
	require.NoError(t, err)
	_, rest, rpc = ask(t, n, foreign.Client())
	require.ErrorContains(t, rest, "certificate")
	require.Equal(t, codes.Unavailable, status.Code(rpc))

	code, body := get(t, "http://"+n.HTTPAddr()+"/")
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, body, "HTTP request to an HTTPS server")
	conn := dial(t, n.GRPCAddr())
	_, err = pb.NewQdrantClient(conn).HealthCheck(t.Context(), &pb.HealthCheckRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))
}

func TestTLSDoorsShowNewCertificates(t *testing.T) {
	a, dir := authority.New(t), t.TempDir()
	f, first := a.Issue(dir, "127.0.0.1")
	n := start(t, node.Options{Config: secure(t, f, "QDRANT__TLS__CERT_TTL=1"), OpenDesk: newDesk().open})
	trusting, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err)
	serial, _, _ := ask(t, n, trusting.Client())
	require.Equal(t, first, serial)
	_, second := a.Issue(dir, "127.0.0.1")
	for serial != second {
		var rest, rpc error
		serial, rest, rpc = ask(t, n, trusting.Client())
		require.NoError(t, rest)
		require.NoError(t, rpc)
		require.Contains(t, []int64{first, second}, serial)
	}
}

func TestTLSClientsMustShowCertificates(t *testing.T) {
	a := authority.New(t)
	f, _ := a.Issue(t.TempDir(), "127.0.0.1")
	n := start(t, node.Options{
		Config:   secure(t, f, "QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE=true"),
		OpenDesk: newDesk().open,
	})
	nobody, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err)
	_, rest, rpc := ask(t, n, nobody.Client())
	require.Error(t, rest)
	require.Equal(t, codes.Unavailable, status.Code(rpc))

	mine, _ := a.Issue(t.TempDir(), "client")
	known, err := certificates.Load(certificates.Files{CA: f.CA, Cert: mine.Cert, Key: mine.Key})
	require.NoError(t, err)
	_, rest, rpc = ask(t, n, known.Client())
	require.NoError(t, rest)
	require.NoError(t, rpc)
}

func TestTLSCallersWhoSayNothingHoldNobodyUp(t *testing.T) {
	f, _ := authority.New(t).Issue(t.TempDir(), "127.0.0.1")
	n := start(t, node.Options{Config: secure(t, f), OpenDesk: newDesk().open})
	for _, addr := range []string{n.HTTPAddr(), n.GRPCAddr()} {
		silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		require.NoError(t, err)
		defer func() { require.NoError(t, silent.Close()) }()
	}
	trusting, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err)
	_, rest, rpc := ask(t, n, trusting.Client())
	require.NoError(t, rest)
	require.NoError(t, rpc)
	talk, err := new(net.Dialer).DialContext(t.Context(), "tcp", n.HTTPAddr())
	require.NoError(t, err)
	defer func() { require.NoError(t, talk.Close()) }()
	_, err = fmt.Fprint(talk, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	answer, err := bufio.NewReader(talk).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, answer, "400 Bad Request")
	_, _ = io.Copy(io.Discard, talk)
	require.NoError(t, n.Stop(context.Background()))
}

func TestTLSWithoutCertificates(t *testing.T) {
	_, err := node.Start(t.Context(), node.Options{
		Config: configure(t, t.TempDir(), "QDRANT__SERVICE__ENABLE_TLS=true", "QDRANT__TLS__CERT=/nowhere.pem"), OpenDesk: newDesk().open,
	})
	require.ErrorContains(t, err, "TLS for clients: read the certificate /nowhere.pem and its key")
}
