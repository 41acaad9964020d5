package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sextantdb/sextant/internal/observe"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/process"
	"github.com/sextantdb/sextant/server/node"
)

// operatorFlags are the flags of the operator.
type operatorFlags struct {
	process.Options
	logLevel, logFormat string
}

// newOperator makes the command that runs clusters in Kubernetes.
func newOperator() *cobra.Command {
	var f operatorFlags
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Run clusters in Kubernetes",
		Long: "operator makes what Cluster and OpsRequest objects ask for, in the Kubernetes cluster that it runs in or\n" +
			"that $KUBECONFIG names. The chart in deploy/charts/sextant installs it. docs/kubernetes.md has the manual.\n" +
			"Each flag may be given as a variable: --node-lost-after is SEXTANT_NODE_LOST_AFTER.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return f.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Namespace, "namespace", "", "the operator's own `namespace`; that of its pod without the flag")
	flags.StringVar(&f.ClusterDomain, "cluster-domain", naming.ClusterDomain, "what domain `names` of services end with")
	flags.DurationVar(&f.NodeLostAfter, "node-lost-after", 5*time.Minute, "after how long without a sign of life a machine's pods are replaced elsewhere, with empty volumes where theirs can't move")
	flags.BoolVar(&f.NetworkPolicies, "network-policies", false, "let only those reach a cluster's inner ports who need to")
	flags.BoolVar(&f.TakeOver, "take-over", false, "replace definitions of kinds that belong to another operator")
	flags.BoolVar(&f.LeaderElection, "leader-elect", true, "of several operators let one work")
	flags.StringVar(&f.MetricsAddress, "metrics-address", ":8080", "`address` for metrics, 0 for none")
	flags.StringVar(&f.HealthAddress, "health-address", ":8081", "`address` for probes, 0 for none")
	flags.StringVar(&f.logLevel, "log-level", "info", "error, warn, info, debug")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	return cmd
}

// fromEnvironment gives flags that aren't set the values of their variables.
func fromEnvironment(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := variableOf(f.Name)
		value := os.Getenv(name)
		if f.Changed || value == "" || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("$%s: %s: %w", name, strconv.Quote(value), e)
		}
	})
	return err
}

func (f *operatorFlags) run(ctx context.Context) error {
	root, closeLog, err := observe.New(observe.Options{Level: f.logLevel, Format: f.logFormat})
	if err != nil {
		return err
	}
	defer func() { _ = closeLog() }()
	f.Logger = observe.Component(root, "operator")
	// The libraries log through these two, whatever logger they are given.
	ctrl.SetLogger(logr.FromSlogHandler(f.Logger.Handler()))
	klog.SetSlogLogger(f.Logger)
	node.TuneProcess(f.Logger)
	if f.Namespace == "" {
		f.Namespace = process.Namespace()
	}
	f.Config, err = ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	f.Config.UserAgent = "sextant-operator/" + version
	f.Logger.InfoContext(ctx, "starting", "version", version, "namespace", f.Namespace, "api_server", f.Config.Host)
	if err := process.Run(ctx, &f.Options); err != nil {
		return err
	}
	f.Logger.InfoContext(ctx, "stopped")
	return nil
}
