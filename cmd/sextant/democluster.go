package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/sextantdb/sextant/cmd/sextant/demo"
	"github.com/sextantdb/sextant/cmd/sextant/demo/crew"
	"github.com/sextantdb/sextant/cmd/sextant/demo/failover"
)

// The collection of the demonstration, and how many nodes it may have: their ports are ten apart.
const (
	demoShards = 6
	demoCopies = 2
	maxNodes   = 9
	// narrow is how wide a terminal is that doesn't say.
	narrow = 80
)

// clusterDemo is a demonstration on a cluster.
type clusterDemo struct {
	flags demoFlags
	steps []failover.Step
	out   io.Writer
	nodes *crew.Crew
	show  *failover.Show // nil until the documentation is loaded
}

// demoCluster starts the nodes, which don't outlive it, and does the whole demonstration on them.
func demoCluster(ctx context.Context, f demoFlags, steps []failover.Step, dir string, out io.Writer) (err error) {
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program to run nodes of: %w", err)
	}
	begun := time.Now()
	nodes, err := crew.Start(ctx, crew.Options{Binary: binary, Dir: dir, Nodes: f.nodes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nodes.Close()) }()
	fmt.Fprintf(out, "Starting a cluster: %d nodes in %.1f s\n", f.nodes, time.Since(begun).Seconds())
	for i := range f.nodes {
		fmt.Fprintf(out, "  node %d: REST %s, gRPC %s\n", i+1, nodes.REST(i), nodes.GRPC(i))
	}
	d := &clusterDemo{flags: f, steps: steps, out: out, nodes: nodes}
	doors, closeDoors, err := d.doors()
	if err != nil {
		return err
	}
	defer closeDoors()
	eyes := failover.NewEyes(d.urls(), demo.Collection)
	defer eyes.Close()
	err = demo.Run(ctx, demo.Options{
		GRPCAddr: nodes.GRPC(0), RESTURL: nodes.REST(0), Out: out, Live: isTerminal(out), Packages: f.only,
		Shards: demoShards, Copies: demoCopies,
		Then: func(ctx context.Context, l *demo.Loaded) error {
			d.show = failover.New(failover.Options{
				Out: out, Live: isTerminal(out), Width: width(out), Nodes: nodes, Doors: doors, Sight: eyes,
				Shards: demoShards, Queries: l.Queries(), Vectors: l.Vectors, Pace: f.pace,
			})
			return d.act(ctx)
		},
	})
	if err != nil || f.exit {
		return err
	}
	return d.stay(ctx)
}

// act does the script, and the steps of the flags.
func (d *clusterDemo) act(ctx context.Context) error {
	if err := d.show.Play(ctx); err != nil || len(d.steps) == 0 {
		return err
	}
	return d.show.Do(ctx, d.steps)
}

// stay keeps the cluster up: under load and with keys where there is a terminal, else quietly.
func (d *clusterDemo) stay(ctx context.Context) (err error) {
	stdin := int(os.Stdin.Fd())
	if !isTerminal(d.out) || !term.IsTerminal(stdin) {
		fmt.Fprintf(d.out, "\nThe cluster is up; Ctrl-C ends it, and %s.\n", d.flags.fate())
		<-ctx.Done()
		return nil
	}
	fmt.Fprintf(d.out, "\nThe cluster stays up under load until you quit; %s.\n", d.flags.fate())
	cooked, err := term.MakeRaw(stdin)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(stdin, cooked)) }()
	return d.show.Stay(ctx, os.Stdin)
}

// width returns a function that tells how wide a terminal is at the moment, nil for what is none.
func width(out io.Writer) func() int {
	f, isFile := out.(*os.File)
	if !isFile {
		return nil
	}
	return func() int {
		columns, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return narrow
		}
		return columns
	}
}

// doors connects to all nodes.
func (d *clusterDemo) doors() (doors []failover.Door, closeAll func(), err error) {
	var closers []func() error
	closeAll = func() {
		for _, c := range closers {
			_ = c() // every answer has been read
		}
	}
	for i := range d.nodes.Size() {
		door, shut, err := failover.Dial(d.nodes.GRPC(i), demo.Collection)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		doors, closers = append(doors, door), append(closers, shut)
	}
	return doors, closeAll, nil
}

// urls are where the nodes' REST APIs are.
func (d *clusterDemo) urls() []string {
	urls := make([]string, d.nodes.Size())
	for i := range urls {
		urls[i] = d.nodes.REST(i)
	}
	return urls
}
