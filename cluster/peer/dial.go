package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Flow control: so much may be under way before the other side has read it.
const (
	streamWindow = 8 << 20
	connWindow   = 16 << 20
	ioBuffer     = 64 << 10
)

// dialer makes connections and remembers how the last try went.
type dialer struct {
	timing Timing
	mu     sync.Mutex
	err    error
}

func (d *dialer) dial(ctx context.Context, addr string) (net.Conn, error) {
	// A connection that carries nothing is asked for a sign of life each second, so that a
	// peer that vanished while a call waits for its answer is noticed.
	nd := net.Dialer{
		Timeout: d.timing.Connect,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: time.Second, Interval: time.Second, Count: 2,
		},
	}
	conn, err := nd.DialContext(ctx, "tcp", addr)
	d.mu.Lock()
	d.err = err
	d.mu.Unlock()
	return conn, err
}

// refused tells whether nobody listened at the last try.
func (d *dialer) refused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Is(d.err, syscall.ECONNREFUSED)
}

// newClient makes a connection that dials when it is used, and again when it broke.
func newClient(addr string, tlsConfig func() *tls.Config, d *dialer) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if tlsConfig != nil {
		creds = freshTLS{TransportCredentials: credentials.NewTLS(tlsConfig()), config: tlsConfig}
	}
	t := d.timing
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(d.dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: t.BackoffBase, Multiplier: 2, Jitter: .3, MaxDelay: t.BackoffMax},
			MinConnectTimeout: t.Connect,
		}),
		// The interval is the least that is allowed; the timeout is what counts: it bounds how
		// long sent bytes may stay unacknowledged.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: t.Silence}),
		grpc.WithIdleTimeout(t.Idle),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithReadBufferSize(ioBuffer),
		grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
}

// freshTLS asks for the configuration with each connection, so that certificates may
// change.
type freshTLS struct {
	credentials.TransportCredentials
	config func() *tls.Config
}

// ClientHandshake does the TLS handshake of a new connection.
func (f freshTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(f.config()).ClientHandshake(ctx, authority, raw)
}

// Clone copies the credentials.
func (f freshTLS) Clone() credentials.TransportCredentials {
	return freshTLS{TransportCredentials: f.TransportCredentials.Clone(), config: f.config}
}

// serverTLS is the same for the called side.
func serverTLS(config func() *tls.Config) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := config().Clone()
			c.NextProtos = []string{"h2"}
			return c, nil
		},
	})
}
