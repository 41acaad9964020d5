package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sextantdb/sextant/internal/observe"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/node"
)

// nodeFlags are the flags of a node.
type nodeFlags struct {
	configPath       string
	disableTelemetry bool
	uri, bootstrap   string
	// Accepted, so that start scripts keep working, and refused when used.
	snapshots       []string
	storageSnapshot string
	forceSnapshot   bool
	stacktrace      bool
	reinit          bool
}

// newRoot makes the command tree. Without a command, sextant is a node.
func newRoot() *cobra.Command {
	var f nodeFlags
	root := &cobra.Command{
		Use:   "sextant",
		Short: "A vector database with Qdrant's API",
		Long: "sextant runs a node with its data in ./storage, REST on port 6333 and gRPC on 6334.\n" +
			"It is configured by config/config.yaml, QDRANT__… environment variables and flags.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionText(),
		RunE:          func(cmd *cobra.Command, _ []string) error { return runNode(cmd.Context(), f) },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	f.register(root)
	root.AddCommand(newDemo(), newBench(), newAgent(), newExporter(), newOperator())
	return root
}

func (f *nodeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.configPath, "config-path", "", "a configuration `file` that wins over those in ./config")
	flags.BoolVar(&f.disableTelemetry, "disable-telemetry", false, "same as telemetry_disabled: true")
	flags.StringVar(&f.uri, "uri", os.Getenv("QDRANT_URI"), "address of this peer for other peers (needs a cluster)")
	flags.StringVar(&f.bootstrap, "bootstrap", os.Getenv("QDRANT_BOOTSTRAP"), "address of a peer to join (needs a cluster)")
	flags.StringArrayVar(&f.snapshots, "snapshot", nil, "recover `path:collection` before the start (not built yet)")
	flags.StringVar(&f.storageSnapshot, "storage-snapshot", "", "recover a whole storage from `path` before the start (not built yet)")
	flags.BoolVarP(&f.forceSnapshot, "force-snapshot", "f", false, "let --snapshot replace existing collections")
	flags.BoolVar(&f.stacktrace, "stacktrace", false, "not built yet")
	flags.BoolVar(&f.reinit, "reinit", false, "begin the consensus anew with what this node knows; with --bootstrap, leave the old one and join that node's")
}

// check refuses what can't be done rather than leave it out.
func (f *nodeFlags) check() error {
	var errs []error
	for _, one := range []struct{ name, value string }{{"--uri", f.uri}, {"--bootstrap", f.bootstrap}} {
		if one.value == "" {
			continue
		}
		if u, err := url.Parse(one.value); err != nil || u.Host == "" {
			errs = append(errs, fmt.Errorf("%s %q is not an address like http://host:6335", one.name, one.value))
		}
	}
	if len(f.snapshots) > 0 || f.storageSnapshot != "" {
		errs = append(errs, errors.New("--snapshot, --storage-snapshot: recovery from snapshots is not built yet"))
	}
	if f.stacktrace {
		errs = append(errs, errors.New("--stacktrace is not built yet"))
	}
	return errors.Join(errs...)
}

// runNode is the default command.
func runNode(ctx context.Context, f nodeFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	flags := map[string]any{}
	if f.disableTelemetry {
		flags["telemetry_disabled"] = true
	}
	cfg, notes, err := config.Load(config.Options{Path: f.configPath, Flags: flags})
	if err != nil {
		return err
	}
	logger, closeLog, err := newLogger(cfg)
	if err != nil {
		return err
	}
	tell(logger, notes)
	if !cfg.Cluster.Enabled && (f.uri != "" || f.bootstrap != "") {
		logger.WarnContext(ctx, "--uri and --bootstrap have no effect: cluster.enabled is false", "uri", f.uri, "bootstrap", f.bootstrap)
	}
	node.TuneProcess(logger)
	quiet, stop := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { node.ReturnMemory(quiet) })
	err = node.Run(ctx, node.Options{
		Config: cfg, Logger: logger, Version: serviceVersion, Commit: revision(), URI: f.uri, Bootstrap: f.bootstrap, Reinit: f.reinit,
	}, func(*node.Node) error {
		return node.TouchInitFile()
	})
	stop()
	keeper.Wait()
	return errors.Join(err, closeLog())
}

// tell logs what was noticed before there was a logger.
func tell(logger *slog.Logger, notes []config.Note) {
	for _, n := range notes {
		if n.Warn {
			logger.Warn("configuration", "note", n.Text)
		} else {
			logger.Info("configuration", "note", n.Text)
		}
	}
}

// newLogger sets the log up as configured.
func newLogger(cfg *config.Config) (*slog.Logger, func() error, error) {
	o := observe.Options{Level: cfg.LogLevel, Format: cfg.Logger.Format, Color: cfg.Logger.Color}
	if l := cfg.Logger.LogLevel; l != nil {
		o.Level = *l
	}
	if d := cfg.Logger.OnDisk; d.Enabled {
		o.File, o.FileLevel, o.FileFormat = d.File, o.Level, d.Format
		if d.LogLevel != nil {
			o.FileLevel = *d.LogLevel
		}
	}
	return observe.New(o)
}

// noRevision stands for an unknown revision; clients expect 40 hex digits.
var noRevision = strings.Repeat("0", 40)

// revision returns the source's revision: what the linker was told, or what the
// go command recorded.
func revision() string {
	if len(commit) == len(noRevision) {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) == len(noRevision) {
				return s.Value
			}
		}
	}
	return noRevision
}

func versionText() string {
	return fmt.Sprintf("sextant %s (API %s, revision %s)", version, serviceVersion, revision())
}
