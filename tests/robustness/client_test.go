package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
	"github.com/sextantdb/sextant/internal/testbed/history"
)

// The payload of a point.
const (
	fieldValue = "value"
	fieldNote  = "note"
)

// opTime bounds how long a client waits for an answer.
const opTime = 10 * time.Second

// errNotDone says that an operation certainly wasn't carried out; after any other error it
// may have been.
var errNotDone = errors.New("not carried out")

// client does what the workload wants, over one of the doors of one node.
type client interface {
	// write carries out an operation of a point, and tells whether every read sees it.
	write(ctx context.Context, op history.Op, wait bool) (visible bool, err error)
	// read gets points; now asks for what is committed at this moment.
	read(ctx context.Context, ids []uint64, now bool) (map[uint64]history.Point, error)
	// near searches for the points nearest to the vector of a point.
	near(ctx context.Context, id uint64, limit uint64) (map[uint64]history.Point, error)
	// name is that of the door and the node.
	name() string
}

// grpcClient is the official client.
type grpcClient struct {
	*qdrant.Client
	node int
}

func newGRPC(n *clusterbed.Node) (*grpcClient, error) {
	c, err := qdrant.NewClient(&qdrant.Config{Host: n.Host, Port: n.GRPC, SkipCompatibilityCheck: true, PoolSize: 1})
	if err != nil {
		return nil, err
	}
	return &grpcClient{c, n.Index}, nil
}

func (c *grpcClient) name() string { return fmt.Sprintf("node %d, gRPC", c.node) }

func (c *grpcClient) write(ctx context.Context, op history.Op, wait bool) (bool, error) {
	id := qdrant.NewIDNum(op.ID)
	var r *qdrant.UpdateResult
	var err error
	switch op.Kind {
	case history.Upsert:
		r, err = c.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: shared, Wait: &wait, Points: []*qdrant.PointStruct{{
			Id: id, Vectors: qdrant.NewVectors(vector(id)...), Payload: qdrant.NewValueMap(map[string]any{fieldValue: op.Value}),
		}}})
	case history.SetNote:
		r, err = c.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: shared, Wait: &wait, Payload: qdrant.NewValueMap(map[string]any{fieldNote: op.Value}),
			PointsSelector: qdrant.NewPointsSelector(id),
		})
	case history.Delete:
		r, err = c.Delete(ctx, &qdrant.DeletePoints{CollectionName: shared, Wait: &wait, Points: qdrant.NewPointsSelector(id)})
	default:
		return false, fmt.Errorf("%v is no write", op.Kind)
	}
	return r.GetStatus() == qdrant.UpdateStatus_Completed, notDone(err)
}

// notDone marks errors of operations that weren't carried out.
func notDone(err error) error {
	switch s := status.Convert(err); {
	case err == nil:
		return nil
	case s.Code() == codes.NotFound, s.Code() == codes.InvalidArgument,
		s.Code() == codes.Unavailable && strings.Contains(s.Message(), "while dialing"):
		return fmt.Errorf("%w: %w", errNotDone, err)
	default:
		return err
	}
}

func (c *grpcClient) read(ctx context.Context, ids []uint64, now bool) (map[uint64]history.Point, error) {
	if now {
		ctx = metadata.AppendToOutgoingContext(ctx, consistency.MetadataKey, "linearizable")
	}
	list := make([]*qdrant.PointId, len(ids))
	for i, id := range ids {
		list[i] = qdrant.NewIDNum(id)
	}
	points, err := c.Get(ctx, &qdrant.GetPoints{CollectionName: shared, Ids: list, WithPayload: qdrant.NewWithPayload(true)})
	out := map[uint64]history.Point{}
	for _, p := range points {
		out[p.GetId().GetNum()] = pointOf(p.GetPayload())
	}
	return out, err
}

func pointOf(payload map[string]*qdrant.Value) history.Point {
	return history.Point{Value: payload[fieldValue].GetIntegerValue(), Note: payload[fieldNote].GetIntegerValue()}
}

func (c *grpcClient) near(ctx context.Context, id, limit uint64) (map[uint64]history.Point, error) {
	points, err := c.Query(ctx, &qdrant.QueryPoints{
		CollectionName: shared, Query: qdrant.NewQueryDense(vector(qdrant.NewIDNum(id))), Limit: &limit,
		WithPayload: qdrant.NewWithPayload(true),
	})
	out := map[uint64]history.Point{}
	for _, p := range points {
		out[p.GetId().GetNum()] = pointOf(p.GetPayload())
	}
	return out, err
}

// restClient speaks REST.
type restClient struct {
	node *clusterbed.Node
	http *http.Client
}

func newREST(n *clusterbed.Node) *restClient {
	return &restClient{n, &http.Client{Transport: &http.Transport{}}}
}

func (c *restClient) name() string { return fmt.Sprintf("node %d, REST", c.node.Index) }

func (c *restClient) write(ctx context.Context, op history.Op, wait bool) (bool, error) {
	method, path, body := http.MethodPut, "", map[string]any{}
	switch op.Kind {
	case history.Upsert:
		body["points"] = []any{map[string]any{
			"id": op.ID, "vector": vector(qdrant.NewIDNum(op.ID)), "payload": map[string]any{fieldValue: op.Value},
		}}
	case history.SetNote:
		method, path = http.MethodPost, "/payload"
		body["payload"], body["points"] = map[string]any{fieldNote: op.Value}, []uint64{op.ID}
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

func points(list []record) map[uint64]history.Point {
	out := map[uint64]history.Point{}
	for _, p := range list {
		out[p.ID] = history.Point(p.Payload)
	}
	return out
}

func (c *restClient) read(ctx context.Context, ids []uint64, now bool) (map[uint64]history.Point, error) {
	var list []record
	err := c.do(ctx, http.MethodPost, "", map[string]any{"ids": ids, "with_payload": true}, now, &list)
	return points(list), err
}

func (c *restClient) near(ctx context.Context, id, limit uint64) (map[uint64]history.Point, error) {
	var r struct{ Points []record }
	err := c.do(ctx, http.MethodPost, "/query", map[string]any{
		"query": vector(qdrant.NewIDNum(id)), "limit": limit, "with_payload": true,
	}, false, &r)
	return points(r.Points), err
}

func (c *restClient) do(ctx context.Context, method, path string, body any, now bool, result any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.node.URL("/collections/"+shared+"/points"+path), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if now {
		req.Header.Set(consistency.Header, "linearizable")
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %w", errNotDone, err)
	}
	if err != nil {
		return err
	}
	raw, err = io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return json.Unmarshal(raw, &struct {
			Result any `json:"result"`
		}{result})
	case http.StatusNotFound, http.StatusBadRequest:
		return fmt.Errorf("%w: %s: %s", errNotDone, resp.Status, raw)
	default:
		return fmt.Errorf("%s: %s", resp.Status, raw)
	}
}
