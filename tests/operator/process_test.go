package operator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sextantdb/sextant/operator/process"
)

const (
	// nodeLostAfter is how long a machine is waited for.
	nodeLostAfter = 3 * time.Second
	// envKubeconfig has the test's program be the operator.
	envKubeconfig = "SEXTANT_TEST_OPERATOR_KUBECONFIG"
	// envLog is a file for the operator's log.
	envLog = "OPERATOR_LOG"
)

// beOperator is the operator's process: it runs until it is told to end.
func beOperator(kubeconfig string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	err = process.Run(ctx, &process.Options{
		Config: watched(config, os.Getenv(envDenied)), Namespace: system, ClusterDomain: "cluster.local", NodeLostAfter: nodeLostAfter,
		NetworkPolicies: true, MetricsAddress: "0", HealthAddress: "0", Logger: logger,
	})
	if err != nil {
		return fmt.Errorf("run the operator: %w", err)
	}
	return nil
}

// operator is the operator: one for all tests, as in a Kubernetes cluster.
var operator supervised

// supervised runs the operator in a process of its own, which tests kill.
type supervised struct {
	// turn is held by who restarts it: one at a time.
	turn sync.Mutex
	dir  string
	log  io.WriteCloser

	mu     sync.Mutex
	killed bool
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error
}

// prepare says how the API server is reached.
func (s *supervised) prepare(kubeconfig []byte) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "operator"); err != nil {
		return fmt.Errorf("prepare the operator: %w", err)
	}
	if s.log, err = os.Create(logFile(s.dir)); err != nil {
		return fmt.Errorf("prepare the operator: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "kubeconfig"), kubeconfig, 0o600); err != nil {
		return fmt.Errorf("prepare the operator: %w", err)
	}
	return s.start()
}

func logFile(dir string) string {
	if path := os.Getenv(envLog); path != "" {
		return path
	}
	return filepath.Join(dir, "log")
}

// start starts the operator.
func (s *supervised) start() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the operator: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envKubeconfig+"="+filepath.Join(s.dir, "kubeconfig"), envDenied+"="+s.denied())
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = tied()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	ended := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.ended, s.killed = cmd, ended, false
	s.mu.Unlock()
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		if !s.killed {
			s.err = fmt.Errorf("the operator has ended by itself (%w), %s=file keeps its log", errors.Join(err, errors.New("process over")), envLog)
		}
		s.mu.Unlock()
		close(ended)
	}()
	return nil
}

// kill kills the operator, wherever it is.
func (s *supervised) kill() {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.killed = true
	s.mu.Unlock()
	_ = cmd.Process.Kill() // it may have ended by itself
	<-ended
}

// restart kills the operator, and starts another one that knows nothing.
func (s *supervised) restart() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.kill()
	if err := s.start(); err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
}

// close ends the operator for good.
func (s *supervised) close() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.kill()
	_ = s.log.Close()
	_ = os.RemoveAll(s.dir)
}

// denied is the file with what the operator was not allowed to do.
func (s *supervised) denied() string { return filepath.Join(s.dir, "denied") }

// failed tells why the operator isn't there, when nobody killed it, or can't do what it wants to.
func (s *supervised) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.err, denied(s.denied()))
}
