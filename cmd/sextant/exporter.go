package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/exporter"
)

// newExporter makes the command that serves a node's metrics, and those of its cluster.
func newExporter() *cobra.Command {
	var f besideFlags
	var collections int
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "exporter",
		Short: "Run beside a node: serve its metrics, and those of its shards and cluster, for Prometheus",
		Example: `  sextant exporter --node http://127.0.0.1:6333
  curl http://127.0.0.1:9187/metrics`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if collections < 1 || timeout <= 0 {
				return errors.New("--max-collections and --timeout must be positive")
			}
			return f.run(cmd.Context(), func(ctx context.Context, l net.Listener, node *client.Client, log *slog.Logger) error {
				return exporter.New(exporter.Options{Node: node, MaxCollections: collections, Timeout: timeout, Logger: log}).Serve(ctx, l)
			})
		},
	}
	f.register(cmd, "9187")
	cmd.Flags().IntVar(&collections, "max-collections", 200, "collections that are told about, the rest is left out")
	cmd.Flags().DurationVar(&timeout, "timeout", 9*time.Second, "longest time of a scrape")
	return cmd
}
