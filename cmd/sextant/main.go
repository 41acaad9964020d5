// Command sextant is a vector database: a node by default, and everything that
// goes with one as commands.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sextantdb/sextant/server/node"
)

// Set when linking.
var (
	version = "dev"
	commit  = ""
	// serviceVersion is what nodes say their API's version is.
	serviceVersion = node.APIVersion
)

func main() {
	// Deployments written for the server whose API this is may send SIGUSR1.
	signal.Ignore(syscall.SIGUSR1)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sextant: "+err.Error())
		os.Exit(1)
	}
}
