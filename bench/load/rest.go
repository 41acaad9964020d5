package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sextantdb/sextant/bench/dataset"
)

// REST is a server reached through its REST API.
type REST struct {
	base, apiKey string
	client       *http.Client
}

// NewREST returns a target at an address such as http://localhost:6333.
func NewREST(base, apiKey string) *REST {
	// Every client of a sweep keeps its own connection.
	return &REST{base: base, apiKey: apiKey, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

// Close implements io.Closer.
func (r *REST) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

// call sends a JSON request and decodes the result of the answer.
func (r *REST) call(ctx context.Context, method, path string, body, result any) (err error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.apiKey != "" {
		req.Header.Set("Api-Key", r.apiKey)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, answer)
	}
	return json.Unmarshal(answer, &struct {
		Result any `json:"result"`
	}{result})
}

type object = map[string]any

// Create implements Target.
func (r *REST) Create(ctx context.Context, c Collection) error {
	var ignored any
	if err := r.call(ctx, http.MethodDelete, "/collections/"+collection, nil, &ignored); err != nil {
		return err
	}
	graph := object{}
	if c.M > 0 {
		graph["m"] = c.M
	}
	if c.EfConstruct > 0 {
		graph["ef_construct"] = c.EfConstruct
	}
	err := r.call(ctx, http.MethodPut, "/collections/"+collection, object{
		"vectors": object{"size": c.Dim, "distance": distanceOf(c.Metric).String()}, "hnsw_config": graph,
	}, &ignored)
	if err != nil || !c.Filtered {
		return err
	}
	return r.call(ctx, http.MethodPut, "/collections/"+collection+"/index?wait=true",
		object{"field_name": "bucket", "field_schema": "integer"}, &ignored)
}

// Upload implements Target.
func (r *REST) Upload(ctx context.Context, first int, rows dataset.Matrix, buckets []int) error {
	points := make([]object, rows.Rows())
	for i := range points {
		points[i] = object{"id": first + i, "vector": rows.Row(i)}
		if buckets != nil {
			points[i]["payload"] = object{"bucket": buckets[i]}
		}
	}
	var ignored any
	return r.call(ctx, http.MethodPut, "/collections/"+collection+"/points?wait=true", object{"points": points}, &ignored)
}

// Ready implements Target.
func (r *REST) Ready(ctx context.Context) (bool, error) {
	var info struct{ Status string }
	err := r.call(ctx, http.MethodGet, "/collections/"+collection, nil, &info)
	return info.Status == "green", err
}

// Search implements Target.
func (r *REST) Search(ctx context.Context, vector []float32, k, ef, below int) ([]uint32, error) {
	query := object{"query": vector, "limit": k}
	if ef > 0 {
		query["params"] = object{"hnsw_ef": ef}
	}
	if below > 0 {
		query["filter"] = object{"must": []object{{"key": "bucket", "range": object{"lt": below}}}}
	}
	var result struct {
		Points []struct{ ID uint32 }
	}
	if err := r.call(ctx, http.MethodPost, "/collections/"+collection+"/points/query", query, &result); err != nil {
		return nil, err
	}
	rows := make([]uint32, len(result.Points))
	for i, p := range result.Points {
		rows[i] = p.ID
	}
	return rows, nil
}

// Usage implements Target.
func (r *REST) Usage(ctx context.Context) (Usage, error) { return usage(ctx, r.base, r.apiKey) }
