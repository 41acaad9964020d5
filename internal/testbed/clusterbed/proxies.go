package clusterbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/sextantdb/sextant/internal/testbed/faultproxy"
)

var errNoLinks = errors.New("the cluster was made without links that can be cut")

// proxies is a network of TCP proxies on the loopback: a front for each node, whose address
// the others are told, and behind it a proxy for each node that dials.
type proxies struct {
	running sync.WaitGroup

	mu     sync.Mutex
	nodes  []endpoint        // guarded by mu
	fronts []net.Listener    // guarded by mu
	ways   map[pair]*way     // guarded by mu: for connections that the first one dials
	open   map[net.Conn]bool // guarded by mu
	ended  bool              // guarded by mu
}

// endpoint is what must be known of a node: where it listens, and its directory, in which
// its process runs.
type endpoint struct{ addr, dir string }

type pair struct{ from, to int }

// way is a proxy and what is wrong with it.
type way struct {
	*faultproxy.Proxy
	faults faultproxy.Faults
}

func newProxies() *proxies { return &proxies{ways: map[pair]*way{}, open: map[net.Conn]bool{}} }

func (p *proxies) place(context.Context) (host string, wrap []string, err error) { return "", nil, nil }

// attach makes the front of a node and the proxies from and to all others.
func (p *proxies) attach(n *Node) error {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed
	if err != nil {
		return fmt.Errorf("listen in front of a node: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = append(p.nodes, endpoint{fmt.Sprintf("%s:%d", n.Host, n.P2P), n.Dir})
	p.fronts = append(p.fronts, l)
	for other := range n.Index {
		for _, w := range []pair{{other, n.Index}, {n.Index, other}} {
			proxy, err := faultproxy.New(p.nodes[w.to].addr)
			if err != nil {
				return err
			}
			p.ways[w] = &way{Proxy: proxy}
		}
	}
	n.SetURI("http://" + l.Addr().String())
	p.running.Go(func() { p.accept(l, n.Index) })
	return nil
}

// accept takes connections in front of a node.
func (p *proxies) accept(l net.Listener, to int) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // it is closed
		}
		p.running.Go(func() { p.serve(conn, to) })
	}
}

// serve hands a connection to the proxy of the one who dialled.
func (p *proxies) serve(in net.Conn, to int) {
	defer p.forget(in)
	if !p.remember(in) {
		return
	}
	target := p.behind(in, to)
	if target == "" {
		return
	}
	out, err := net.Dial("tcp", target) //nolint:noctx // to the loopback
	if err != nil {
		return
	}
	defer p.forget(out)
	if !p.remember(out) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pump(in, out) })
	both.Go(func() { pump(out, in) })
	both.Wait()
}

// behind returns the address of the proxy for a connection, "" when nobody knows whose it is.
func (p *proxies) behind(in net.Conn, to int) string {
	p.mu.Lock()
	nodes := p.nodes
	p.mu.Unlock()
	from := dialler(in, nodes)
	if from == to && from >= 0 {
		return nodes[to].addr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.ways[pair{from, to}]; w != nil {
		return w.Addr()
	}
	return ""
}

// pump carries one direction, and its end.
func pump(from, to net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(*net.TCPConn)
	if err != nil || !ok || half.CloseWrite() != nil {
		_, _ = from.Close(), to.Close() // nothing more is wanted of either
	}
}

// remember notes a connection, so that close ends it; false when it is too late.
func (p *proxies) remember(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.ended
}

func (p *proxies) forget(c net.Conn) {
	_ = c.Close() // nothing more is wanted of it
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// cut holds back what from says to to, on the connections of both.
func (p *proxies) cut(_ context.Context, from, to int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	dialled, taken := p.ways[pair{from, to}], p.ways[pair{to, from}]
	dialled.faults.Blackhole[faultproxy.ToTarget] = true
	dialled.Set(dialled.faults)
	taken.faults.Blackhole[faultproxy.FromTarget] = true
	taken.Set(taken.faults)
	return nil
}

func (p *proxies) heal(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.ways {
		w.faults = faultproxy.Faults{}
		w.Set(w.faults)
	}
	return nil
}

func (p *proxies) close(context.Context) error {
	p.mu.Lock()
	p.ended = true
	for _, l := range p.fronts {
		_ = l.Close() // the socket is closed whatever it says
	}
	for c := range p.open {
		_ = c.Close() // as above
	}
	p.mu.Unlock()
	for _, w := range p.ways {
		w.Close()
	}
	p.running.Wait()
	return nil
}
