package kubernetes_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// Check 34: monitoring.

// monitor is what a PodMonitor has Prometheus scrape: a port, by its name, of all pods with labels.
type monitor struct {
	port   string
	labels client.MatchingLabels
}

// monitors are that of KubeBlocks' manual, and that of the chart.
func monitors() map[string]monitor {
	return map[string]monitor{
		"the manual's": {"tcp-qdrant", client.MatchingLabels{
			"app.kubernetes.io/instance": clusterName, "apps.kubeblocks.io/component-name": componentName,
		}},
		"the chart's": {"http-metrics", client.MatchingLabels{
			"app.kubernetes.io/managed-by": "kubeblocks", "workloads.kubeblocks.io/managed-by": "InstanceSet",
		}},
	}
}

// targetLabels are those of pods that both pass on to what they scrape.
var targetLabels = []string{
	"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "apps.kubeblocks.io/component-name", "apps.kubeblocks.io/pod-name",
}

// up scrapes as Prometheus would, and says for which pods that doesn't work.
func (b *bed) up(m *monitor, nodes int) (string, error) {
	var pods corev1.PodList
	if err := b.c.List(b.ctx, &pods, client.InNamespace(demo), m.labels); err != nil {
		return "", fmt.Errorf("find what %s scrapes: %w", m.port, err)
	}
	if len(pods.Items) != nodes {
		return fmt.Sprintf("%d pods are scraped", len(pods.Items)), nil
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		for _, label := range targetLabels {
			if p.Labels[label] == "" {
				return p.Name + " has no label " + label, nil
			}
		}
		host := portOf(p, m.port)
		if host == "" {
			return p.Name + " has no port " + m.port, nil
		}
		all, err := scrape(b.ctx, host)
		if err != nil {
			return p.Name, err
		}
		if got := valueOf(all["cluster_peers_total"]); got != float64(nodes) {
			return fmt.Sprintf("%s tells of %v nodes", p.Name, got), nil
		}
	}
	return "", nil
}

// portOf is where a container's port is reached, "" when there is none of the name.
func portOf(p *corev1.Pod, name string) string {
	for i := range p.Spec.Containers {
		for _, port := range p.Spec.Containers[i].Ports {
			if port.Name == name {
				return net.JoinHostPort(p.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
			}
		}
	}
	return ""
}

func valueOf(f *dto.MetricFamily) float64 {
	for _, m := range f.GetMetric() {
		return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
	}
	return -1
}

func Test34Monitoring(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	for name, m := range monitors() {
		b.eventually(name+" PodMonitor scrapes every pod", func() (string, error) { return b.up(&m, 3) })
	}
}

// A node with a key or with TLS is scraped by way of its exporter, which needs neither.
func Test34MonitoringOfASecuredCluster(t *testing.T) {
	const word = "a-word-of-a-secret"
	userSecret(t, "qdrant-api-key", map[string][]byte{"api-key": []byte(word)})
	b := newBed(t)
	b.runs(1, func(c *appsv1.Cluster) {
		c.Spec.ComponentSpecs[0].TLS = true
		keyFromSecret(c)
	})
	m := monitors()["the chart's"]
	b.eventually("the chart's PodMonitor scrapes every pod", func() (string, error) { return b.up(&m, 1) })
	m = monitors()["the manual's"]
	_, err := b.up(&m, 1)
	require.Error(t, err, "without a key and TLS a node tells nothing")
}
