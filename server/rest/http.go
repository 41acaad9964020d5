package rest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/timelimit"
	"github.com/sextantdb/sextant/server/rest/dialect"
	"github.com/sextantdb/sextant/server/status"
)

// exchange is one request and what becomes of its answer.
type exchange struct {
	w     http.ResponseWriter
	r     *http.Request
	start time.Time
	// pattern and status are for the observer; status is 0 until answered.
	pattern, collection string
	status              int
}

// seconds is how long the exchange has taken so far.
func (x *exchange) seconds() float64 { return time.Since(x.start).Seconds() }

type exchangeKey struct{}

// serve is the outermost handler: it sees to everything that all requests
// share, and hands over to the route.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, start: time.Now()}
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	defer s.finish(x)
	requestID(w, r)
	if s.cors(w, r) {
		x.status = http.StatusOK
		return
	}
	if !normalize(x.r) {
		s.noRoute(x, http.NotFoundHandler())
		return
	}
	h, pattern := s.mux.Handler(x.r)
	if pattern == "" {
		s.noRoute(x, h)
		return
	}
	s.mux.ServeHTTP(w, x.r)
}

// finish answers a request whose handler panicked, and tells the observer.
func (s *server) finish(x *exchange) {
	if v := recover(); v != nil {
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		s.log(x).ErrorContext(x.r.Context(), "request handler panicked",
			slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		if x.status != 0 {
			// Part of an answer may be out: break the connection off.
			panic(http.ErrAbortHandler)
		}
		s.fail(x, fmt.Errorf("panicked: %v", v))
	}
	if x.status >= http.StatusBadRequest {
		s.drain(x.r)
	}
	if s.Observer != nil {
		s.Observer.ObserveREST(x.r.Method, x.pattern, x.collection, x.status, time.Since(x.start))
	}
}

// requestID sends the client its request's ID, which it gave or gets now.
func requestID(w http.ResponseWriter, r *http.Request) {
	const most = 128
	id := r.Header.Get(idHeader)
	if id == "" || len(id) > most {
		var b [16]byte
		rand.Read(b[:]) // never fails
		id = hex.EncodeToString(b[:])
	}
	w.Header().Set(idHeader, id)
}

const idHeader = "X-Request-Id"

// log returns a logger that says which request it is about.
func (s *server) log(x *exchange) *slog.Logger {
	return s.Logger.With(slog.String("request_id", x.w.Header().Get(idHeader)), slog.String("path", x.r.URL.Path))
}

// cors lets web pages read the answer; it reports whether the request only
// asked for that.
func (s *server) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	if s.DisableCORS || r.Header.Get("Origin") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "*")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
	if want := r.Header.Get("Access-Control-Request-Headers"); want != "" {
		h.Set("Access-Control-Allow-Headers", want)
	}
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusOK)
	return true
}

// normalize merges slashes and removes a trailing one from the path, but not
// slashes that are part of a name; false when the path has a segment "." or
// "..", which no route has.
func normalize(r *http.Request) bool {
	u := *r.URL
	escaped := cleanPath(u.EscapedPath())
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return false
	}
	u.Path, u.RawPath = path, escaped
	*r.URL = u
	for segment := range strings.SplitSeq(escaped, "/") {
		switch name, _ := url.PathUnescape(segment); name {
		case ".", "..":
			return false
		}
	}
	return true
}

func cleanPath(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	return p
}

// noRoute answers a request that no route is for, with what the multiplexer
// would say: 404, or 405 with the methods that there are. Who has no key doesn't
// learn which routes there are.
func (s *server) noRoute(x *exchange, h http.Handler) {
	if !s.authorize(x, route{access: Read}) {
		return
	}
	p := probe{header: http.Header{}}
	h.ServeHTTP(&p, x.r)
	if p.status == http.StatusMethodNotAllowed {
		x.w.Header().Set("Allow", p.header.Get("Allow"))
		s.answer(x, p.status, dialect.Failure("Method not allowed: "+x.r.Method+" "+x.r.URL.Path, x.seconds()))
		return
	}
	s.fail(x, apierror.New(apierror.NotFound, "%s", x.r.URL.Path))
}

// probe is a ResponseWriter that notes the status.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// handle wraps a route: who may, for how long, and how its error is answered.
func (s *server) handle(rt route) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		x := r.Context().Value(exchangeKey{}).(*exchange)
		x.r, x.pattern, x.collection = r, rt.pattern, r.PathValue("name")
		if !s.authorize(x, rt) {
			return
		}
		if len(x.collection) > maxName {
			s.fail(x, nameTooLong(len(x.collection)))
			return
		}
		if rt.access == Read {
			timeout, err := s.readTimeout(x.r.URL)
			if err != nil {
				s.fail(x, err)
				return
			}
			level, err := consistency.FromHeader(x.r.Header.Get(consistency.Header))
			if err != nil {
				s.fail(x, err)
				return
			}
			ctx, cancel := timelimit.Within(consistency.With(x.r.Context(), level), timeout)
			defer cancel()
			x.r = x.r.WithContext(ctx)
		}
		if err := rt.serve(x); err != nil {
			s.fail(x, err)
		}
	}
}

// maxName is the most bytes that a collection's name can have.
const maxName = 255

func nameTooLong(n int) error {
	return &plainError{
		http.StatusUnprocessableEntity,
		fmt.Sprintf("Validation error in path parameters: [collection_name: length %d invalid, must be from 1 to %d]", n, maxName),
	}
}

// authorize asks the guard. A client that it doesn't know is answered with
// plain text, one that may not do this like any other error.
func (s *server) authorize(x *exchange, rt route) bool {
	if s.Auth == nil {
		return true
	}
	ctx, err := s.Auth.Check(x.r, Target{Access: rt.access, Collection: x.collection, Pattern: rt.pattern})
	if apierror.KindOf(err) == apierror.Forbidden {
		s.fail(x, err)
		return false
	}
	if err != nil {
		code, _ := status.HTTP(err)
		x.status = code
		h := x.w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		x.w.WriteHeader(code)
		s.note(x, write(x.w, []byte(status.Public(err).Msg)))
		return false
	}
	x.r = x.r.WithContext(ctx)
	return true
}

// readTimeout returns how long a read may take.
func (s *server) readTimeout(u *url.URL) (time.Duration, error) {
	seconds, err := timeoutParam(u)
	if err != nil || seconds == nil {
		return s.ReadTimeout, err
	}
	const most = 1 << 31 // seconds, below which durations don't overflow
	return time.Duration(min(*seconds, most)) * time.Second, nil
}

// fail answers with an error. What is our fault is logged besides.
func (s *server) fail(x *exchange, err error) {
	if x.status != 0 {
		// The answer is on its way; the client learns by a broken connection.
		s.note(x, err)
		return
	}
	if status.IsClientGone(err) && x.r.Context().Err() != nil {
		x.status = status.ClientGone
		return
	}
	if grpcstatus.Code(err) == codes.Unimplemented {
		// A method of the generated interfaces that nobody has written.
		err = notImplemented(x.pattern)
	}
	code, text := status.HTTP(err)
	if plain, ok := errors.AsType[*plainError](err); ok {
		code, text = plain.code, plain.text
	}
	if code == http.StatusInternalServerError {
		s.log(x).ErrorContext(x.r.Context(), "request failed", slog.Any("error", err))
	}
	if after, ok := status.RetryAfter(err); ok {
		x.w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	s.answer(x, code, dialect.Failure(text, x.seconds()))
}

// note records an error that no client can be told.
func (s *server) note(x *exchange, err error) {
	if err != nil && x.r.Context().Err() == nil {
		s.log(x).WarnContext(x.r.Context(), "response not written", slog.Any("error", err))
	}
}
