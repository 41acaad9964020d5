// Package operator_test runs the whole operator against a real API server: what a user applies goes
// in, and what must come of it is waited for. Machines, volumes and garbage collection are
// stood in for by package kubelet, nodes by package fleet. Each test has a namespace, machines and a
// world of its own, so tests run side by side.
//
// The names of tests begin with the number of the check that they are about: the list is in
// docs/kubernetes.md.
package operator_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sextantdb/sextant/operator/api"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

const (
	root = "../.."
	// skip says that the tests are not to run: without it, a control plane that is missing is a failure.
	skip = "SEXTANT_SKIP_OPERATOR_TESTS"
	// assets is where kube-apiserver and etcd are, if not where make puts them.
	assets = "KUBEBUILDER_ASSETS"
	// parallel is how many tests run side by side.
	parallel = "6"
	// system is the namespace of the operator.
	system = "kb-system"
)

// plane is the API server of all tests.
var plane struct {
	config *rest.Config
	// operator is config with the rights of the operator alone.
	operator *rest.Config
	scheme   *runtime.Scheme
}

func TestMain(m *testing.M) {
	if kubeconfig := os.Getenv(envKubeconfig); kubeconfig != "" {
		if err := beOperator(kubeconfig); err != nil {
			os.Exit(fail(err)) //nolint:forbidigo // it is a process of its own
		}
		return
	}
	if os.Getenv(skip) != "" {
		fmt.Fprintln(os.Stderr, "the operator's tests are skipped, as", skip, "says")
		return
	}
	os.Exit(run(m)) //nolint:forbidigo // what the test runner wants
}

// run starts the control plane, and stops it after the tests.
func run(m *testing.M) (code int) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join(root, "deploy/charts/sextant/crds")}, ErrorIfCRDPathMissing: true,
		BinaryAssetsDirectory: binaries(),
		// A machine that is busy with other tests starts programs slowly.
		ControlPlaneStartTimeout: 3 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	// Claims and pods keep their protections; nothing makes service accounts here.
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.96.0.0/16")
	// Some have this on: who has an object block the deletion of its owner needs a right for that.
	env.ControlPlane.GetAPIServer().Configure().Append("enable-admission-plugins", "OwnerReferencesPermissionEnforcement")
	env.CRDInstallOptions.MaxTime = 3 * time.Minute
	config, err := env.Start()
	if err != nil {
		_ = env.Stop() // what of it has started
		return fail(fmt.Errorf("start the control plane (make controlplane builds it, %s=1 skips these tests): %w", skip, err))
	}
	defer func() {
		if err := env.Stop(); err != nil {
			code = fail(fmt.Errorf("stop the control plane: %w", err))
		}
	}()
	config.QPS, config.Burst = -1, -1
	plane.config = config
	if plane.scheme, err = api.NewScheme(); err != nil {
		return fail(err)
	}
	user, err := install(context.Background())
	if err != nil {
		return fail(err)
	}
	account, err := env.AddUser(user, nil)
	if err != nil {
		return fail(fmt.Errorf("make the operator's account: %w", err))
	}
	plane.operator = account.Config()
	kubeconfig, err := account.KubeConfig()
	if err != nil {
		return fail(fmt.Errorf("make the operator's account: %w", err))
	}
	if err := operator.prepare(kubeconfig); err != nil {
		return fail(err)
	}
	defer operator.close()
	if f := flag.Lookup("test.parallel"); f != nil {
		_ = f.Value.Set(parallel) // tests wait most of the time; a flag on the command line counts all the same
	}
	code = m.Run()
	if err := operator.failed(); err != nil {
		return fail(err)
	}
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "operator tests:", err)
	return 1
}

func binaries() string {
	if dir := os.Getenv(assets); dir != "" {
		return dir
	}
	dir, err := filepath.Abs(filepath.Join(root, ".cache/controlplane"))
	if err != nil {
		return root
	}
	return dir
}

// install applies what the chart brings, and returns who the operator is.
func install(ctx context.Context) (envtest.User, error) {
	c, err := client.New(plane.config, client.Options{Scheme: plane.scheme})
	if err != nil {
		return envtest.User{}, fmt.Errorf("connect: %w", err)
	}
	if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}); err != nil {
		return envtest.User{}, fmt.Errorf("make the operator's namespace: %w", err)
	}
	objects, err := sample.Read("testdata/definitions.yaml")
	if err != nil {
		return envtest.User{}, err
	}
	for _, o := range objects {
		if err := c.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return envtest.User{}, fmt.Errorf("install %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return grant(ctx, c)
}
