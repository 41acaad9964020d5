// Package client asks a node, over REST, what operators want to know of a cluster, and
// tells it what to do. On top of the answers are the questions that operators ask (see
// View): may this node be stopped now, which peer is that pod, is everything where it
// should be. Those are pure functions.
//
// It knows nothing of the node but the public API. What other servers with Qdrant's API
// don't tell is nil or zero in the answers, and no judgement takes that for a good sign.
//
// Callers: agent, exporter, the operator.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// usualTimeout is how long a request may take that says nothing else.
	usualTimeout = 10 * time.Second
	// slack is what a node gets beyond the time that it was told to wait.
	slack = 5 * time.Second
	// mostBytes bounds an answer.
	mostBytes = 64 << 20
)

// Options say which node is asked, and how.
type Options struct {
	// URL is where the node's REST door is: https://host:6333.
	URL string
	// Key returns the API key; nil, or "", is none. It is called for every request, so that a
	// key can be changed.
	Key func() string
	// TLS returns the configuration for new connections; nil trusts whom the system trusts.
	TLS func() *tls.Config
	// ServerName is the name that the node's certificate must have, when it isn't the URL's host.
	ServerName string
	// Timeout bounds every request that doesn't wait for something; 0 is 10 s.
	Timeout time.Duration
}

// Client asks one node. It is safe for concurrent use.
type Client struct {
	o    Options
	base string
	http *http.Client
}

// New makes a client; it asks nothing.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not an address like http://host:6333", o.URL)
	}
	if o.Timeout <= 0 {
		o.Timeout = usualTimeout
	}
	if o.Key == nil {
		o.Key = func() string { return "" }
	}
	dialler := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext: dialler.DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialTLS(ctx, dialler, &o, network, addr)
		},
	}
	return &Client{o: o, base: strings.TrimSuffix(o.URL, "/"), http: &http.Client{
		Transport: transport,
		// A redirection could carry the key to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// dialTLS connects with the certificates of the moment.
func dialTLS(ctx context.Context, dialler *net.Dialer, o *Options, network, addr string) (net.Conn, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		c = o.TLS().Clone()
	}
	if o.ServerName != "" {
		c.ServerName = o.ServerName
	}
	return (&tls.Dialer{NetDialer: dialler, Config: c}).DialContext(ctx, network, addr)
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL is where the node is.
func (c *Client) URL() string { return c.base }

// Error is an answer that says no.
type Error struct {
	// Method and Path are what was asked.
	Method, Path string
	// Status is the HTTP status, Message what the server said.
	Status  int
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Status, http.StatusText(e.Status), e.Message)
}

// StatusOf returns the HTTP status of an error, 0 when the node didn't answer.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// UnreachableError says that the node didn't answer.
type UnreachableError struct {
	// URL is where it should be, Err why it can't be reached.
	URL string
	Err error
}

// Error implements error.
func (e *UnreachableError) Error() string { return "no answer from " + e.URL + ": " + e.Err.Error() }

// Unwrap returns why.
func (e *UnreachableError) Unwrap() error { return e.Err }

// IsUnreachable tells whether the node didn't answer at all.
func IsUnreachable(err error) bool {
	_, ok := errors.AsType[*UnreachableError](err)
	return ok
}

// ask gets a path and reads the result of the answer.
func (c *Client) ask(ctx context.Context, path string, result any) error {
	return c.call(ctx, http.MethodGet, path, nil, 0, result)
}

// change asks for a change and returns when it is agreed on, or after the timeout.
func (c *Client) change(ctx context.Context, method, path string, body any, timeout time.Duration) error {
	if timeout > 0 {
		seconds := max(int64((timeout+time.Second-1)/time.Second), 1)
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path = fmt.Sprintf("%s%stimeout=%d", path, separator, seconds)
		timeout += slack
	}
	return c.call(ctx, method, path, body, timeout, nil)
}

// call sends a request and reads the member "result" of the answer.
func (c *Client) call(ctx context.Context, method, path string, body any, timeout time.Duration, result any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write the body of %s %s: %w", method, path, err)
		}
	}
	_, raw, err := c.send(ctx, method, path, data, timeout)
	if err != nil || result == nil {
		return err
	}
	if err := json.Unmarshal(raw, &struct {
		Result any `json:"result"`
	}{result}); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return nil
}

// send sends a request and returns the whole answer.
func (c *Client) send(ctx context.Context, method, path string, body []byte, timeout time.Duration) (http.Header, []byte, error) {
	if timeout <= 0 {
		timeout = c.o.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", c.base, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if key := c.o.Key(); key != "" {
		req.Header.Set("Api-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, &UnreachableError{URL: c.base, Err: err}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, nil, &UnreachableError{URL: c.base, Err: err}
	}
	if len(raw) > mostBytes {
		return nil, nil, fmt.Errorf("the answer to %s %s is longer than %d bytes", method, path, mostBytes)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, &Error{Method: method, Path: path, Status: resp.StatusCode, Message: complaint(raw)}
	}
	return resp.Header, raw, nil
}

// complaint finds what the server says in an answer: in JSON, or as text.
func complaint(raw []byte) string {
	var failure struct {
		Status struct {
			Error string `json:"error"`
		} `json:"status"`
	}
	if json.Unmarshal(raw, &failure) == nil && failure.Status.Error != "" {
		return failure.Status.Error
	}
	const most = 500
	text := strings.TrimSpace(string(raw))
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "�")
}
