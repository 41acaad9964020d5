package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/sextantdb/sextant/internal/testbed/history"
)

// The payload of a point.
const (
	FieldValue = "value"
	FieldNote  = "note"
)

// Dim is how long vectors are.
const Dim = 8

// The header of reads that are to see what is committed at this moment.
const (
	consistencyHeader = "X-Read-Consistency"
	linearizable      = "linearizable"
)

// Vector is a function of the point, so that it can be checked.
func Vector(id uint64) []float32 {
	v := make([]float32, Dim)
	for i := range v {
		v[i] = float32(id) + float32(i)/8
	}
	return v
}

// REST is a Client that speaks REST.
type REST struct {
	name, points string
	http         *http.Client
}

// NewREST makes a client for a collection, by a name and the URL of its door.
func NewREST(name, url, collection string, c *http.Client) *REST {
	return &REST{name: name, points: url + "/collections/" + collection + "/points", http: c}
}

// Name implements Client.
func (c *REST) Name() string { return c.name }

// Close gives up idle connections.
func (c *REST) Close() { c.http.CloseIdleConnections() }

// Write implements Client.
func (c *REST) Write(ctx context.Context, op history.Op, wait bool) (bool, error) {
	method, path, body := http.MethodPut, "", map[string]any{}
	switch op.Kind {
	case history.Upsert:
		body["points"] = []any{map[string]any{"id": op.ID, "vector": Vector(op.ID), "payload": map[string]any{FieldValue: op.Value}}}
	case history.SetNote:
		method, path = http.MethodPost, "/payload"
		body["payload"], body["points"] = map[string]any{FieldNote: op.Value}, []uint64{op.ID}
	case history.Delete:
		method, path = http.MethodPost, "/delete"
		body["points"] = []uint64{op.ID}
	default:
		return false, fmt.Errorf("%v is no write", op.Kind)
	}
	var r struct{ Status string }
	err := c.do(ctx, method, fmt.Sprintf("%s?wait=%t", path, wait), body, false, &r)
	return r.Status == "completed", err
}

// record is a point as REST has it.
type record struct {
	ID      uint64
	Payload struct{ Value, Note int64 }
}

func pointsOf(list []record) map[uint64]history.Point {
	out := map[uint64]history.Point{}
	for _, p := range list {
		out[p.ID] = history.Point(p.Payload)
	}
	return out
}

// Read implements Client.
func (c *REST) Read(ctx context.Context, ids []uint64, now bool) (map[uint64]history.Point, error) {
	var list []record
	err := c.do(ctx, http.MethodPost, "", map[string]any{"ids": ids, "with_payload": true}, now, &list)
	return pointsOf(list), err
}

// Near implements Client.
func (c *REST) Near(ctx context.Context, id, limit uint64) (map[uint64]history.Point, error) {
	var r struct{ Points []record }
	err := c.do(ctx, http.MethodPost, "/query", map[string]any{"query": Vector(id), "limit": limit, "with_payload": true}, false, &r)
	return pointsOf(r.Points), err
}

func (c *REST) do(ctx context.Context, method, path string, body any, now bool, result any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.points+path, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if now {
		req.Header.Set(consistencyHeader, linearizable)
	}
	resp, err := c.http.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w: %w", ErrNotDone, err) // nobody has heard of it
	}
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	raw, err = io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if err := json.Unmarshal(raw, &struct {
			Result any `json:"result"`
		}{result}); err != nil {
			return fmt.Errorf("understand the answer: %w", err)
		}
		return nil
	case http.StatusNotFound, http.StatusBadRequest:
		return fmt.Errorf("%w: %s: %s", ErrNotDone, resp.Status, raw)
	default:
		return fmt.Errorf("%s: %s", resp.Status, raw)
	}
}
