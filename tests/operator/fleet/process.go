package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant/agent"
	"github.com/sextantdb/sextant/client"
)

// The ports of a pod.
const (
	restPort  = "6333"
	agentPort = "5001"
)

// The variables that a process reads.
const (
	envURI       = "QDRANT_URI"
	envBootstrap = "QDRANT_BOOTSTRAP"
	envKey       = "QDRANT__SERVICE__API_KEY"
)

// Start says what process to start.
type Start struct {
	// IP is where it listens, an address of the loopback interface.
	IP string
	// Disk is what it works on.
	Disk string
	// Env are the variables of its container.
	Env map[string]string
	// Version is what it says it is.
	Version string
	// TLS are the files of a certificate, none for a node that speaks HTTP.
	TLS *Certificate
}

// Certificate is a certificate with its key, and the authority that the agent trusts. All are PEM.
type Certificate struct {
	Cert, Key, CA []byte
}

// configs are what a node needs to serve, and its agent to ask it.
func (c *Certificate) configs() (serve, ask *tls.Config, err error) {
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("read the certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CA) {
		return nil, nil, errors.New("the authority is no certificate in PEM")
	}
	serve = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	return serve, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// Process is a node in a pod, with the agent beside it.
type Process struct {
	w       *World
	host    string
	uri     string
	ip      string
	key     string
	version string
	// bootstrap is whom to join, found that it founds instead.
	bootstrap []string
	found     bool
	stop      context.CancelFunc
	ended     chan struct{}

	// Guarded by the world's mu:
	disk *disk
	cut  bool
	// ending is after SIGTERM; removed is a node that its cluster has removed.
	ending, removed bool
	ready           bool
}

// Start starts a process.
func (w *World) Start(s Start) (*Process, error) {
	uri := s.Env[envURI]
	if hostOf(uri) == "" {
		return nil, fmt.Errorf("%s is %q: a node needs its address", envURI, uri)
	}
	bootstrap, decided := s.Env[envBootstrap]
	if !decided {
		return nil, errors.New(envBootstrap + " is missing: nothing says whether the node founds a cluster or joins one")
	}
	p := &Process{
		w: w, host: hostOf(uri), uri: uri, ip: s.IP, key: s.Env[envKey], version: s.Version, ended: make(chan struct{}),
		found: bootstrap == "", bootstrap: strings.FieldsFunc(bootstrap, func(r rune) bool { return r == ',' }),
	}
	rest, err := net.Listen("tcp", net.JoinHostPort(s.IP, restPort))
	if err != nil {
		return nil, fmt.Errorf("listen for REST: %w", err)
	}
	beside, err := net.Listen("tcp", net.JoinHostPort(s.IP, agentPort))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the agent: %w", err), rest.Close())
	}
	if err := w.attach(p, s.Disk); err != nil {
		return nil, errors.Join(err, rest.Close(), beside.Close())
	}
	if err := p.serve(s.TLS, rest, beside); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// attach lets a process use a disk.
func (w *World) attach(p *Process, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.disks[name]
	if d == nil {
		d = &disk{name: name}
		w.disks[name] = d
	}
	if d.user != nil {
		w.violate("disk %s is used by %s and by %s", name, d.user.host, p.host)
		return fmt.Errorf("disk %s is in use", name)
	}
	d.user, p.disk = p, d
	if d.peer != 0 {
		if m := d.cluster.members[d.peer]; m != nil {
			m.uri = p.uri
		}
	}
	w.processes[p] = true
	return nil
}

// serve answers on both ports until the process ends.
func (p *Process) serve(certificate *Certificate, rest, beside net.Listener) error {
	node, rest, err := p.secure(certificate, rest)
	if err != nil {
		p.stop = func() {}
		close(p.ended)
		return errors.Join(err, rest.Close(), beside.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var both sync.WaitGroup
	both.Go(func() { _ = srv.Serve(rest) })
	both.Go(func() { _ = agent.New(agent.Options{Node: node}).Serve(ctx, beside) })
	p.stop = func() {
		stop()
		_ = srv.Close()
	}
	go func() {
		both.Wait()
		node.Close()
		close(p.ended)
	}()
	return nil
}

// secure makes the agent's client, and has the listener speak TLS where the node does.
func (p *Process) secure(certificate *Certificate, rest net.Listener) (*client.Client, net.Listener, error) {
	o := client.Options{
		URL: "http://" + net.JoinHostPort(p.ip, restPort), Key: func() string { return p.key }, Timeout: 2 * time.Second,
	}
	if certificate != nil {
		serve, ask, err := certificate.configs()
		if err != nil {
			return nil, rest, err
		}
		rest = tls.NewListener(rest, serve)
		o.URL, o.ServerName, o.TLS = "https"+o.URL[len("http"):], p.host, func() *tls.Config { return ask }
	}
	node, err := client.New(o)
	if err != nil {
		return nil, rest, fmt.Errorf("make the agent's client: %w", err)
	}
	return node, rest, nil
}

// enter has a process without a cluster found one, or join one.
func (w *World) enter(p *Process) {
	d := p.disk
	if d.peer != 0 {
		p.removed = d.cluster.members[d.peer] == nil
		return
	}
	if p.cut || p.ending {
		return
	}
	if p.found {
		w.lastPeer++
		c := &cluster{id: uuid.NewString(), term: 1, members: map[uint64]*member{w.lastPeer: {uri: p.uri}}, leader: w.lastPeer}
		for _, other := range w.clusters {
			w.violate("%s founded the cluster %s where there is already %s", p.host, c.id, other.id)
		}
		w.clusters = append(w.clusters, c)
		d.cluster, d.peer = c, w.lastPeer
		return
	}
	for _, other := range w.sorted() {
		c := other.disk.cluster
		if other == p || c == nil || other.cut || other.removed || other.disk.peer == 0 || !p.asks(other) {
			continue
		}
		if c.join(w.lastPeer+1, p.uri, w.alive(c)) == nil {
			w.lastPeer++
			d.cluster, d.peer = c, w.lastPeer
			return
		}
	}
}

// asks tells whether the process would find another one under the addresses that it was told.
func (p *Process) asks(other *Process) bool {
	return slices.ContainsFunc(p.bootstrap, func(uri string) bool {
		host := hostOf(strings.TrimSpace(uri))
		return host != "" && (other.host == host || strings.HasSuffix(other.host, "."+host))
	})
}

// latch remembers that the process has caught up.
func (p *Process) latch() {
	d := p.disk
	if p.ready || d.cluster == nil || p.removed || p.cut || p.ending {
		return
	}
	if d.cluster.members[d.peer] == nil || d.cluster.leader == 0 {
		return
	}
	for _, s := range d.cluster.shards {
		if s.copies[d.peer] != nil && s.leader != 0 && !s.inSync[d.peer] {
			return
		}
	}
	p.ready = true
}

// Ready tells whether the node takes part and has caught up.
func (p *Process) Ready() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.ready && !p.ending
}

// Terminate is SIGTERM: the node hands over what it leads, leaves the sets in sync, and ends.
func (p *Process) Terminate() {
	p.w.mu.Lock()
	d := p.disk
	if c := d.cluster; c != nil && d.peer != 0 && !p.ending {
		alive := p.w.alive(c)
		if alive[d.peer] {
			p.w.judgeStop(p, c)
			_ = c.handOver(d.peer, 0, alive) // without a majority it ends as it is
			p.leaveSets(c, alive)
		}
	}
	p.ending = true
	p.w.mu.Unlock()
	p.Kill()
}

// judgeStop looks whether the node may be stopped.
func (w *World) judgeStop(p *Process, c *cluster) {
	if w.stopping {
		return
	}
	for _, s := range c.shards {
		if s.inSync[p.disk.peer] && len(s.inSync) == 1 && len(s.copies) > 1 {
			w.violate("%s was stopped with the only copy in sync of %s, which has %d copies", p.host, s, len(s.copies))
		}
	}
}

// leaveSets takes the node's copies out of sync where others are.
func (p *Process) leaveSets(c *cluster, alive map[uint64]bool) {
	for _, s := range c.shards {
		if !s.inSync[p.disk.peer] || s.leader == p.disk.peer || !alive[s.leader] {
			continue
		}
		delete(s.inSync, p.disk.peer)
		s.copies[p.disk.peer].wait = catchUp
	}
}

// Kill ends the process at once, whatever it does.
func (p *Process) Kill() {
	p.w.mu.Lock()
	delete(p.w.processes, p)
	if d := p.disk; d != nil && d.user == p {
		d.user = nil
		if d.cluster != nil {
			d.cluster.step(p.w.alive(d.cluster)) // others notice, however soon it is back
		}
	}
	p.w.mu.Unlock()
	if p.stop != nil {
		p.stop()
	}
}

// Ended is closed when nothing of the process is left.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Cut takes the node off the network, or back.
func (p *Process) Cut(yes bool) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.cut = yes
}
