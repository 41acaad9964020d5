package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sextantdb/sextant/cmd/sextant/demo"
	"github.com/sextantdb/sextant/cmd/sextant/demo/failover"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/node"
)

// demoFlags are the flags of the demonstration.
type demoFlags struct {
	nodes   int
	then    []string
	pace    time.Duration
	only    []string
	exit    bool
	storage string
	vectors string
}

// newDemo makes the command that shows a cluster, or a node, at work.
func newDemo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a cluster, load the Go documentation, search it, lose a node and take it back",
		Long: "demo starts a cluster of processes, loads the documentation of Go's standard library into 6 shards with\n" +
			"2 copies each, and searches it. Then it kills a node while clients write and search, shows how the others\n" +
			"go on, brings it back, and proves that every acknowledged write is there. On a terminal it stays up under\n" +
			"load with keys to kill, pause and heal nodes. With --nodes 1 it is one node that loads and searches.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.vectors != "" {
				o := demo.Options{Out: cmd.OutOrStdout(), Live: isTerminal(cmd.OutOrStdout()), Packages: f.only}
				return demo.WriteVectors(cmd.Context(), o, f.vectors)
			}
			// A terminal that is closed ends the demonstration as Ctrl-C does.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			return runDemo(ctx, f, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&f.nodes, "nodes", 3, "how many nodes: 1, or 3 and more for a cluster")
	cmd.Flags().StringSliceVar(&f.then, "then", nil,
		"`steps` to take afterwards under load: kill, pause, heal, status, each with or without a node, and times to wait:\n"+
			"--then kill:2,5s,heal:2,pause,10s,heal")
	cmd.Flags().DurationVar(&f.pace, "pace", 4*time.Second, "how long each part of what happens to the cluster lasts at least")
	cmd.Flags().StringSliceVar(&f.only, "packages", nil, "load the documentation of these import `paths` only")
	cmd.Flags().BoolVar(&f.exit, "exit", false, "end after the demonstration instead of staying up")
	cmd.Flags().StringVar(&f.storage, "storage", "", "keep the data in `directory`; without it, it goes with the demo")
	cmd.Flags().StringVar(&f.vectors, "vectors", "",
		"write the dense vectors of the documentation to an .fvecs `file` and end, without a node")
	cmd.MarkFlagsMutuallyExclusive("vectors", "storage")
	return cmd
}

// runDemo makes room for the data and runs the demonstration that was asked for.
func runDemo(ctx context.Context, f demoFlags, out io.Writer) (err error) {
	if f.nodes < 1 || f.nodes == 2 || f.nodes > maxNodes {
		return fmt.Errorf("--nodes %d: it is 1, or 3 to %d, as two can't do without one", f.nodes, maxNodes)
	}
	if f.nodes == 1 && len(f.then) > 0 {
		return errors.New("--then is for a cluster")
	}
	steps, err := failover.ParseSteps(f.then, f.nodes)
	if err != nil {
		return fmt.Errorf("--then: %w", err)
	}
	dir := f.storage
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sextant-demo-"); err != nil {
			return fmt.Errorf("make demo storage: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if f.nodes == 1 {
		err = demoNode(ctx, f, dir, out)
	} else {
		err = demoCluster(ctx, f, steps, dir, out)
	}
	if ctx.Err() != nil {
		return nil // whatever was cut off: somebody had seen enough
	}
	return err
}

// fate says what becomes of the data.
func (f *demoFlags) fate() string {
	if f.storage != "" {
		return "the data stays in " + f.storage
	}
	return "the data goes with it"
}

// demoNode starts a node for this machine only, and hands it to the show.
func demoNode(ctx context.Context, f demoFlags, dir string, out io.Writer) error {
	// Neither files nor the environment: a demonstration is the same everywhere.
	cfg, _, err := config.Load(config.Options{Dir: dir, Environ: []string{}, Flags: map[string]any{
		"storage.storage_path": filepath.Join(dir, "storage"),
		"service.host":         "127.0.0.1",
		"service.http_port":    freePort(ctx, 6333),
		"service.grpc_port":    freePort(ctx, 6334),
		"log_level":            "warn",
	}})
	if err != nil {
		return err
	}
	logger, closeLog, err := newLogger(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	node.TuneProcess(logger)
	n, err := node.Start(ctx, node.Options{Config: cfg, Logger: logger, Commit: revision()})
	if err != nil {
		return err
	}
	err = demo.Run(ctx, demo.Options{
		GRPCAddr: n.GRPCAddr(), RESTURL: "http://" + n.HTTPAddr(), Out: out, Live: isTerminal(out), Packages: f.only,
	})
	if err == nil && !f.exit {
		fmt.Fprintf(out, "\nThe node is up; Ctrl-C ends it, and %s.\n", f.fate())
		n.Wait(ctx)
	}
	return errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
}

// isTerminal tells whether somebody watches.
func isTerminal(out io.Writer) bool {
	f, isFile := out.(*os.File)
	return isFile && term.IsTerminal(int(f.Fd()))
}

// freePort returns the port if nobody uses it, or 0, which means any.
func freePort(ctx context.Context, port int) int {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0
	}
	if l.Close() != nil {
		return 0
	}
	return port
}
