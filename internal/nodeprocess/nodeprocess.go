// Package nodeprocess runs a node as a process of its own: it finds free ports,
// starts the binary with its data in a directory, waits until it answers, and ends
// it, gently or at once. It can be started again on the same ports and data.
//
// Callers: internal/testbed for tests, cmd/sextant/doors for measurements, cmd/sextant/demo/crew.
package nodeprocess

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// Host is where a node listens unless it has an address of its own.
	Host = "127.0.0.1"
	// Storage is the directory of the data, below Options.Dir.
	Storage = "storage"

	// patience is how long a node may take to start, poll how often it is asked.
	patience = time.Minute
	poll     = 10 * time.Millisecond

	usualHTTP, usualGRPC, usualP2P = 6333, 6334, 6335

	// kept is how much of the output is kept at least: of a node that writes for days the last part.
	kept = 1 << 20
)

// Options says what is run.
type Options struct {
	// Binary is the sextant binary.
	Binary string
	// Dir is the working directory; the data is below, in Storage.
	Dir string
	// Env is added to the environment.
	Env []string
	// Host is an address where nothing else listens: the node uses the usual ports there. By
	// default it is the loopback, with free ports.
	Host string
	// Wrap is a command that runs the binary, which is added to it with its arguments. It must
	// become the binary, so that signals reach it.
	Wrap []string
	// Cluster makes the node a member of a cluster, which it founds unless Bootstrap is the
	// address of a member (Process.URI).
	Cluster   bool
	Bootstrap string
	// Ports are those to use on the loopback if nobody listens there, else any others: for HTTP, gRPC
	// and other nodes. 0 is any.
	Ports [3]int
	// Untouched keeps the configuration in the environment of this process from the node.
	Untouched bool
	// Tied has the node, on Linux, killed by the system when this process is gone, however that
	// ended, and keeps a Ctrl-C for this process from it.
	Tied bool
}

// Process is a node, running or not. Its methods are for one goroutine at a time,
// except Output.
type Process struct {
	// HTTP and GRPC are its ports, which stay the same over restarts; P2P is that for other
	// nodes, 0 without a cluster.
	HTTP, GRPC, P2P int
	// Host is where it listens.
	Host string

	dir       string
	uri       string // "" is its own port's
	bootstrap string
	env       []string
	untouched bool
	tied      bool
	command   []string   // with what wraps it, without flags
	cmd       *exec.Cmd  // nil while it isn't running
	ended     chan error // gets what Wait returned
	output    buffer
}

// buffer collects what a process prints while others read it.
type buffer struct {
	mu    sync.Mutex
	bytes []byte // guarded by mu
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = append(b.bytes, p...)
	if len(b.bytes) > 2*kept {
		b.bytes = slices.Delete(b.bytes, 0, len(b.bytes)-kept)
	}
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.bytes)
}

// New finds free ports for a node, and doesn't start it.
func New(ctx context.Context, o Options) (*Process, error) {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, fmt.Errorf("find the binary: %w", err)
	}
	p := &Process{
		HTTP: usualHTTP, GRPC: usualGRPC, Host: o.Host,
		dir: o.Dir, env: o.Env, bootstrap: o.Bootstrap, untouched: o.Untouched, tied: o.Tied, command: append(slices.Clone(o.Wrap), binary),
	}
	if o.Cluster {
		p.P2P = usualP2P
	}
	if o.Host == "" {
		p.Host = Host
		if err := p.findPorts(ctx, o.Ports); err != nil {
			return nil, err
		}
	}
	if o.Cluster {
		p.env = append(slices.Clone(p.env), "QDRANT__CLUSTER__ENABLED=true", "QDRANT__CLUSTER__P2P__PORT="+strconv.Itoa(p.P2P))
	}
	return p, nil
}

// findPorts replaces the usual ports by the wanted ones, and those by free ones if they aren't.
func (p *Process) findPorts(ctx context.Context, wanted [3]int) error {
	for i, port := range []*int{&p.HTTP, &p.GRPC, &p.P2P} {
		if *port == 0 {
			continue
		}
		var err error
		if *port, err = listen(ctx, wanted[i]); err == nil {
			continue
		}
		if *port, err = FreePort(ctx); err != nil {
			return err
		}
	}
	return nil
}

// URI is where other nodes reach a member of a cluster.
func (p *Process) URI() string {
	if p.uri != "" {
		return p.uri
	}
	return fmt.Sprintf("http://%s:%d", p.Host, p.P2P)
}

// SetURI has other nodes told another address, that of something in between. It counts from the
// next start on.
func (p *Process) SetURI(uri string) { p.uri = uri }

// SetBootstrap makes another member the one to ask at the next start; "" founds a cluster where
// there is none in the data.
func (p *Process) SetBootstrap(uri string) { p.bootstrap = uri }

// PID is the number of the running process, 0 when there is none.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Running tells whether the process was started and hasn't ended, by itself or otherwise.
func (p *Process) Running() bool {
	return p.cmd != nil && p.cmd.Process.Signal(syscall.Signal(0)) == nil
}

// Command returns the command that runs the node, not started. It is killed when ctx
// ends.
func (p *Process) Command(ctx context.Context) *exec.Cmd {
	args := slices.Clone(p.command[1:])
	if p.P2P != 0 {
		args = append(args, "--uri", p.URI())
		if p.bootstrap != "" {
			args = append(args, "--bootstrap", p.bootstrap)
		}
	}
	cmd := exec.CommandContext(ctx, p.command[0], args...)
	cmd.Dir = p.dir
	if p.tied {
		cmd.SysProcAttr = tie()
	}
	cmd.Env = os.Environ()
	if p.untouched {
		cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "QDRANT_") })
	}
	cmd.Env = append(cmd.Env,
		"QDRANT__SERVICE__HOST="+p.Host,
		"QDRANT__SERVICE__HTTP_PORT="+strconv.Itoa(p.HTTP),
		"QDRANT__SERVICE__GRPC_PORT="+strconv.Itoa(p.GRPC),
		"QDRANT__STORAGE__STORAGE_PATH="+Storage,
	)
	cmd.Env = append(cmd.Env, p.env...)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	return cmd
}

// Start starts the process and waits until it is ready. A process that doesn't get
// ready is ended, and the error has what it printed. When ctx ends later, the process
// is killed.
func (p *Process) Start(ctx context.Context) error {
	if p.cmd != nil {
		return errors.New("the node is running")
	}
	cmd := p.Command(ctx)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	p.cmd, p.ended = cmd, make(chan error, 1)
	go func() { p.ended <- cmd.Wait() }()
	if err := p.untilReady(ctx); err != nil {
		_ = p.Kill() // the first failure says more
		return fmt.Errorf("%w\n%s", err, p.Output())
	}
	return nil
}

// untilReady asks until the node answers.
func (p *Process) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !p.ready(ctx) {
		select {
		case <-tick.C:
		case err := <-p.ended:
			p.ended <- err
			return errors.New("the node ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the node does not get ready: %w", ctx.Err())
		}
	}
	return nil
}

func (p *Process) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL("/readyz"), nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Stop asks the process to stop and waits until it has. When it fails, its output is
// part of the error.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return errors.New("the node is not running")
	}
	// Fails only when the process has ended, and then Wait says why.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd = nil
	if err := <-p.ended; err != nil {
		return fmt.Errorf("the node failed: %w\n%s", err, p.Output())
	}
	return nil
}

// Kill ends the process at once, as kill -9 does. A node that isn't running is left
// alone.
func (p *Process) Kill() error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Kill()
	p.cmd = nil
	<-p.ended //nolint:errcheck // the signal that we sent
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the node: %w", err)
	}
	return nil
}

// Signal sends a running process a signal: SIGSTOP and SIGCONT pause it and let it go on.
func (p *Process) Signal(s os.Signal) error {
	if p.cmd == nil {
		return errors.New("the node is not running")
	}
	return p.cmd.Process.Signal(s)
}

// Output returns what the node has printed so far.
func (p *Process) Output() string { return p.output.String() }

// URL returns the address of a REST path.
func (p *Process) URL(path string) string { return fmt.Sprintf("http://%s:%d%s", p.Host, p.HTTP, path) }

// FreePort returns a port on which nothing listens.
func FreePort(ctx context.Context) (int, error) {
	port, err := listen(ctx, 0)
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

// listen tries whether a port can be had, and returns it; 0 is any.
func listen(ctx context.Context, wanted int) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(Host, strconv.Itoa(wanted)))
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
