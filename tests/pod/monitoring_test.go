package pod

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "sigs.k8s.io/controller-runtime/pkg/controller" // brings the operator's metrics
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/yaml"
)

const chart = "../../deploy/charts/sextant/"

// byPrometheus are labels that Prometheus adds when it scrapes as the chart's monitors say.
var byPrometheus = []string{
	"app_kubernetes_io_instance", "app_kubernetes_io_managed_by", "apps_kubeblocks_io_component_name", "apps_kubeblocks_io_pod_name",
	"namespace", "pod", "container", "service",
}

// others are metrics that Prometheus itself has, and those of the kubelet.
var others = map[string][]string{
	"up": nil, "kubelet_volume_stats_available_bytes": {"persistentvolumeclaim"}, "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
}

// known are metrics with their labels.
type known map[string]map[string]bool

func (k known) add(name string, names ...string) {
	if k[name] == nil {
		k[name] = map[string]bool{}
	}
	for _, l := range slices.Concat(names, byPrometheus) {
		k[name][l] = true
	}
}

// scraped are the metrics that an exporter has.
func scraped(t *testing.T, text string) known {
	t.Helper()
	parsed := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parsed.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	all := known{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var names []string
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
			}
			all.add(name, names...)
			if f.GetType() == dto.MetricType_HISTOGRAM {
				all.add(name+"_bucket", append(names, "le")...)
			}
		}
	}
	for name, names := range others {
		all.add(name, names...)
	}
	return all
}

// operators adds the metrics that the operator will have once it works.
func (k known) operators(t *testing.T) {
	t.Helper()
	c, ok := metrics.Registry.(prometheus.Collector)
	require.True(t, ok)
	described := make(chan *prometheus.Desc, 1000)
	c.Describe(described)
	close(described)
	for d := range described {
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		_, list, _ := strings.Cut(rest, "variableLabels: {")
		list, _, _ = strings.Cut(list, "}")
		k.add(name, strings.Split(list, ",")...)
	}
}

// check parses a query and looks for what it asks for. What a query makes labels of may be used in it.
func (k known) check(t *testing.T, where, query string) {
	t.Helper()
	expr, err := parser.ParseExpr(query)
	require.NoError(t, err, where)
	found := map[string]bool{}
	made := map[string]bool{}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			require.NotNil(t, k[n.Name], "%s: there is no metric %s", where, n.Name)
			maps.Copy(found, k[n.Name])
			for _, m := range n.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					require.True(t, k[n.Name][m.Name], "%s: %s has no label %s", where, n.Name, m.Name)
				}
			}
		case *parser.Call:
			if n.Func.Name == "label_replace" {
				made[n.Args[1].(*parser.StringLiteral).Val] = true //nolint:forcetypeassert // a test
			}
		}
		return nil
	})
	require.NotEmpty(t, found, "%s asks for nothing", where)
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		var names []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			names = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				names = n.VectorMatching.MatchingLabels
			}
		}
		for _, name := range names {
			require.True(t, found[name] || made[name], "%s: nothing has the label %s", where, name)
		}
		return nil
	})
}

// call asks the node over gRPC, too.
func (p *pod) call() {
	p.t.Helper()
	conn, err := grpc.NewClient(net.JoinHostPort(p.name, strconv.Itoa(p.node.GRPC)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, conn.Close()) }()
	_, err = qdrant.NewQdrantClient(conn).HealthCheck(p.t.Context(), &qdrant.HealthCheckRequest{})
	require.NoError(p.t, err)
}

// TestMonitoring has every panel of the dashboard and every alert look for what a pod with work behind it tells.
func TestMonitoring(t *testing.T) {
	a := start(t, 11, nil)
	a.put("/collections/c", `{"vectors":{"size":4,"distance":"Dot"}}`)
	a.put("/collections/c/points?wait=true", `{"points":[{"id":1,"vector":[1,2,3,4]}]}`)
	a.call()
	beside(t, "exporter", a.name+":9187", "--node", a.node.URL(""))
	code, text := get(t, "http://"+a.name+":9187/metrics")
	require.Equal(t, http.StatusOK, code)
	all := scraped(t, text)
	all.operators(t)

	t.Run("dashboard", func(t *testing.T) {
		for title, queries := range panels(t) {
			require.NotEmpty(t, queries, title)
			for _, q := range queries {
				all.check(t, title, strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*", "$cluster", ".*").Replace(q))
			}
		}
	})
	t.Run("alerts", func(t *testing.T) {
		runbook, err := os.ReadFile("../../docs/runbook.md")
		require.NoError(t, err)
		for name, query := range alerts(t) {
			all.check(t, name, query)
			require.Contains(t, string(runbook), "\n## "+name+"\n", "no entry in the runbook")
		}
	})
}

// panels are the queries of the dashboard by title of the panel.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile(chart + "dashboards/sextant.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	out, taken := map[string][]string{}, map[string]bool{}
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		require.False(t, taken[p.Title], "two panels are called %s", p.Title)
		taken[p.Title] = true
		out[p.Title] = nil
		for _, target := range p.Targets {
			out[p.Title] = append(out[p.Title], target.Expr)
		}
	}
	require.NotEmpty(t, out)
	return out
}

// alerts are the queries of the alerts by name.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(chart + "alerts/sextant.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &file))
	out := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			require.NotContains(t, out, r.Alert)
			require.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			out[r.Alert] = r.Expr
		}
	}
	require.NotEmpty(t, out)
	return out
}
