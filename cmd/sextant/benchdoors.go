package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/cmd/sextant/doors"
	"github.com/sextantdb/sextant/server/node"
)

// floorCommand is the name of newServeFloor's command.
const floorCommand = "serve-floor"

// doorsFlags are the flags of bench doors.
type doorsFlags struct {
	doors.Options
	rows, asks, dim int
	floor, json     bool
}

func newBenchDoors() *cobra.Command {
	var f doorsFlags
	cmd := &cobra.Command{
		Use:   "doors",
		Short: "Measure what the doors cost beyond the search",
		Long: `Runs the same queries on the same generated data inside this process and through
the doors of a node in a process of its own, in turn, and compares the processor
time of a query. Only processor time of the node counts, not that of its callers.

With --floor it also measures searches in process that come after pauses, as those
of a waiting client do, and a server with the same gRPC transport that only computes
for as long as a search takes: no door can be cheaper than that.`,
		Example: `  sextant bench doors --rows 300000 --dim 128
  sextant bench doors --binary old/sextant,new/sextant --rounds 5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.rows, "rows", 300_000, "generated rows")
	flags.IntVar(&f.asks, "asks", 1000, "generated queries")
	flags.IntVar(&f.dim, "dim", 128, "dimension of the rows")
	flags.StringVar(&f.Dir, "dir", "", "directory for the data, which is used again when it is there; a temporary one when empty")
	flags.StringSliceVar(&f.Binaries, "binary", nil, "nodes to measure, this program when empty")
	flags.StringSliceVar(&f.Env, "env", nil, "NAME=value for the environment of the nodes")
	flags.IntSliceVar(&f.Efs, "ef", []int{0, 64}, "hnsw_ef values; 0 leaves it out of the request")
	flags.IntVar(&f.Clients, "clients", 2, "clients, each with a connection of its own")
	flags.IntSliceVar(&f.Depths, "depth", []int{1, 4, 16}, "gRPC requests that each client has under way")
	flags.IntVar(&f.Rounds, "rounds", 3, "repetitions, of which the medians count")
	flags.Float64Var(&f.Seconds, "seconds", 3, "least time of one measurement")
	flags.BoolVar(&f.REST, "rest", true, "measure the REST door, too")
	flags.BoolVar(&f.floor, "floor", false, "measure what grpc-go and waiting cost at least, too")
	flags.BoolVar(&f.json, "json", false, "print the rows as JSON")
	cmd.AddCommand(newServeFloor())
	return cmd
}

// newServeFloor is the command that bench doors runs as a process of its own.
func newServeFloor() *cobra.Command {
	var busy time.Duration
	cmd := &cobra.Command{
		Use: floorCommand, Short: "Serve the floor of bench doors", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			node.TuneProcess(slog.New(slog.DiscardHandler)) // as a node does
			return doors.ServeFloor(cmd.Context(), busy, cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&busy, "busy", 0, "processor time of a call's computation")
	return cmd
}

func (f *doorsFlags) run(cmd *cobra.Command) (err error) {
	if min(f.rows, f.asks, f.dim, f.Clients, f.Rounds) < 1 || len(f.Depths) == 0 || slices.Min(f.Depths) < 1 {
		return errors.New("--rows, --asks, --dim, --clients, --depth and --rounds must be at least 1")
	}
	if f.Dir == "" {
		if f.Dir, err = os.MkdirTemp("", "sextant-doors-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(f.Dir)) }()
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if len(f.Binaries) == 0 {
		f.Binaries = []string{self}
	}
	if f.floor {
		f.Floor = []string{self, "bench", "doors", floorCommand}
	}
	f.Progress = func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
	f.Progress("generating %d × %d", f.rows, f.dim)
	rows, err := doors.Run(cmd.Context(), dataset.Generate(dataset.Clustered(f.rows, f.asks, f.dim)), f.Options)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(rows)
	}
	doors.Table(cmd.OutOrStdout(), rows, f.Binaries)
	return nil
}
