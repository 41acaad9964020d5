package doors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	host    = "127.0.0.1"
	storage = "storage" // below Options.Dir
	// patience is how long a node may take to start.
	patience = time.Minute
)

// node is a sextant process on the data.
type node struct {
	rest, grpc int
	cmd        *exec.Cmd
	output     bytes.Buffer
	ended      chan error // gets what Wait returned
}

// start starts a node on free ports and waits until it answers.
func start(ctx context.Context, binary, dir string, env []string) (*node, error) {
	n := &node{ended: make(chan error, 1)}
	var err error
	if n.rest, err = freePort(ctx); err != nil {
		return nil, err
	}
	if n.grpc, err = freePort(ctx); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	n.cmd = exec.CommandContext(ctx, path)
	n.cmd.Dir = dir
	n.cmd.Env = append(os.Environ(),
		"QDRANT__SERVICE__HOST="+host,
		"QDRANT__SERVICE__HTTP_PORT="+strconv.Itoa(n.rest),
		"QDRANT__SERVICE__GRPC_PORT="+strconv.Itoa(n.grpc),
		"QDRANT__STORAGE__STORAGE_PATH="+storage,
	)
	n.cmd.Env = append(n.cmd.Env, env...)
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { n.ended <- n.cmd.Wait() }()
	if err := n.untilReady(ctx); err != nil {
		return nil, errors.Join(err, n.stop())
	}
	return n, nil
}

// untilReady asks until the node answers.
func (n *node) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.ready(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-n.ended:
			n.ended <- err
			return errors.New("the node ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the node does not get ready: %w", ctx.Err())
		}
	}
}

func (n *node) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url()+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// stop ends the process; when it fails, its output is part of the error.
func (n *node) stop() error {
	// Fails only when the process has ended, and then Wait says why.
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-n.ended; err != nil {
		return fmt.Errorf("the node failed: %w\n%s", err, n.output.Bytes())
	}
	return nil
}

func (n *node) url() string { return fmt.Sprintf("http://%s:%d", host, n.rest) }

// freePort returns a port on which nothing listens.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
