// Package process builds and runs the operator: its caches, its client, its controllers, one leader among
// several processes. It refuses to run on definitions that belong to somebody else.
//
// Callers: cmd/sextant.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sextantdb/sextant/operator/api"
)

// LeaseName is the name of the lease that the working operator holds.
const LeaseName = "sextant-operator"

// namespaceFile is where a pod finds its own namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// The client's bounds. They are far above what clusters at rest need, and keep an operator gone
// wrong from taking the API server with it.
const (
	requestsPerSecond = 100
	requestsAtOnce    = 200
)

// The lease: how long it lasts, how long it is tried to renew it before the operator ends, and how often. It lasts longer
// than is usual: with the operator its container ends, and the more often that happens the longer Kubernetes waits before it
// starts it again, up to five minutes. An API server that is slow for a while must not come to that.
const leaseTime, renewTime, retryTime = 30 * time.Second, 20 * time.Second, 4 * time.Second

// stopTime is how long rounds under way are waited for at the end.
const stopTime = 20 * time.Second

// Options are what the operator is run with.
type Options struct {
	// Config is how the API server is reached.
	Config *rest.Config
	// Namespace is the operator's own.
	Namespace string
	// ClusterDomain ends the domain names of services and pods.
	ClusterDomain string
	// NodeLostAfter is how long a machine must have been away before what was on it is replaced.
	NodeLostAfter time.Duration
	// NetworkPolicies has every component closed to all but those who need it.
	NetworkPolicies bool
	// TakeOver replaces definitions that belong to somebody else.
	TakeOver bool
	// LeaderElection has only one of several processes work.
	LeaderElection bool
	// MetricsAddress and HealthAddress are where metrics and probes are answered; "0" is nowhere.
	MetricsAddress, HealthAddress string
	// Logger is where the log goes.
	Logger *slog.Logger
}

func (o *Options) check() error {
	var errs []error
	if o.Namespace == "" {
		errs = append(errs, errors.New("the operator's namespace isn't known: say --namespace"))
	}
	if o.NodeLostAfter < time.Second {
		errs = append(errs, fmt.Errorf("--node-lost-after %s is too short: a machine that restarts would lose its data", o.NodeLostAfter))
	}
	if o.ClusterDomain == "" {
		errs = append(errs, errors.New("--cluster-domain must not be empty"))
	}
	return errors.Join(errs...)
}

// Namespace returns the namespace of the pod that this process runs in, "" outside of one.
func Namespace() string {
	raw, err := os.ReadFile(namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// Run runs the operator until ctx ends or it can't go on.
func Run(ctx context.Context, o *Options) error {
	if err := o.check(); err != nil {
		return err
	}
	config := rest.CopyConfig(o.Config)
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	if err := readyDefinitions(ctx, config, o); err != nil {
		return err
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	if err := register(mgr, o); err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the operator: %w", err)
	}
	return nil
}

func newManager(config *rest.Config, o *Options) (ctrl.Manager, error) {
	scheme, err := api.NewScheme()
	if err != nil {
		return nil, err
	}
	caches, err := cacheOptions(o.Namespace)
	if err != nil {
		return nil, err
	}
	lease, renew, retry, wait := leaseTime, renewTime, retryTime, stopTime
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logr.FromSlogHandler(o.Logger.Handler()),
		Cache: caches, NewClient: newClient,
		Metrics: metricsserver.Options{BindAddress: o.MetricsAddress}, HealthProbeBindAddress: o.HealthAddress,
		LeaderElection: o.LeaderElection, LeaderElectionID: LeaseName, LeaderElectionNamespace: o.Namespace,
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
		// The process ends when Run returns, so nothing goes on under a lease that was given back.
		LeaderElectionReleaseOnCancel: true, GracefulShutdownTimeout: &wait,
	})
	if err != nil {
		return nil, fmt.Errorf("build the operator: %w", err)
	}
	for add, check := range map[string]func(string, healthz.Checker) error{"ping": mgr.AddHealthzCheck, "ready": mgr.AddReadyzCheck} {
		if err := check(add, healthz.Ping); err != nil {
			return nil, fmt.Errorf("build the operator: %w", err)
		}
	}
	return mgr, nil
}

// newClient makes the client of the controllers.
func newClient(config *rest.Config, o client.Options) (client.Client, error) {
	cached, err := client.New(config, o)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	o.Cache = nil
	live, err := client.New(config, o)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &fallback{Client: cached, live: live, now: time.Now}, nil
}
