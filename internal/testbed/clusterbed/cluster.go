package clusterbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/sextantdb/sextant/internal/nodeprocess"
)

// Options says what is run.
type Options struct {
	// Binary is the sextant binary.
	Binary string
	// Dir has a directory for each node.
	Dir string
	// Nodes is how many there are.
	Nodes int
	// Links makes links that can be cut; without it nodes talk over the loopback.
	Links bool
	// Proxies takes proxies for links even where namespaces can be had.
	Proxies bool
	// DiskBytes gives each node a disk of that size, which needs root; 0 is the directory's.
	DiskBytes int64
	// Env is added to the environment of the nodes.
	Env []string
}

// Cluster is some nodes. Its methods are for one goroutine at a time; those of different
// nodes may run side by side.
type Cluster struct {
	// Nodes are in the order in which they were made.
	Nodes []*Node

	o       Options
	network network
}

// Node is a member of the cluster. Its methods are for one goroutine at a time.
type Node struct {
	*nodeprocess.Process
	// Index is its place in Cluster.Nodes.
	Index int
	// Dir is where its data is, below nodeprocess.Storage.
	Dir string

	disk bool // Dir is a disk of its own
}

// network is what is between the nodes.
type network interface {
	// place says where the next node is to be.
	place(ctx context.Context) (host string, wrap []string, err error)
	// attach is told of the node that was made there, before it starts.
	attach(n *Node) error
	// cut loses what one node says to another.
	cut(ctx context.Context, from, to int) error
	heal(ctx context.Context) error
	close(ctx context.Context) error
}

// Start starts a cluster and waits until all nodes are ready, and so many have a vote that
// one of them may be lost: the first founds it, the others join. Close it.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	c := &Cluster{o: o}
	if c.network, err = newNetwork(ctx, o); err != nil {
		return nil, err
	}
	for range o.Nodes {
		if _, err := c.Add(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.haveVotes(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Add starts another node, which joins.
func (c *Cluster) Add(ctx context.Context) (*Node, error) {
	n, err := c.make(ctx)
	if err != nil {
		return nil, err
	}
	c.Nodes = append(c.Nodes, n)
	return n, n.Start(ctx)
}

func (c *Cluster) make(ctx context.Context) (*Node, error) {
	host, wrap, err := c.network.place(ctx)
	if err != nil {
		return nil, err
	}
	n := &Node{Index: len(c.Nodes), Dir: filepath.Join(c.o.Dir, fmt.Sprintf("node%d", len(c.Nodes)))}
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return nil, err
	}
	if n.Dir, err = filepath.EvalSymlinks(n.Dir); err != nil {
		return nil, err // by this name its process is found
	}
	po := nodeprocess.Options{Binary: c.o.Binary, Dir: n.Dir, Env: c.o.Env, Host: host, Wrap: wrap, Cluster: true}
	if n.Index > 0 {
		po.Bootstrap = c.Nodes[0].URI()
	}
	if n.Process, err = nodeprocess.New(ctx, po); err != nil {
		return nil, err
	}
	if err := c.network.attach(n); err != nil {
		return nil, err
	}
	if c.o.DiskBytes > 0 {
		if err := mountDisk(n.Dir, c.o.DiskBytes); err != nil {
			return nil, err
		}
		n.disk = true
	}
	return n, nil
}

// Each does something with all nodes side by side.
func (c *Cluster) Each(f func(*Node) error) error {
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, n := range c.Nodes {
		wg.Go(func() { errs[i] = f(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Cut loses what one node says to another from now on; the way back stays.
func (c *Cluster) Cut(ctx context.Context, from, to *Node) error {
	return c.network.cut(ctx, from.Index, to.Index)
}

// Sever cuts the links between two nodes, both ways.
func (c *Cluster) Sever(ctx context.Context, a, b *Node) error {
	return errors.Join(c.Cut(ctx, a, b), c.Cut(ctx, b, a))
}

// Split severs every node of one side from every node of the other.
func (c *Cluster) Split(ctx context.Context, side, other []*Node) error {
	var errs []error
	for _, a := range side {
		for _, b := range other {
			errs = append(errs, c.Sever(ctx, a, b))
		}
	}
	return errors.Join(errs...)
}

// Heal mends all links.
func (c *Cluster) Heal(ctx context.Context) error { return c.network.heal(ctx) }

// Close kills all nodes and removes what was made for them but their data.
func (c *Cluster) Close() error {
	err := c.Each(func(n *Node) error { return n.Kill() })
	for _, n := range c.Nodes {
		if n.disk {
			err = errors.Join(err, unmountDisk(n.Dir))
		}
	}
	return errors.Join(err, c.network.close(context.Background()))
}

// Pause stops the process's clock: it neither answers nor notices.
func (n *Node) Pause() error { return n.Signal(syscall.SIGSTOP) }

// Continue lets a paused process go on.
func (n *Node) Continue() error { return n.Signal(syscall.SIGCONT) }

// Wipe removes the data of a node that isn't running. It will join by another one.
func (c *Cluster) Wipe(n *Node) error {
	if n.PID() != 0 {
		return errors.New("the node is running")
	}
	n.SetBootstrap(c.Nodes[(n.Index+1)%len(c.Nodes)].URI())
	return os.RemoveAll(filepath.Join(n.Dir, nodeprocess.Storage))
}

// Outputs returns what all nodes have printed.
func (c *Cluster) Outputs() []string {
	out := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		out[i] = n.Output()
	}
	return out
}
