//go:build linux && !race

package rawconn

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestUnacknowledged reads back what grpc-go would have set on a connection that
// isn't wrapped.
func TestUnacknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l = Listen(l, 20*time.Second)
	dialed, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	var ms int
	var failed error
	require.NoError(t, accepted.(*conn).raw.Control(func(fd uintptr) {
		ms, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}))
	require.NoError(t, failed)
	require.Equal(t, 20_000, ms)
	require.NoError(t, accepted.Close())
	require.NoError(t, dialed.Close())
	require.NoError(t, l.Close())
}
