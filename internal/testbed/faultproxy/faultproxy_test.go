package faultproxy_test

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sextantdb/sextant/internal/testbed/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers with what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c) // it ends with the connection
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-done
	})
	return l.Addr().String()
}

func start(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(echo(t))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := c.Write([]byte(text))
	require.NoError(t, err)
	hear(t, c, text)
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func TestForwards(t *testing.T) {
	p := start(t)
	c := dial(t, p)
	say(t, c, "hello")
	p.Set(faultproxy.Faults{Delay: time.Millisecond, BytesPerSecond: 1 << 20})
	say(t, c, "again")
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestRefuseAndHeal(t *testing.T) {
	p := start(t)
	c := dial(t, p)
	say(t, c, "hello")
	p.Refuse()
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = net.Dial("tcp", p.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, p.Heal())
	say(t, dial(t, p), "back")
}

func TestCutTakesNewConnections(t *testing.T) {
	p := start(t)
	c := dial(t, p)
	say(t, c, "hello")
	p.Cut()
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	say(t, dial(t, p), "back")
}

func TestBlackholeHoldsBack(t *testing.T) {
	for name, hole := range map[string]func(*faultproxy.Proxy){
		"both":        func(p *faultproxy.Proxy) { p.Blackhole() },
		"to target":   func(p *faultproxy.Proxy) { p.BlackholeOneWay(faultproxy.ToTarget) },
		"from target": func(p *faultproxy.Proxy) { p.BlackholeOneWay(faultproxy.FromTarget) },
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			c := dial(t, p)
			say(t, c, "hello")
			hole(p)
			_, err := c.Write([]byte("late"))
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing may come")
			require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
			require.NoError(t, p.Heal())
			hear(t, c, "late")
		})
	}
}
