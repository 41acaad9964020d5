package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/sextantdb/sextant/agent"
	"github.com/sextantdb/sextant/client"
)

// newAgent makes the command that runs beside a node and acts for whoever manages its pod.
func newAgent() *cobra.Command {
	var f besideFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run beside a node: tell its role, take members in and out of the cluster",
		Long: "agent runs in the pod of a node. It tells the node's role in the consensus and carries out actions\n" +
			"on the cluster: memberJoin, memberLeave, switchover, roleProbe. docs/agent.md has the protocol.",
		Example: `  sextant agent --node http://127.0.0.1:6333
  curl http://127.0.0.1:5001/v1.0/getrole
  curl http://127.0.0.1:5001/v1.0/action -d '{"action":"memberLeave","parameters":{"KB_LEAVE_MEMBER_POD_NAME":"c-2"}}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), func(ctx context.Context, l net.Listener, node *client.Client, log *slog.Logger) error {
				return agent.New(agent.Options{Node: node, Logger: log}).Serve(ctx, l)
			})
		},
	}
	f.register(cmd, "5001")
	return cmd
}
