package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// This file is about the node that is asked alone.

// Version is what a node says it is.
type Version struct {
	Title, Version, Commit string
}

// Version asks who the node is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	_, raw, err := c.send(ctx, http.MethodGet, "/", nil, 0)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("read the answer to GET /: %w", err)
	}
	return v, nil
}

// Ready asks whether the node's copies have caught up. The error says why not: an *Error with
// status 503 is "not yet".
func (c *Client) Ready(ctx context.Context) error { return c.well(ctx, "/readyz") }

// Healthy asks whether the node answers.
func (c *Client) Healthy(ctx context.Context) error { return c.well(ctx, "/healthz") }

// Live asks whether the node's process runs.
func (c *Client) Live(ctx context.Context) error { return c.well(ctx, "/livez") }

func (c *Client) well(ctx context.Context, path string) error {
	_, _, err := c.send(ctx, http.MethodGet, path, nil, 0)
	return err
}

// Telemetry returns what the node tells of itself, in as much detail as the level says, as JSON.
func (c *Client) Telemetry(ctx context.Context, level int) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.ask(ctx, fmt.Sprintf("/telemetry?details_level=%d", level), &raw)
	return raw, err
}

// Memory is what a node tells of its memory, in bytes.
type Memory struct {
	// Needed is what it can't do without; nil is not told.
	Needed *uint64 `json:"needed_bytes"`
	// Allocated is what its allocator has given out; nil is not told.
	Allocated *uint64 `json:"allocated_bytes"`
}

// Needs is how much memory the node can't do without, as far as it tells. Of a server that doesn't say that it
// is what its allocator has given out.
func (m *Memory) Needs() (bytes uint64, known bool) {
	for _, told := range []*uint64{m.Needed, m.Allocated} {
		if told != nil && *told > 0 {
			return *told, true
		}
	}
	return 0, false
}

// Memory asks the node for its memory.
func (c *Client) Memory(ctx context.Context) (*Memory, error) {
	var report struct {
		Memory Memory `json:"memory"`
	}
	if err := c.ask(ctx, "/telemetry?details_level=1", &report); err != nil {
		return nil, err
	}
	return &report.Memory, nil
}

// Metrics returns the node's metrics in the text form of Prometheus, and its content type.
func (c *Client) Metrics(ctx context.Context) (contentType string, text []byte, err error) {
	header, raw, err := c.send(ctx, http.MethodGet, "/metrics", nil, 0)
	return header.Get("Content-Type"), raw, err
}
