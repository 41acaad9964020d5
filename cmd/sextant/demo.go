package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newDemo makes the command that shows a node at work.
func newDemo() *cobra.Command {
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a node, load the Go documentation, search it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("the demo is not built yet")
		},
	}
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the demonstration instead of staying up")
	return cmd
}
