// Package telemetry tells the outside what a node does: /metrics in Prometheus'
// text form and /telemetry as JSON, both under the names that dashboards and
// clients of the public API know.
//
// The doors report each answered request to a Requests; everything else is asked
// for when somebody looks, through the small interface Source, so that telemetry
// costs nothing while nobody does. Each node has a registry of its own: several
// nodes can live in one process.
package telemetry

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// Requests counts answered requests and how long they took. It implements the
// observers of both doors and is safe for concurrent use.
//
// Recording takes no lock: the series of all routes are in a map that is only
// ever replaced as a whole, which happens when a route is first used.
type Requests struct {
	mu     sync.Mutex // held while series is replaced
	series atomic.Pointer[map[route]*series]
	now    func() time.Time
}

// route is what requests are counted by. The routes of the API are few, and
// what isn't a route of the API is counted under one name, so their number is
// bounded whatever clients send. Each is counted once more for its collection,
// within maxByCollection.
type route struct {
	grpc       bool
	method     string // of HTTP
	endpoint   string
	status     int
	collection string // "" counts all collections together
}

// maxByCollection bounds the series of single collections. When there are as
// many, they are all forgotten, and with them those of deleted collections.
const maxByCollection = 4096

// buckets are the upper bounds of the duration histograms, in seconds.
var buckets = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 50,
}

// series are the numbers of one route. Durations are in nanoseconds.
type series struct {
	count, sum, max atomic.Uint64
	min             atomic.Uint64 // math.MaxUint64 before the first request
	last            atomic.Int64  // Unix time in nanoseconds
	buckets         []atomic.Uint64
}

// NewRequests makes a Requests without counts.
func NewRequests() *Requests {
	r := &Requests{now: time.Now}
	r.series.Store(&map[route]*series{})
	return r
}

// ObserveGRPC counts a call: method is its full name.
func (r *Requests) ObserveGRPC(method string, code codes.Code, took time.Duration) {
	r.record(route{grpc: true, endpoint: method, status: int(code)}, took)
}

// ObserveREST counts a request: pattern is the matched route, with or without
// the method before it, "" for none.
func (r *Requests) ObserveREST(method, pattern, collection string, status int, took time.Duration) {
	if verb, path, ok := strings.Cut(pattern, " "); ok {
		method, pattern = verb, path
	}
	if pattern == "" {
		method, pattern = "", "unmatched"
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions, "":
	default:
		method = "OTHER"
	}
	// The public names of the routes have {collection_name}.
	pattern = strings.ReplaceAll(strings.TrimSuffix(pattern, "{$}"), "{name}", "{collection_name}")
	key := route{method: method, endpoint: pattern, status: status}
	r.record(key, took)
	if collection != "" && status < http.StatusBadRequest { // failures may name what doesn't exist
		key.collection = collection
		r.record(key, took)
	}
}

func (r *Requests) record(key route, took time.Duration) {
	s := (*r.series.Load())[key]
	if s == nil {
		s = r.add(key)
	}
	ns := uint64(max(took, 0))
	s.count.Add(1)
	s.sum.Add(ns)
	s.last.Store(r.now().UnixNano())
	raise(&s.max, ns)
	lower(&s.min, ns)
	seconds := took.Seconds()
	for i, bound := range buckets {
		if seconds <= bound {
			s.buckets[i].Add(1)
			return
		}
	}
	s.buckets[len(buckets)].Add(1)
}

// add makes the series of a route that was not used before.
func (r *Requests) add(key route) *series {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.series.Load()
	if s := old[key]; s != nil {
		return s
	}
	s := &series{buckets: make([]atomic.Uint64, len(buckets)+1)}
	s.min.Store(math.MaxUint64)
	next := maps.Clone(old)
	if single := func(k route, _ *series) bool { return k.collection != "" }; key.collection != "" && len(next) >= maxByCollection {
		maps.DeleteFunc(next, single)
	}
	next[key] = s
	r.series.Store(&next)
	return s
}

func raise(to *atomic.Uint64, n uint64) {
	for old := to.Load(); n > old && !to.CompareAndSwap(old, n); old = to.Load() {
	}
}

func lower(to *atomic.Uint64, n uint64) {
	for old := to.Load(); n < old && !to.CompareAndSwap(old, n); old = to.Load() {
	}
}

// snapshot is a reading of one series. The parts are read one after the other,
// so that they may be one request apart.
type snapshot struct {
	count      uint64
	sum        time.Duration
	min, max   time.Duration
	last       time.Time
	cumulative map[float64]uint64
}

func (s *series) read() snapshot {
	out := snapshot{cumulative: make(map[float64]uint64, len(buckets))}
	var total uint64
	for i := range s.buckets {
		total += s.buckets[i].Load()
		if i < len(buckets) {
			out.cumulative[buckets[i]] = total
		}
	}
	// The histogram's count is that of its buckets, so that the two agree.
	out.count, out.sum = total, time.Duration(s.sum.Load())
	out.min, out.max = time.Duration(s.min.Load()), time.Duration(s.max.Load())
	out.last = time.Unix(0, s.last.Load()).UTC()
	return out
}

func (s snapshot) mean() time.Duration {
	if s.count == 0 {
		return 0
	}
	return s.sum / time.Duration(s.count)
}

// report is the form of the counts in /telemetry: route → status → numbers.
func (r *Requests) report(grpc bool) map[string]map[string]durations {
	out := map[string]map[string]durations{}
	for key, s := range *r.series.Load() {
		if key.grpc != grpc || key.collection != "" {
			continue
		}
		name := strings.TrimSpace(key.method + " " + key.endpoint)
		if out[name] == nil {
			out[name] = map[string]durations{}
		}
		snap := s.read()
		out[name][strconv.Itoa(key.status)] = durations{
			Count: snap.count,
			Avg:   micros(snap.mean()), Min: micros(snap.min), Max: micros(snap.max),
			Total: uint64(snap.sum.Microseconds()),
			Last:  snap.last.Format(time.RFC3339Nano),
		}
	}
	return out
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// durations are the public names of a route's numbers.
type durations struct {
	Count uint64  `json:"count"`
	Avg   float64 `json:"avg_duration_micros"`
	Min   float64 `json:"min_duration_micros"`
	Max   float64 `json:"max_duration_micros"`
	Total uint64  `json:"total_duration_micros"`
	Last  string  `json:"last_responded"`
}
