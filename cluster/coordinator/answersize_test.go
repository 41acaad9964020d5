package coordinator_test

import (
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestAnswersAreBounded: no read builds an answer larger than allowed, a batch of
// searches no more than one; what is smaller is answered.
func TestAnswersAreBounded(t *testing.T) {
	const points, dim = 20, 256 // about 21 kB with vectors, 20 kB of payload
	c, err := coordinator.Open(t.Context(), coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage", MaxAnswerBytes: 64 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	_, err = c.Collections().Create(t.Context(), &pb.CreateCollection{
		CollectionName: "a", ShardNumber: new(uint32(2)),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: dim, Distance: pb.Distance_Dot}),
	})
	require.NoError(t, err)
	var list []*pb.PointStruct
	var ids []*pb.PointId
	for id := range uint64(points) {
		ids = append(ids, pb.NewIDNum(id))
		list = append(list, &pb.PointStruct{
			Id: pb.NewIDNum(id), Vectors: pb.NewVectorsDense(make([]float32, dim)),
			Payload: pb.NewValueMap(map[string]any{"text": strings.Repeat("a", 1000)}),
		})
	}
	_, err = c.Points().Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Wait: new(true), Points: list})
	require.NoError(t, err)

	all, vectors := pb.NewWithPayload(true), pb.NewWithVectors(true)
	limit := new(uint64(points))
	queries := func(n int) (out []*pb.QueryPoints) {
		for range n {
			out = append(out, &pb.QueryPoints{
				Query: pb.NewQueryDense(make([]float32, dim)), Limit: limit, WithPayload: all, WithVectors: vectors,
			})
		}
		return out
	}
	searches := func(n int) (out []*pb.SearchPoints) {
		for range n {
			out = append(out, &pb.SearchPoints{Vector: make([]float32, dim), Limit: points, WithPayload: all, WithVectors: vectors})
		}
		return out
	}
	p := c.Points()
	reads := map[string]func(n int) error{
		"query batch": func(n int) error {
			_, err := p.QueryBatch(t.Context(), &pb.QueryBatchPoints{CollectionName: "a", QueryPoints: queries(n)})
			return err
		},
		"search batch": func(n int) error {
			_, err := p.SearchBatch(t.Context(), &pb.SearchBatchPoints{CollectionName: "a", SearchPoints: searches(n)})
			return err
		},
		"batch without payload": func(n int) error {
			many := queries(30 * n) // of 20 points
			for _, q := range many {
				q.WithPayload, q.WithVectors = nil, nil
			}
			_, err := p.QueryBatch(t.Context(), &pb.QueryBatchPoints{CollectionName: "a", QueryPoints: many})
			return err
		},
		"retrieve": func(n int) error {
			var many []*pb.PointId
			for range n {
				many = append(many, ids...)
			}
			_, err := p.Get(t.Context(), &pb.GetPoints{CollectionName: "a", Ids: many, WithPayload: all, WithVectors: vectors})
			return err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, read(1))
			err := read(2)
			require.Equal(t, apierror.BadRequest, apierror.KindOf(err), "%v", err)
			require.NoError(t, read(1), "the next request has its own allowance")
		})
	}
	for id := range uint64(points) {
		list[id].Id = pb.NewIDNum(1000 + id)
	}
	scroll := func() error {
		_, err := p.Scroll(t.Context(), &pb.ScrollPoints{
			CollectionName: "a", Limit: new(uint32(1000)), WithPayload: all, WithVectors: vectors,
		})
		return err
	}
	require.NoError(t, scroll())
	_, err = p.Upsert(t.Context(), &pb.UpsertPoints{CollectionName: "a", Wait: new(true), Points: list})
	require.NoError(t, err)
	require.Equal(t, apierror.BadRequest, apierror.KindOf(scroll()))
}
