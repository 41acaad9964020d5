// Package faultproxy is a TCP proxy that misbehaves on request, for tests: it stands
// between two nodes and refuses, cuts, delays, slows down or swallows what they say, in
// both directions or in one.
//
// What is swallowed isn't lost: a blackhole holds the bytes back, and when it is healed
// they go on, as TCP would send them again. New connections through a blackhole are
// accepted (the kernel does that) and silent.
//
// Callers: tests of cluster/ and below tests/.
package faultproxy

import (
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	chunkBytes = 32 << 10
	// underWay is how many chunks a direction of a connection holds.
	underWay = 64
)

// Direction is one way through the proxy.
type Direction int

// The directions.
const (
	// ToTarget is from the one who dialled to the one who listens.
	ToTarget Direction = iota
	// FromTarget is the way back.
	FromTarget
)

// Faults are what is wrong. The zero value is a good network.
type Faults struct {
	// Blackhole holds everything back in that direction.
	Blackhole [2]bool
	// Delay is added in each direction.
	Delay time.Duration
	// BytesPerSecond is how much each direction of each connection carries; 0 is no
	// limit.
	BytesPerSecond int
}

// Proxy forwards connections to a target. It is safe for concurrent use.
type Proxy struct {
	addr, target string
	running      sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	links    map[*link]bool
	faults   Faults
	changed  chan struct{} // closed when faults change
	closed   bool
}

// link is one connection through the proxy.
type link struct {
	once  sync.Once
	ended chan struct{}
	ends  [2]net.Conn
}

// close ends both sides, with a reset.
func (l *link) close() {
	l.once.Do(func() {
		close(l.ended)
		for _, c := range l.ends {
			if t, ok := c.(*net.TCPConn); ok {
				_ = t.SetLinger(0) // a reset is nicer, not needed
			}
			_ = c.Close() // nothing more is wanted of it
		}
	})
}

// New listens on a free port of the loopback and forwards to target. Close it.
func New(target string) (*Proxy, error) {
	p := &Proxy{addr: "127.0.0.1:0", target: target, links: make(map[*link]bool), changed: make(chan struct{})}
	if err := p.Heal(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where to dial.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// Heal makes the network good again: it listens and has no faults.
func (p *Proxy) Heal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setFaults(Faults{})
	if p.listener != nil || p.closed {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("can't listen again: %w", err)
	}
	p.addr, p.listener = l.Addr().String(), l
	p.running.Go(func() { p.accept(l) })
	return nil
}

// Set makes these the faults.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setFaults(f)
}

func (p *Proxy) setFaults(f Faults) {
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
}

// Blackhole holds back everything in both directions.
func (p *Proxy) Blackhole() { p.Set(Faults{Blackhole: [2]bool{true, true}}) }

// BlackholeOneWay holds back one direction.
func (p *Proxy) BlackholeOneWay(d Direction) {
	var f Faults
	f.Blackhole[d] = true
	p.Set(f)
}

// Cut breaks all connections; new ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Refuse breaks all connections and listens no more until Heal.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	l := p.listener
	p.listener = nil
	p.mu.Unlock()
	if l != nil {
		_ = l.Close() // the socket is closed whatever it says
	}
	p.Cut()
}

// Close ends everything and waits for it.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Refuse()
	p.running.Wait()
}

func (p *Proxy) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(l, in) })
	}
}

// serve forwards one connection. Nothing is dialled for one that came in while its
// listener was being closed.
func (p *Proxy) serve(from net.Listener, in net.Conn) {
	out, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		out = in // both ends are closed below
	}
	l := &link{ended: make(chan struct{}), ends: [2]net.Conn{in, out}}
	p.mu.Lock()
	if err != nil || p.listener != from {
		p.mu.Unlock()
		l.close()
		return
	}
	p.links[l] = true
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.forward(l, ToTarget, in, out) })
	both.Go(func() { p.forward(l, FromTarget, out, in) })
	both.Wait()
	l.close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// chunk is some bytes and when they arrive.
type chunk struct {
	data []byte
	due  time.Time
}

// forward carries one direction of a connection until it ends.
func (p *Proxy) forward(l *link, d Direction, from, to net.Conn) {
	chunks := make(chan chunk, underWay)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(chunks)
		for {
			buf := make([]byte, chunkBytes)
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case chunks <- chunk{buf[:n], time.Now().Add(p.delay())}:
				case <-l.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	defer reader.Wait()
	for c := range chunks {
		if !p.hold(l, d, c) {
			break
		}
		if _, err := to.Write(c.data); err != nil {
			break
		}
	}
	select {
	case <-l.ended:
	default:
		if t, ok := to.(*net.TCPConn); ok && p.hold(l, d, chunk{}) && t.CloseWrite() == nil {
			return
		}
	}
	l.close()
}

func (p *Proxy) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults.Delay
}

// hold waits until a chunk may go on; false when the connection ended.
func (p *Proxy) hold(l *link, d Direction, c chunk) bool {
	if !wait(l, time.Until(c.due)) {
		return false
	}
	for {
		p.mu.Lock()
		f, changed := p.faults, p.changed
		p.mu.Unlock()
		if f.Blackhole[d] {
			select {
			case <-changed:
				continue
			case <-l.ended:
				return false
			}
		}
		if f.BytesPerSecond > 0 {
			return wait(l, time.Duration(float64(len(c.data))/float64(f.BytesPerSecond)*float64(time.Second)))
		}
		return true
	}
}

// wait waits; false when the connection ended.
func wait(l *link, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ended:
		return false
	}
}
