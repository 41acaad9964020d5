// Package crew runs the nodes of the demonstration: processes of the given binary that form a
// cluster on this machine. They can be killed, paused and brought back one by one, and none of them
// outlives Close.
//
// Caller: the command "sextant demo", which hands a Crew to cmd/sextant/demo/failover.
package crew

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/sextantdb/sextant/internal/nodeprocess"
)

// The ports of the first node (REST, gRPC, peers) are those that users expect; the others' follow in
// tens. A port in use is replaced by a free one.
const (
	firstPort = 6333
	nextNode  = 10
)

// State is what was done to a node last.
type State uint8

// The states of a node.
const (
	Up State = iota
	Killed
	Paused
	Starting
)

func (s State) String() string {
	return [...]string{"up", "killed", "paused", "starting"}[s]
}

// Options say what to run.
type Options struct {
	// Binary is the program, Dir where the nodes' data goes, a directory each.
	Binary, Dir string
	// Nodes is how many there are.
	Nodes int
	// Port is the first node's port of the REST API; 0 is the one that users expect.
	Port int
	// Env is added to each node's environment.
	Env []string
}

// Crew is the nodes. Its methods are safe for concurrent use; nodes count from 0.
type Crew struct {
	members []*one
}

// one is a node of the crew.
type one struct {
	name string
	// acts guards process and cut: one thing is done to a node at a time.
	acts    sync.Mutex
	process *nodeprocess.Process
	cut     context.CancelFunc // kills the process, never nil once started
	// mu guards state and closed.
	mu     sync.Mutex
	state  State
	closed bool
}

// Start starts the nodes, the first before those that join it, and returns when all are ready. When
// one doesn't start, none is left.
func Start(ctx context.Context, o Options) (_ *Crew, err error) {
	c := &Crew{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	bootstrap := ""
	for i := range o.Nodes {
		port := cmp.Or(o.Port, firstPort) + i*nextNode
		dir := filepath.Join(o.Dir, "node-"+strconv.Itoa(i+1))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make a directory for node %d: %w", i+1, err)
		}
		p, err := nodeprocess.New(ctx, nodeprocess.Options{
			Binary: o.Binary, Dir: dir, Untouched: true, Tied: true, Cluster: true, Bootstrap: bootstrap,
			Ports: [3]int{port, port + 1, port + 2},
			Env:   append([]string{"QDRANT__LOG_LEVEL=warn"}, o.Env...),
		})
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		n := &one{name: "node " + strconv.Itoa(i+1), process: p, state: Killed}
		c.members = append(c.members, n)
		if err := n.heal(ctx); err != nil {
			return nil, err
		}
		if i == 0 {
			bootstrap = p.URI()
		}
	}
	return c, nil
}

// Size returns the number of nodes.
func (c *Crew) Size() int { return len(c.members) }

// REST returns the URL of a node's REST API.
func (c *Crew) REST(i int) string { return c.members[i].process.URL("") }

// GRPC returns the address of a node's gRPC API.
func (c *Crew) GRPC(i int) string {
	return nodeprocess.Host + ":" + strconv.Itoa(c.members[i].process.GRPC)
}

// State returns the state of a node.
func (c *Crew) State(i int) State {
	n := c.members[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// Kill ends a node at once, as kill -9 does.
func (c *Crew) Kill(i int) error { return c.members[i].kill() }

// Pause stops a node where it is; the others only see that it says nothing.
func (c *Crew) Pause(i int) error { return c.members[i].pause() }

// Heal brings a node back from either, and returns when it is ready. A node that is up is left alone.
func (c *Crew) Heal(ctx context.Context, i int) error { return c.members[i].heal(ctx) }

// Close kills all nodes, which costs nothing that was acknowledged; asked to stop, each would try to
// hand its shards over to others that are going, too. Afterwards no node can be brought back.
func (c *Crew) Close() error {
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, n := range c.members {
		wg.Go(func() { errs[i] = n.close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (n *one) set(s State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = s
}

// now returns the state, and whether the node is closed for good.
func (n *one) now() (State, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state, n.closed
}

func (n *one) kill() error {
	n.acts.Lock()
	defer n.acts.Unlock()
	if s, _ := n.now(); s == Killed {
		return nil
	}
	if err := n.process.Kill(); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.cut()
	n.set(Killed)
	return nil
}

func (n *one) pause() error {
	n.acts.Lock()
	defer n.acts.Unlock()
	if s, _ := n.now(); s != Up {
		return fmt.Errorf("%s is %s", n.name, s)
	}
	if err := n.process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause %s: %w", n.name, err)
	}
	n.set(Paused)
	return nil
}

func (n *one) heal(ctx context.Context) error {
	n.acts.Lock()
	defer n.acts.Unlock()
	state, closed := n.now()
	switch {
	case closed:
		return errors.New(n.name + " is closed")
	case state == Paused:
		if err := n.process.Signal(syscall.SIGCONT); err != nil {
			return fmt.Errorf("wake %s: %w", n.name, err)
		}
	case state == Killed:
		n.set(Starting)
		// The context is for the start only: how the node ends is for Close to say.
		if err := n.start(ctx); err != nil {
			n.set(Killed)
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	n.set(Up)
	return nil
}

// start starts the process and returns early when ctx ends, with the process killed.
func (n *one) start(ctx context.Context) error {
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cut)
	err := n.process.Start(life)
	if !stop() || err != nil {
		cut()
		return errors.Join(err, ctx.Err(), n.process.Kill())
	}
	n.cut = cut
	return nil
}

func (n *one) close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	return n.kill()
}
