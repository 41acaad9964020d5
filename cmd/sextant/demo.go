package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sextantdb/sextant/cmd/sextant/demo"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/node"
)

// demoFlags are the flags of the demonstration.
type demoFlags struct {
	exit    bool
	storage string
	vectors string
}

// newDemo makes the command that shows a node at work.
func newDemo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a node, load the Go documentation, search it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.vectors != "" {
				o := demo.Options{Out: cmd.OutOrStdout(), Live: isTerminal(cmd.OutOrStdout())}
				return demo.WriteVectors(cmd.Context(), o, f.vectors)
			}
			return runDemo(cmd.Context(), f, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&f.exit, "exit", false, "end after the demonstration instead of staying up")
	cmd.Flags().StringVar(&f.storage, "storage", "", "keep the data in `directory`; without it, it goes with the demo")
	cmd.Flags().StringVar(&f.vectors, "vectors", "",
		"write the dense vectors of the documentation to an .fvecs `file` and end, without a node")
	cmd.MarkFlagsMutuallyExclusive("vectors", "storage")
	return cmd
}

// runDemo starts a node for this machine only, and hands it to the show.
func runDemo(ctx context.Context, f demoFlags, out io.Writer) (err error) {
	dir := f.storage
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sextant-demo-"); err != nil {
			return fmt.Errorf("make demo storage: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
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
	err = show(ctx, n, out)
	if err == nil && !f.exit {
		fate := "its data goes with it"
		if f.storage != "" {
			fate = "its data stays in " + dir
		}
		fmt.Fprintf(out, "\nThe node is up; Ctrl-C ends it, and %s.\n", fate)
		n.Wait(ctx)
	}
	if ctx.Err() != nil {
		err = nil // whatever was cut off: somebody had seen enough
	}
	return errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
}

// show lets the demonstration use the node.
func show(ctx context.Context, n *node.Node, out io.Writer) error {
	return demo.Run(ctx, demo.Options{
		GRPCAddr: n.GRPCAddr(), RESTURL: "http://" + n.HTTPAddr(), Out: out, Live: isTerminal(out),
	})
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
