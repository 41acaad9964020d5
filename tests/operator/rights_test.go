package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/process"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

// The operator of these tests is a user with the rights that the chart gives it, and no others: what any test has it do
// shows that it may. A request that is refused for want of a right fails the tests, although the operator would
// only log it and try again.

const (
	// envHelm is where helm is, which renders the chart.
	envHelm = "SEXTANT_HELM"
	// envDenied is a file in which the operator notes what it was not allowed to do.
	envDenied = "SEXTANT_TEST_OPERATOR_DENIED"
)

// grant applies the rights of the chart and what it refuses everybody, and returns who has the rights.
func grant(ctx context.Context, c client.Client) (envtest.User, error) {
	var user envtest.User
	program := os.Getenv(envHelm)
	if program == "" {
		return user, fmt.Errorf("%s doesn't say where helm is, which renders the rights of the operator: run make test-operator", envHelm)
	}
	cmd := exec.CommandContext(ctx, program, "template", "sextant", root+"/deploy/charts/sextant", "--namespace", system,
		"--show-only", "templates/rbac.yaml", "--show-only", "templates/admission.yaml")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	rendered, err := cmd.Output()
	if err != nil {
		return user, fmt.Errorf("render the rights of the operator: %w: %s", err, complaint.String())
	}
	objects, err := sample.Parse(bytes.NewReader(rendered))
	if err != nil {
		return user, fmt.Errorf("read the rights of the operator: %w", err)
	}
	for _, o := range objects {
		if name := subjectOf(o); name != "" {
			user = envtest.User{Name: name, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + system}}
		}
		if err := c.Create(ctx, o); err != nil {
			return user, fmt.Errorf("install %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	if user.Name == "" {
		return user, errors.New("the chart gives its rights to nobody")
	}
	return user, nil
}

// subjectOf is the name of the user whom a binding is about, "" when it is none.
func subjectOf(o *unstructured.Unstructured) string {
	subjects, _, err := unstructured.NestedSlice(o.Object, "subjects")
	if err != nil || len(subjects) != 1 {
		return ""
	}
	one, _ := subjects[0].(map[string]any)
	if one["kind"] != rbacv1.ServiceAccountKind {
		return ""
	}
	return fmt.Sprintf("system:serviceaccount:%s:%s", one["namespace"], one["name"])
}

// watchful notes the requests that are refused because the operator has no right to them.
type watchful struct {
	http.RoundTripper
	mu   sync.Mutex
	file string
}

// RoundTrip implements http.RoundTripper.
func (w *watchful) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		return resp, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read why %s %s is forbidden: %w", req.Method, req.URL.Path, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	// Others refuse with this status, too: a namespace that goes, a quota.
	if text := string(raw); strings.Contains(text, "cannot") {
		if err := w.note(req.Method + " " + req.URL.Path + ": " + strings.TrimSpace(text)); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

func (w *watchful) note(line string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.OpenFile(w.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note what was denied: %w", err)
	}
	_, err = fmt.Fprintln(f, line)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note what was denied: %w", err)
	}
	return nil
}

// watched has the denials of a client noted in a file.
func watched(config *rest.Config, file string) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return &watchful{RoundTripper: rt, file: file} })
	return config
}

// denied returns what the operator was not allowed to do, nil when there is nothing.
func denied(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the operator was not allowed to do: %w", err)
	}
	return fmt.Errorf("the rights of the chart are not enough for what the operator does: %s", text)
}

// TestRightsAreOnlyThose: whatever these tests show, they show it with the rights of the chart.
func TestRightsAreOnlyThose(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/denied"
	c, err := kubernetes.NewForConfig(watched(plane.operator, file))
	require.NoError(t, err)
	require.NoError(t, denied(file))
	err = c.CoreV1().RESTClient().Get().Resource("nodes").Do(t.Context()).Error()
	require.NoError(t, err)
	require.NoError(t, denied(file))
	err = c.CoreV1().RESTClient().Delete().Resource("nodes").Name("kn1").Do(t.Context()).Error()
	require.ErrorContains(t, err, "cannot delete resource")
	require.ErrorContains(t, denied(file), "DELETE /api/v1/nodes/kn1")
}

// TestRightsForPodsWithRights: a definition whose pods have rights gets them bound, which only who may bind the role can do.
func TestRightsForPodsWithRights(t *testing.T) {
	b := newBed(t, 1)
	objects, err := sample.Read("testdata/definitions.yaml")
	require.NoError(t, err)
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ComponentDefinition" })
	armed := objects[i]
	armed.SetName("armed-1.0.0")
	require.NoError(t, unstructured.SetNestedSlice(armed.Object, []any{map[string]any{
		"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"},
	}}, "spec", "policyRules"))
	containers, _, err := unstructured.NestedSlice(armed.Object, "spec", "runtime", "containers")
	require.NoError(t, err)
	for _, c := range containers {
		c.(map[string]any)["image"] = "test/sextant:1.10.0"
	}
	require.NoError(t, unstructured.SetNestedSlice(armed.Object, containers, "spec", "runtime", "containers"))
	require.NoError(t, b.c.Create(b.ctx, armed))
	t.Cleanup(func() { require.NoError(t, b.c.Delete(context.Background(), armed)) })
	b.runs(1, func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ComponentDef = armed.GetName() })
	var bindings rbacv1.RoleBindingList
	require.NoError(t, b.c.List(b.ctx, &bindings, client.InNamespace(b.ns)))
	require.Len(t, bindings.Items, 1)
	require.Equal(t, naming.PodClusterRole, bindings.Items[0].RoleRef.Name)
}

// TestRightsToHoldTheLease: the operator of the other tests is alone, and holds none.
func TestRightsToHoldTheLease(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/denied"
	c, err := kubernetes.NewForConfig(watched(plane.operator, file))
	require.NoError(t, err)
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, system, process.LeaseName, c.CoreV1(), c.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: "one"})
	require.NoError(t, err)
	for range 2 { // made, and taken again
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		leads := false
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) {
					leads = true
					cancel()
				},
				OnStoppedLeading: func() {},
			},
		})
		require.NoError(t, err)
		elector.Run(ctx)
		cancel()
		require.True(t, leads, "%v", denied(file))
	}
	require.NoError(t, denied(file))
}
