package telemetry

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	pb "github.com/qdrant/go-client/qdrant"
)

// Options are what a Telemetry tells about. Zero values of the optional ones
// work.
type Options struct {
	// Version is the version of the public API that is served.
	Version  string
	Requests *Requests
	Source   Source // optional
	// Cluster tells about the cluster; nil is a node alone.
	Cluster Cluster
	// InfoJSON renders a collection's description as the REST door does; without
	// it, collections are told without their configuration.
	InfoJSON func(*pb.CollectionInfo) ([]byte, error)
	// Prefix is put before the name of every metric.
	Prefix string
	// ID names this run of the node in /telemetry.
	ID string
	// JWT says whether access is controlled by tokens.
	JWT    bool
	Logger *slog.Logger
	// Timeout bounds how long the collections are asked; 0 is 30 s.
	Timeout time.Duration
}

// Telemetry serves /metrics and /telemetry of one node.
type Telemetry struct {
	opts    Options
	started time.Time
	process *prometheus.Registry // what doesn't depend on the request
}

// New makes a Telemetry.
func New(o Options) *Telemetry {
	if o.Requests == nil {
		o.Requests = NewRequests()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	t := &Telemetry{opts: o, started: time.Now(), process: prometheus.NewRegistry()}
	prometheus.WrapRegistererWithPrefix(o.Prefix, t.process).MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
	)
	return t
}

// Metrics is the handler of GET /metrics. The query parameter anonymize=true
// hides the names of collections, per_collection=true counts the requests to
// each.
func (t *Telemetry) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), t.timeout(r))
		defer cancel()
		reg := prometheus.NewRegistry()
		prometheus.WrapRegistererWithPrefix(t.opts.Prefix, reg).MustRegister(
			&collector{t: t, ctx: ctx, anonymize: flag(r, "anonymize"), byCollection: flag(r, "per_collection")})
		promhttp.HandlerFor(prometheus.Gatherers{reg, t.process}, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, // the rest is still worth having
			ErrorLog:      gatherLog{t.opts.Logger},
		}).ServeHTTP(w, r)
	})
}

// timeout is the time a look may take: the parameter of that name, in seconds.
func (t *Telemetry) timeout(r *http.Request) time.Duration {
	n, err := strconv.Atoi(r.URL.Query().Get("timeout"))
	if err != nil || n < 1 || n > 24*60*60 {
		return t.opts.Timeout
	}
	return time.Duration(n) * time.Second
}

func flag(r *http.Request, name string) bool {
	v, err := strconv.ParseBool(r.URL.Query().Get(name))
	return err == nil && v
}

// hidden stands for a name that should not be seen, the same for the same name.
func hidden(name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("%016x", h.Sum64())
}

type gatherLog struct{ *slog.Logger }

// Println implements promhttp.Logger.
func (l gatherLog) Println(v ...any) { l.Warn("gather metrics failed", "error", fmt.Sprint(v...)) }

// collector gathers for one request to /metrics.
type collector struct {
	t         *Telemetry
	ctx       context.Context //nolint:containedctx // lives as long as the request it belongs to
	anonymize bool
	// byCollection counts requests of the REST door for each collection.
	byCollection bool
}

// Describe implements prometheus.Collector. It describes nothing: which series
// there are is known when they are collected.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge(out, "app_info", "information about qdrant server", 1, "name", "qdrant", "version", c.t.opts.Version)
	gauge(out, "app_status_recovery_mode", "is the server in recovery mode", 0)
	c.cluster(out)
	c.collections(out)
	c.requests(out)
	m := ReadMemory()
	gauge(out, "memory_active_bytes", "bytes in active pages allocated by the application", float64(m.Active))
	gauge(out, "memory_allocated_bytes", "bytes allocated by the application", float64(m.Allocated))
	gauge(out, "memory_metadata_bytes", "bytes dedicated to the allocator's metadata", float64(m.Metadata))
	gauge(out, "memory_resident_bytes", "bytes in physical memory mapped by the process", float64(m.Resident))
	gauge(out, "memory_retained_bytes", "bytes of address space kept without physical memory", float64(m.Retained))
	if m.Needed > 0 {
		gauge(out, "memory_needed_bytes", "bytes that the process can't do without: no pages of files, no garbage", float64(m.Needed))
	}
	processMetrics(out)
}

// collections asks the front desk. When it can't answer, the error is a metric
// of its own to the registry, and the others still come.
func (c *collector) collections(out chan<- prometheus.Metric) {
	if c.t.opts.Source == nil {
		gauge(out, "collections_total", "number of collections", 0)
		return
	}
	all, err := c.t.opts.Source.Collections(c.ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(desc("collections_total", "number of collections"), err)
		return
	}
	gauge(out, "collections_total", "number of collections", float64(len(all)))
	var vectors uint64
	for _, col := range all {
		name := col.Name
		if c.anonymize {
			name = hidden(name)
		}
		i := col.Info
		gauge(out, "collection_points", "approximate number of points", float64(i.GetPointsCount()), "id", name)
		gauge(out, "collection_indexed_vectors", "approximate number of vectors in an index", float64(i.GetIndexedVectorsCount()), "id", name)
		gauge(out, "collection_segments", "number of segments", float64(i.GetSegmentsCount()), "id", name)
		optimizing := 0.0
		if i.GetStatus() == pb.CollectionStatus_Yellow {
			optimizing = 1
		}
		gauge(out, "collection_running_optimizations", "number of running optimizations", optimizing, "id", name)
		gauge(out, "collection_update_queue_length", "operations waiting to be applied", float64(i.GetUpdateQueue().GetLength()), "id", name)
		for vector, n := range col.Vectors {
			gauge(out, "collection_vectors", "number of vectors", float64(n), "id", name, "vector", vector)
		}
		vectors += vectorsOf(col)
	}
	gauge(out, "collections_vector_total", "number of vectors in all collections", float64(vectors))
}

// vectorsOf is the number of vectors of a collection, of all names together.
func vectorsOf(c Collection) (n uint64) {
	for _, one := range c.Vectors {
		n += one
	}
	return n
}

// requests writes the counts of both doors.
func (c *collector) requests(out chan<- prometheus.Metric) {
	for key, s := range *c.t.opts.Requests.series.Load() {
		if c.byCollection && !key.grpc && strings.Contains(key.endpoint, "{collection_name}") == (key.collection == "") ||
			!c.byCollection && key.collection != "" {
			continue
		}
		snap := s.read()
		door, labels := "rest", []string{"method", key.method, "endpoint", key.endpoint, "status", strconv.Itoa(key.status)}
		if key.grpc {
			door, labels = "grpc", []string{"endpoint", key.endpoint, "status", strconv.Itoa(key.status)}
		}
		if key.collection != "" {
			name := key.collection
			if c.anonymize {
				name = hidden(name)
			}
			labels = append(labels, "collection", name)
		}
		name := door + "_responses_"
		value(out, prometheus.CounterValue, name+"total", "total number of responses", float64(snap.count), labels...)
		gauge(out, name+"avg_duration_seconds", "average response duration", snap.mean().Seconds(), labels...)
		gauge(out, name+"min_duration_seconds", "minimum response duration", snap.min.Seconds(), labels...)
		gauge(out, name+"max_duration_seconds", "maximum response duration", snap.max.Seconds(), labels...)
		names, values := pairs(labels)
		d := prometheus.NewDesc(name+"duration_seconds", "response duration histogram", names, nil)
		if h, err := prometheus.NewConstHistogram(d, snap.count, snap.sum.Seconds(), snap.cumulative, values...); err == nil {
			out <- h
		} else {
			out <- prometheus.NewInvalidMetric(d, err)
		}
	}
}

// processMetrics adds what the stock process collector has no name for.
func processMetrics(out chan<- prometheus.Metric) {
	if n, ok := number("/proc/sys/vm/max_map_count"); ok {
		gauge(out, "system_max_mmaps", "limit of memory maps of a process", n)
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		gauge(out, "process_open_mmaps", "open memory maps", float64(strings.Count(string(maps), "\n")))
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	// The name in parentheses may hold blanks; the fields after it don't.
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	const minorFaults, majorFaults, threads = 7, 9, 17
	if len(f) > threads {
		counter := prometheus.CounterValue
		value(out, counter, "process_minor_page_faults_total", "page faults without disk access", parse(f[minorFaults]))
		value(out, counter, "process_major_page_faults_total", "page faults with disk access", parse(f[majorFaults]))
		gauge(out, "process_threads", "threads of the process", parse(f[threads]))
	}
}

func number(file string) (float64, bool) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return n, err == nil
}

func parse(s string) float64 {
	n, _ := strconv.ParseFloat(s, 64)
	return n
}

func desc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// gauge writes one gauge; labels are names and values in turn.
func gauge(out chan<- prometheus.Metric, name, help string, v float64, labels ...string) {
	value(out, prometheus.GaugeValue, name, help, v, labels...)
}

func value(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64, labels ...string) {
	names, values := pairs(labels)
	d := prometheus.NewDesc(name, help, names, nil)
	m, err := prometheus.NewConstMetric(d, kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	out <- m
}

func pairs(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}
