//go:build linux && !race

package rawconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/mem"
)

// smallBytes is the longest write that is kept from the runtime. The kernel works
// on a longer one for a while, in which others could have the processor. (Reads
// copy what is there, which is at most a buffer of grpc-go.)
const smallBytes = 16 << 10

// Listen wraps the connections that l accepts. unacknowledged is how long data
// may stay without an answer of the other side's kernel before a connection is
// given up, 0 what the system does; grpc-go sets it from the keepalive timeout,
// but only on connections whose type it knows.
func Listen(l net.Listener, unacknowledged time.Duration) net.Listener {
	return &listener{Listener: l, unacknowledged: unacknowledged, pulse: newPulse()}
}

type listener struct {
	net.Listener

	unacknowledged time.Duration
	pulse          *pulse
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	if raw, err := l.prepare(tcp); err == nil {
		return newConn(tcp, raw, l.pulse), nil
	}
	// The connection is broken already, or can't be had like this: as it is, it
	// will say so itself, or work. An error from here would end the door.
	return c, nil
}

func (l *listener) prepare(c *net.TCPConn) (syscall.RawConn, error) {
	raw, err := c.SyscallConn()
	if err != nil || l.unacknowledged <= 0 {
		return raw, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(l.unacknowledged.Milliseconds()))
	})
	return raw, errors.Join(err, failed)
}

// conn is a TCP connection. The embedded interface shows nothing of the type
// inside, so that nobody reads or writes past it.
type conn struct {
	net.Conn

	raw   syscall.RawConn
	pulse *pulse
	in    reading
	out   writing
}

// reading is a read under way. It is kept, as is its function, so that a read
// allocates nothing.
type reading struct {
	mu  sync.Mutex
	try func(fd uintptr) bool

	into []byte // where to read to, or
	pool mem.BufferPool
	size int     // what to take from pool when there is something to read
	buf  *[]byte // taken

	n   int
	err syscall.Errno
}

// writing is a write under way.
type writing struct {
	mu  sync.Mutex
	try func(fd uintptr) bool

	left []byte
	err  syscall.Errno
}

func newConn(tcp net.Conn, raw syscall.RawConn, p *pulse) *conn {
	c := &conn{Conn: tcp, raw: raw, pulse: p}
	c.in.try, c.out.try = c.tryRead, c.tryWrite
	return c
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return c.Conn.Read(b)
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.into = b
	n, err := c.read()
	c.in.into = nil
	return n, err
}

// ReadOnReady reads into a buffer of the pool, which it takes when there is
// something to read. grpc-go looks for this method, so that connections at rest
// hold no buffers.
func (c *conn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.pool, c.in.size = pool, size
	n, err := c.read()
	buf := c.in.buf
	c.in.pool, c.in.buf = nil, nil
	if err != nil && buf != nil {
		pool.Put(buf)
		buf = nil
	}
	return buf, n, err
}

func (c *conn) read() (int, error) {
	c.in.n, c.in.err = 0, 0
	switch err := c.raw.Read(c.in.try); {
	case err != nil:
		return 0, err
	case c.in.err != 0:
		return 0, c.failed("read", c.in.err)
	case c.in.n == 0:
		return 0, io.EOF
	}
	return c.in.n, nil
}

// tryRead reads what is there; false is to wait for more.
func (c *conn) tryRead(fd uintptr) bool {
	b := c.in.into
	if b == nil {
		c.in.buf = c.in.pool.Get(c.in.size)
		b = *c.in.buf
	}
	c.in.n, c.in.err = c.call(syscall.SYS_READ, fd, b)
	if c.in.err != syscall.EAGAIN {
		return true
	}
	if c.in.buf != nil {
		c.in.pool.Put(c.in.buf)
		c.in.buf = nil
	}
	return false
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.left, c.out.err = b, 0
	err := c.raw.Write(c.out.try)
	if err == nil && c.out.err != 0 {
		err = c.failed("write", c.out.err)
	}
	n := len(b) - len(c.out.left)
	c.out.left = nil
	return n, err
}

// tryWrite writes until all is written; false is to wait for room.
func (c *conn) tryWrite(fd uintptr) bool {
	for len(c.out.left) > 0 {
		n, err := c.call(syscall.SYS_WRITE, fd, c.out.left)
		if err != 0 {
			c.out.err = err
			return err != syscall.EAGAIN
		}
		c.out.left = c.out.left[n:]
	}
	c.out.err = 0
	return true
}

// call reads or writes once.
func (c *conn) call(trap, fd uintptr, b []byte) (int, syscall.Errno) {
	raw := c.pulse.touch() && (trap == syscall.SYS_READ || len(b) <= smallBytes)
	for {
		var n uintptr
		var err syscall.Errno
		// Pointers may become numbers only within the call itself.
		if raw {
			n, _, err = syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		} else {
			n, _, err = syscall.Syscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		}
		switch err {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// failed looks like an error of the net package.
func (c *conn) failed(op string, err syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err),
	}
}
