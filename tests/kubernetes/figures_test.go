package kubernetes_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sextantdb/sextant/internal/testbed"
	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

const (
	// envIdle is how many idle clusters of one node TestIdle makes beside the usual one.
	envIdle = "SEXTANT_KUBERNETES_IDLE"
	// envRest is for how long it counts what the operator writes.
	envRest = "SEXTANT_KUBERNETES_REST"
	// envMegabytes is how much data the test of scaling with much data loads; without it that is skipped.
	envMegabytes = "SEXTANT_KUBERNETES_MEGABYTES"
	// idleSpace is where idle clusters are.
	idleSpace = "demo-idle"
)

// A cluster at rest costs nothing: the operator writes nothing.
func TestIdle(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	many := testbed.EnvNumber(t, envIdle, 0)
	b.idle(many)
	rest := time.Duration(testbed.EnvNumber(t, envRest, 30)) * time.Second
	// What follows a change is over when nothing is written for a while.
	b.eventually("rest", func() (string, error) {
		before, err := b.operatorWrites()
		if err != nil {
			return "", err
		}
		if err := pause(t.Context(), 15*time.Second); err != nil {
			return "", err
		}
		after, err := b.operatorWrites()
		return difference(before, after), err
	})
	before, err := b.operatorWrites()
	require.NoError(t, err)
	require.NoError(t, pause(t.Context(), rest))
	after, err := b.operatorWrites()
	require.NoError(t, err)
	figure(t, fmt.Sprintf("%d clusters", many+1), "written in "+rest.String(), or(difference(before, after), "nothing"))
	metrics, err := b.operatorMetrics()
	require.NoError(t, err)
	for _, name := range []string{"process_resident_memory_bytes", "go_memstats_heap_inuse_bytes"} {
		if f := metrics[name]; f != nil {
			figure(t, fmt.Sprintf("%d clusters", many+1), "operator "+name, fmt.Sprintf("%.1f MB", f.GetMetric()[0].GetGauge().GetValue()/1e6))
		}
	}
	require.Empty(t, difference(before, after), "writes of the operator at rest")
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// idle makes small clusters of one node, and waits until they run.
func (b *bed) idle(many int) {
	b.t.Helper()
	if many == 0 {
		return
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: idleSpace}}
	require.NoError(b.t, b.c.Create(b.ctx, space))
	b.t.Cleanup(func() { require.NoError(b.t, b.c.Delete(b.ctx, space)) })
	for i := range many {
		c := sample.One[appsv1.Cluster](b.t, place.root, "cluster.yaml", idleSpace)
		c.Name = fmt.Sprintf("idle-%d", i)
		spec := &c.Spec.ComponentSpecs[0]
		spec.Replicas = 1
		spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("32Mi")}
		require.NoError(b.t, b.c.Create(b.ctx, c))
	}
	b.eventually("idle clusters run", func() (string, error) {
		var list appsv1.ClusterList
		err := b.c.List(b.ctx, &list, client.InNamespace(idleSpace))
		running := 0
		for i := range list.Items {
			if list.Items[i].Status.Phase == appsv1.ClusterRunning {
				running++
			}
		}
		if running < many {
			return fmt.Sprintf("%d of %d", running, many), err
		}
		return "", err
	})
}

// operatorMetrics are those of the operator that works.
func (b *bed) operatorMetrics() (map[string]*dto.MetricFamily, error) {
	var pods corev1.PodList
	if err := b.c.List(b.ctx, &pods, client.InNamespace(system)); err != nil {
		return nil, fmt.Errorf("find the operator: %w", err)
	}
	var failed error
	for i := range pods.Items {
		all, err := scrape(b.ctx, net.JoinHostPort(pods.Items[i].Status.PodIP, "8080"))
		if all["controller_runtime_reconcile_total"] != nil {
			return all, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, fmt.Errorf("no pod of %d in %s is an operator that works: %w", len(pods.Items), system, failed)
}

func scrape(ctx context.Context, host string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/metrics", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s for metrics: %s", host, resp.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("understand metrics: %w", err)
	}
	return all, nil
}

// operatorWrites counts the requests by which the operator has changed something. Its lease, by which operators
// know that one works, it renews with PUT, which nothing else uses.
func (b *bed) operatorWrites() (map[string]float64, error) {
	all, err := b.operatorMetrics()
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, m := range all["rest_client_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if v := l.GetValue(); l.GetName() == "method" && (v == http.MethodPost || v == http.MethodPatch || v == http.MethodDelete) {
				out[v] += m.GetCounter().GetValue()
			}
		}
	}
	return out, nil
}

// difference says what was written between two looks.
func difference(before, after map[string]float64) string {
	var text strings.Builder
	for _, method := range names(after) {
		if n := after[method] - before[method]; n != 0 {
			fmt.Fprintf(&text, "%.0f %s ", n, method)
		}
	}
	return text.String()
}

// Scaling out and in under load with as much data as is asked for.
func Test18And19MuchData(t *testing.T) {
	megabytes := testbed.EnvNumber(t, envMegabytes, 0)
	if megabytes == 0 {
		t.Skip("set " + envMegabytes + " to how much data there shall be")
	}
	b := newBed(t)
	b.runs(3)
	b.door.fill(t)
	began := time.Now()
	b.bulk(megabytes)
	figure(t, fmt.Sprintf("%d MB", megabytes), "loading took", time.Since(began).Round(time.Second))
	count := b.count()
	tr := startTraffic(t, b.door)
	began = time.Now()
	b.op("scale-out.yaml")
	b.phase(appsv1.ClusterRunning)
	b.agree(4)
	b.spread()
	figure(t, fmt.Sprintf("%d MB", megabytes), "3 to 4, until copies are spread", time.Since(began).Round(time.Second))
	began = time.Now()
	b.op("scale-in.yaml")
	b.phase(appsv1.ClusterRunning)
	b.agree(3)
	figure(t, fmt.Sprintf("%d MB", megabytes), "4 to 3", time.Since(began).Round(time.Second))
	tr.stop(t, fmt.Sprintf("3 to 4 to 3 with %d MB", megabytes))
	require.Equal(t, count, b.count())
	b.inSync()
	b.door.whole(t, "c1", "c2")
}

// bulk loads so many megabytes into a collection of its own, with two copies of all.
func (b *bed) bulk(megabytes int) {
	b.t.Helper()
	const each, batch = 10_000, 100 // bytes of a payload, points of a request: 1 MB
	b.door.must(b.t, http.MethodPut, "/collections/bulk", map[string]any{
		"vectors": map[string]any{"size": dims, "distance": "Euclid"}, "shard_number": 6, "replication_factor": 2,
	})
	var g errgroup.Group
	g.SetLimit(3)
	for n := range megabytes {
		g.Go(func() error {
			noise := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
			var some []point
			for i := range batch {
				raw := make([]byte, each*3/4)
				_, _ = noise.Read(raw) // it never fails
				p := pointOf(uint64(n*batch + i))
				p.Payload["bulk"] = base64.StdEncoding.EncodeToString(raw)
				some = append(some, p)
			}
			_, err := b.door.patiently(b.ctx, http.MethodPut, "/collections/bulk/points?wait=true", map[string]any{"points": some}, nil)
			return err
		})
	}
	require.NoError(b.t, g.Wait())
}

// count counts the points that bulk has loaded.
func (b *bed) count() int {
	b.t.Helper()
	var answer struct {
		Count int `json:"count"`
	}
	_, err := b.door.patiently(b.ctx, http.MethodPost, "/collections/bulk/points/count", map[string]any{"exact": true}, &answer)
	require.NoError(b.t, err)
	return answer.Count
}
