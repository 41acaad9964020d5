// Package kubernetes_test holds the operator against a real Kubernetes cluster: what a user applies,
// with clients that write and read all the while. `make test-kubernetes` says what it needs.
//
// The names of tests begin with the number of the check that they are about: the list is in
// docs/kubernetes.md. Figures are printed as `figure: name value`.
package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	k8sappsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/operator/api"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

const (
	// envRun says that the tests are to run: they change the cluster that KUBECONFIG names.
	envRun = "SEXTANT_KUBERNETES_TESTS"
	// envRoot is the repository, when the tests don't run in their folder.
	envRoot = "SEXTANT_ROOT"
	// envManifests is a file with all that the chart makes; empty is that it is installed.
	envManifests = "SEXTANT_MANIFESTS"
	// envLab is a folder with the scripts of a cluster whose machines can be killed and cut off.
	envLab = "LAB_DIR"
	// system is where the operator runs, demo where the clusters of the tests are.
	system, demo = "kb-system", "demo"
)

// place is the cluster that is tested.
var place struct {
	config *rest.Config
	scheme *runtime.Scheme
	c      client.Client
	root   string
	faults faults
}

func TestMain(m *testing.M) {
	if os.Getenv(envRun) == "" {
		fmt.Fprintln(os.Stderr, "these tests change the cluster that KUBECONFIG names: make test-kubernetes runs them")
		return
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes tests:", err)
		os.Exit(1) //nolint:forbidigo // what the test runner wants
	}
	os.Exit(m.Run()) //nolint:forbidigo // what the test runner wants
}

// prepare connects, and installs what is to be tested.
func prepare() error {
	ctrl.SetLogger(logr.Discard())
	place.root = "../.."
	if dir := os.Getenv(envRoot); dir != "" {
		place.root = dir
	}
	var err error
	if place.scheme, err = api.NewScheme(); err != nil {
		return err
	}
	if place.config, err = ctrl.GetConfig(); err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	if place.c, err = client.New(place.config, client.Options{Scheme: place.scheme}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	place.faults = faultsOf(os.Getenv(envLab))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for _, name := range []string{system, demo} {
		err := place.c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
	}
	return install(ctx, os.Getenv(envManifests))
}

// install applies what the chart makes, and waits for the operator.
func install(ctx context.Context, path string) error {
	if path == "" {
		return nil
	}
	objects, err := sample.Read(path)
	if err != nil {
		return err
	}
	for _, o := range objects {
		for {
			err := place.c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership)
			if err == nil {
				break
			}
			// A kind is known a moment after its definition.
			if !apierrors.IsNotFound(err) && !isNoMatch(err) || ctx.Err() != nil {
				return fmt.Errorf("install %s %s: %w", o.GetKind(), o.GetName(), err)
			}
			if err := pause(ctx, time.Second); err != nil {
				return fmt.Errorf("install %s %s: %w", o.GetKind(), o.GetName(), err)
			}
		}
	}
	return rolledOut(ctx)
}

// rolledOut waits until the operator is the one that was installed: the one before might do the work.
func rolledOut(ctx context.Context) error {
	for {
		var list k8sappsv1.DeploymentList
		err := place.c.List(ctx, &list, client.InNamespace(system))
		if err == nil && len(list.Items) > 0 && !slices.ContainsFunc(list.Items, func(d k8sappsv1.Deployment) bool {
			s := &d.Status
			return s.ObservedGeneration != d.Generation || s.Replicas != *d.Spec.Replicas || s.UpdatedReplicas != s.Replicas || s.AvailableReplicas != s.Replicas
		}) {
			return nil
		}
		if late := pause(ctx, time.Second); late != nil {
			return fmt.Errorf("wait for the operator: %w", errors.Join(late, err))
		}
	}
}

// pause waits before another try.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("out of time: %w", ctx.Err())
	}
}
