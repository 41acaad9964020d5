package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/observe"
)

// certificatesTTL is after how long commands beside a node read certificates again.
const certificatesTTL = 10 * time.Second

// besideFlags are the flags of commands that run beside a node, in its pod, and ask it.
type besideFlags struct {
	listen                      string
	node, serverName            string
	keyFile                     string
	caFile, certFile, keyPEM    string
	logLevel, logFormat, asWhom string
}

// variableOf is the variable of the environment that stands for a flag.
func variableOf(flag string) string {
	return "SEXTANT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// register adds the flags, whose defaults the environment has: SEXTANT_NODE is that of --node.
func (f *besideFlags) register(cmd *cobra.Command, port string) {
	flags := cmd.Flags()
	f.asWhom = cmd.Name()
	text := func(to *string, name, usual, usage string) {
		variable := variableOf(name)
		if v := os.Getenv(variable); v != "" {
			usual = v
		}
		flags.StringVar(to, name, usual, usage+" ($"+variable+")")
	}
	flags.StringVar(&f.listen, "listen", ":"+port, "`address` to answer on")
	text(&f.node, "node", "http://127.0.0.1:6333", "`address` of the node's REST port")
	text(&f.serverName, "server-name", "", "`name` in the node's certificate, if it isn't that of the address")
	text(&f.keyFile, "api-key-file", "", "`file` with the API key, read for each request; without it $QDRANT__SERVICE__API_KEY is the key")
	text(&f.caFile, "ca-file", "", "`file` with the authority that vouches for the node's certificate")
	text(&f.certFile, "cert-file", "", "`file` with the certificate to show the node")
	text(&f.keyPEM, "key-file", "", "`file` with its key")
	text(&f.logLevel, "log-level", "info", "error, warn, info, debug")
	text(&f.logFormat, "log-format", "text", "text or json")
}

// connect makes a client of the node.
func (f *besideFlags) connect(log *slog.Logger) (*client.Client, error) {
	o := client.Options{URL: f.node, ServerName: f.serverName, Key: f.key(log)}
	if f.caFile != "" || f.certFile != "" {
		c, err := certificates.Load(certificates.Files{
			CA: f.caFile, Cert: f.certFile, Key: f.keyPEM, TTL: certificatesTTL, Logger: log,
		})
		if err != nil {
			return nil, err
		}
		o.TLS = c.Client
	}
	return client.New(o)
}

// key returns where the API key comes from. A file that can't be read is no key: the node then says so.
func (f *besideFlags) key(log *slog.Logger) func() string {
	if f.keyFile == "" {
		key := os.Getenv("QDRANT__SERVICE__API_KEY")
		if key == "" {
			key = os.Getenv("QDRANT__SERVICE__READ_ONLY_API_KEY")
		}
		return func() string { return key }
	}
	return func() string {
		raw, err := os.ReadFile(f.keyFile)
		if err != nil {
			log.Warn("the API key can't be read", "error", err)
		}
		return strings.TrimSpace(string(raw))
	}
}

// run opens the port and serves until ctx ends.
func (f *besideFlags) run(ctx context.Context, serve func(context.Context, net.Listener, *client.Client, *slog.Logger) error) error {
	root, closeLog, err := observe.New(observe.Options{Level: f.logLevel, Format: f.logFormat})
	if err != nil {
		return err
	}
	defer func() { _ = closeLog() }()
	log := observe.Component(root, f.asWhom)
	node, err := f.connect(log)
	if err != nil {
		return err
	}
	defer node.Close()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("open the port: %w", err)
	}
	log.InfoContext(ctx, "ready", "address", l.Addr().String(), "node", node.URL())
	if err := serve(ctx, l, node, log); err != nil {
		return err
	}
	log.InfoContext(ctx, "stopped")
	return nil
}
