package robustness

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
	"github.com/sextantdb/sextant/internal/testbed/history"
	"github.com/sextantdb/sextant/internal/testbed/load"
)

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

func (c *grpcClient) Name() string { return fmt.Sprintf("node %d, gRPC", c.node) }

func (c *grpcClient) Write(ctx context.Context, op history.Op, wait bool) (bool, error) {
	id := qdrant.NewIDNum(op.ID)
	var r *qdrant.UpdateResult
	var err error
	switch op.Kind {
	case history.Upsert:
		r, err = c.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: shared, Wait: &wait, Points: []*qdrant.PointStruct{{
			Id: id, Vectors: qdrant.NewVectors(vector(id)...), Payload: qdrant.NewValueMap(map[string]any{load.FieldValue: op.Value}),
		}}})
	case history.SetNote:
		r, err = c.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: shared, Wait: &wait, Payload: qdrant.NewValueMap(map[string]any{load.FieldNote: op.Value}),
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
		return fmt.Errorf("%w: %w", load.ErrNotDone, err)
	default:
		return err
	}
}

func (c *grpcClient) Read(ctx context.Context, ids []uint64, now bool) (map[uint64]history.Point, error) {
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
	return history.Point{Value: payload[load.FieldValue].GetIntegerValue(), Note: payload[load.FieldNote].GetIntegerValue()}
}

func (c *grpcClient) Near(ctx context.Context, id, limit uint64) (map[uint64]history.Point, error) {
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

// newREST makes a client of a node that speaks REST.
func newREST(n *clusterbed.Node) *load.REST {
	return load.NewREST(fmt.Sprintf("node %d, REST", n.Index), n.URL(""), shared, &http.Client{Transport: &http.Transport{}})
}
