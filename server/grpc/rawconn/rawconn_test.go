package rawconn_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/mem"

	"github.com/sextantdb/sextant/server/grpc/rawconn"
)

// clientOf names the address which this program, started again by a test, asks.
const clientOf = "RAWCONN_TEST_CLIENT_OF"

func TestMain(m *testing.M) {
	if address := os.Getenv(clientOf); address != "" {
		if err := client(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // the end of a program
		}
		return
	}
	os.Exit(m.Run()) //nolint:forbidigo // the end of a program
}

// pair returns both ends of a connection.
func pair(t *testing.T) (accepted, dialed net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l = rawconn.Listen(l, time.Minute)
	dialed, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	accepted, err = l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Cleanup(func() {
		_ = accepted.Close() // a test may have closed it
		_ = dialed.Close()
	})
	return accepted, dialed
}

// TestConn runs what the Go project asks of every connection: deadlines, closing
// under way, callers side by side.
func TestConn(t *testing.T) {
	for _, swap := range []bool{false, true} {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c1, c2 = pair(t)
			if swap {
				c1, c2 = c2, c1
			}
			return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
		})
	}
}

// TestLargeWrite sends more than fits into the buffers of the kernel.
func TestLargeWrite(t *testing.T) {
	accepted, dialed := pair(t)
	const size = 64 << 20
	var g errgroup.Group
	g.Go(func() error {
		n, err := accepted.Write(make([]byte, size))
		if n != size {
			err = errors.Join(err, fmt.Errorf("wrote %d bytes", n))
		}
		return errors.Join(err, accepted.Close())
	})
	n, err := io.Copy(io.Discard, dialed)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, g.Wait())
}

// pool counts the buffers that are out.
type pool struct{ out atomic.Int64 }

func (p *pool) Get(n int) *[]byte {
	p.out.Add(1)
	b := make([]byte, n)
	return &b
}

func (p *pool) Put(*[]byte) { p.out.Add(-1) }

// TestReadOnReady reads like grpc-go does, which must not keep a buffer for a
// connection that is silent, broken or at its end.
func TestReadOnReady(t *testing.T) {
	accepted, dialed := pair(t)
	c, ok := accepted.(interface {
		ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error)
	})
	if !ok {
		t.Skip("connections are not wrapped on this system, or with the race detector")
	}
	var p pool
	_, err := dialed.Write([]byte("hello"))
	require.NoError(t, err)
	b, n, err := c.ReadOnReady(100, &p)
	require.NoError(t, err)
	require.Equal(t, "hello", string((*b)[:n]))
	require.EqualValues(t, 1, p.out.Swap(0))

	require.NoError(t, accepted.SetReadDeadline(time.Now()))
	_, _, err = c.ReadOnReady(100, &p)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Zero(t, p.out.Load())
	require.NoError(t, accepted.SetReadDeadline(time.Time{}))

	require.NoError(t, dialed.Close())
	_, _, err = c.ReadOnReady(100, &p)
	require.ErrorIs(t, err, io.EOF)
	require.Zero(t, p.out.Load())
}

// TestReset reports a connection that the other side broke.
func TestReset(t *testing.T) {
	accepted, dialed := pair(t)
	require.NoError(t, dialed.(*net.TCPConn).SetLinger(0))
	require.NoError(t, dialed.Close())
	_, err := accepted.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "read", op.Op)
	_, err = accepted.Write(make([]byte, 1))
	require.Error(t, err)
}

// The lines of the test below.
const (
	compute = "compute"
	ask     = "ask"
	answer  = "answer"
)

// TestComputationsAreInterrupted lets a message start a computation on each
// processor, which lasts until a later message is answered. Somebody has to look
// at the network, and to take a processor from a computation, or that never
// happens. The other side is a process of its own, because its system calls would
// wake the runtime's monitor here.
func TestComputationsAreInterrupted(t *testing.T) {
	processors := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l = rawconn.Listen(l, 0)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), clientOf+"="+l.Addr().String())
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())

	var answered atomic.Bool
	var g errgroup.Group
	for range 3 {
		c, err := l.Accept()
		require.NoError(t, err)
		g.Go(func() error { return errors.Join(serve(c, &answered), c.Close()) })
	}
	require.NoError(t, g.Wait())
	require.NoError(t, cmd.Wait())
	require.NoError(t, l.Close())
}

// serve answers the lines of one connection.
func serve(c net.Conn, answered *atomic.Bool) error {
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		switch lines.Text() {
		case compute:
			for begun := time.Now(); !answered.Load(); {
				if time.Since(begun) > 10*time.Second {
					answered.Store(true)
					return errors.New("nothing interrupted a computation of 10 s")
				}
			}
		case ask:
			if _, err := fmt.Fprintln(c, answer); err != nil {
				return err
			}
			answered.Store(true)
		}
	}
	return lines.Err()
}

// client first lets the server fall asleep, then starts computations over two
// connections, and asks over a third.
func client(address string) error {
	var conns [3]net.Conn
	for i := range conns {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // the process ends anyway
		conns[i] = c
	}
	<-time.After(200 * time.Millisecond)
	for _, c := range conns[:2] {
		if _, err := fmt.Fprintln(c, compute); err != nil {
			return err
		}
	}
	<-time.After(200 * time.Millisecond) // both processors compute
	if _, err := fmt.Fprintln(conns[2], ask); err != nil {
		return err
	}
	line, err := bufio.NewReader(conns[2]).ReadString('\n')
	if err == nil && line != answer+"\n" {
		err = fmt.Errorf("was answered %q", line)
	}
	return err
}
