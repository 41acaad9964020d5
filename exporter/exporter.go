// Package exporter serves metrics of a node for Prometheus: those of the node itself, passed
// through, and what operators need besides: where the copies of shards are and how they are,
// which shards lack copies or a leader, who belongs to the cluster.
//
// Every scrape asks the node, within a time limit. A node that doesn't answer is a metric, not
// a failed scrape. What is told per shard is told by the exporter of the node that has the copy,
// or leads the shard, so that the number of series grows with the copies, not with copies times
// nodes; sums per collection are told by all. Beyond a number of collections the rest is left
// out, and a metric says how many.
//
// Caller: cmd/sextant.
package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/client"
)

const (
	// usualTimeout bounds a scrape that says nothing; margin is kept of the time that Prometheus
	// grants, for the way back.
	usualTimeout = 9 * time.Second
	margin       = 500 * time.Millisecond
	// usualCollections is how many collections are told about.
	usualCollections = 200
	// sideBySide is how many collections a scrape asks about at a time.
	sideBySide = 4
	// scrapes is how many scrapes may be under way; further ones are refused.
	scrapes = 4
)

// Options are what an exporter needs. Zero values of the optional ones work.
type Options struct {
	// Node is asked.
	Node *client.Client
	// MaxCollections is how many collections are told about; 0 is 200.
	MaxCollections int
	// Timeout bounds a scrape; 0 is 9 s. Prometheus may ask for less.
	Timeout time.Duration
	Logger  *slog.Logger
}

// Exporter serves the metrics.
type Exporter struct{ o Options }

// New makes an exporter.
func New(o Options) *Exporter {
	if o.MaxCollections <= 0 {
		o.MaxCollections = usualCollections
	}
	if o.Timeout <= 0 {
		o.Timeout = usualTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Exporter{o: o}
}

// Handler answers GET /metrics and /healthz.
func (e *Exporter) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	room := make(chan struct{}, scrapes)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			http.Error(w, "too many scrapes at a time", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), e.timeout(r))
		defer cancel()
		families := e.gather(ctx)
		promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil }),
			promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
	})
	return mux
}

// timeout is how long a scrape may take: what Prometheus says it waits, or the usual.
func (e *Exporter) timeout(r *http.Request) time.Duration {
	s, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || s <= 0 || s > e.o.Timeout.Seconds() {
		return e.o.Timeout
	}
	return max(time.Duration(s*float64(time.Second))-margin, margin)
}

// Serve answers on a port until ctx ends.
func (e *Exporter) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: e.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(e.o.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.o.Timeout)
		defer cancel()
		if srv.Shutdown(late) != nil {
			_ = srv.Close() // a scrape that is cut off is only missed
		}
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// gather asks the node once. What fails is logged and told as a metric; the rest still comes.
func (e *Exporter) gather(ctx context.Context) []*dto.MetricFamily {
	begun := time.Now()
	var (
		wg       sync.WaitGroup
		passed   map[string]*dto.MetricFamily
		s        sight
		err, bad error
	)
	wg.Go(func() { passed, err = e.passed(ctx) })
	wg.Go(func() { s, bad = e.look(ctx) })
	wg.Wait()
	for _, one := range []error{err, bad} {
		if one != nil {
			e.o.Logger.WarnContext(ctx, "scraping the node", "error", one)
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(&collector{
		sight: s, took: time.Since(begun), failed: map[string]bool{"metrics": err != nil, "cluster": bad != nil},
	})
	own, gathering := reg.Gather()
	if gathering != nil {
		e.o.Logger.ErrorContext(ctx, "gathering metrics", "error", gathering)
	}
	return merge(passed, own, s.skipped)
}

// passed asks for the node's own metrics.
func (e *Exporter) passed(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	_, text, err := e.o.Node.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the node's metrics: %w", err)
	}
	return all, nil
}

// merge puts the exporter's own metrics to those of the node, which win, and leaves out what is about
// collections that are skipped.
func merge(passed map[string]*dto.MetricFamily, own []*dto.MetricFamily, skipped map[string]bool) []*dto.MetricFamily {
	if passed == nil {
		passed = map[string]*dto.MetricFamily{}
	}
	for name, f := range passed {
		if f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool { return about(m, skipped) }); len(f.Metric) == 0 {
			delete(passed, name)
		}
	}
	for _, f := range own {
		if passed[f.GetName()] == nil {
			passed[f.GetName()] = f
		}
	}
	var all []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(passed)) {
		all = append(all, passed[name])
	}
	return all
}

// about tells whether a metric is about one of some collections.
func about(m *dto.Metric, collections map[string]bool) bool {
	return len(collections) > 0 && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
		return (l.GetName() == "id" || l.GetName() == "collection") && collections[l.GetValue()]
	})
}

// sight is what a scrape has seen. Parts that failed are nil.
type sight struct {
	version *client.Version
	view    *client.View
	// names is how many collections there are, -1 unknown; skipped are those that aren't told about.
	names   int
	skipped map[string]bool
}

// look asks for everything that the node's own metrics don't tell.
func (e *Exporter) look(ctx context.Context) (s sight, err error) {
	s.names = -1
	v, err := e.o.Node.Version(ctx)
	if err != nil {
		return s, err
	}
	s.version = &v
	c, err := e.o.Node.Cluster(ctx)
	if err != nil {
		return s, err
	}
	s.view = &client.View{Cluster: c}
	names, err := e.o.Node.Collections(ctx)
	if err != nil {
		return s, err
	}
	s.names = len(names)
	slices.Sort(names)
	if n := e.o.MaxCollections; len(names) > n {
		s.skipped = map[string]bool{}
		for _, name := range names[n:] {
			s.skipped[name] = true
		}
		names = names[:n]
	}
	s.view.Collections, err = e.collections(ctx, names)
	return s, err
}

// collections asks about collections, a few at a time. Those that are gone are left out; after the first
// failure the rest isn't asked.
func (e *Exporter) collections(ctx context.Context, names []string) ([]client.Collection, error) {
	found := make([]client.Collection, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for i, name := range names {
		group.Go(func() (err error) {
			found[i], err = e.o.Node.Collection(ctx, name)
			if client.StatusOf(err) == http.StatusNotFound {
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(found, func(c client.Collection) bool { return c.Layout == nil }), err
}
