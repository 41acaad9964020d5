package compat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed"
)

func client(t *testing.T, n *testbed.Node) *qdrant.Client {
	t.Helper()
	c, err := qdrant.NewClient(&qdrant.Config{Host: "127.0.0.1", Port: n.GRPC})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestGo(t *testing.T) {
	n := testbed.Start(t, t.TempDir())
	c, ctx := client(t, n), t.Context()
	const name, dim, count = "go_daily", 16, 500

	require.NoError(t, c.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: name,
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: dim, Distance: qdrant.Distance_Euclid}),
	}))
	rng := rand.New(rand.NewPCG(3, 4))
	vectors := make([][]float32, count)
	points := make([]*qdrant.PointStruct, count)
	for i := range points {
		vectors[i] = make([]float32, dim)
		for j := range vectors[i] {
			vectors[i][j] = rng.Float32()
		}
		points[i] = &qdrant.PointStruct{
			Id: qdrant.NewIDNum(uint64(i)), Vectors: qdrant.NewVectors(vectors[i]...),
			Payload: qdrant.NewValueMap(map[string]any{"parity": i % 2, "name": fmt.Sprint("p", i), "nested": map[string]any{"list": []any{1, "x", nil}}}),
		}
	}
	result, err := c.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Points: points, Wait: new(true)})
	require.NoError(t, err)
	require.Equal(t, qdrant.UpdateStatus_Completed, result.GetStatus())

	query := vectors[42]
	filter := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchInt("parity", 1)}}
	hits, err := c.Query(ctx, &qdrant.QueryPoints{
		CollectionName: name, Query: qdrant.NewQuery(query...), Filter: filter, Limit: new(uint64(7)), WithPayload: qdrant.NewWithPayload(true),
	})
	require.NoError(t, err)
	require.Equal(t, nearest(vectors, query, 7, func(i int) bool { return i%2 == 1 }), ids(hits))
	require.Equal(t, fmt.Sprint("p", hits[0].GetId().GetNum()), hits[0].GetPayload()["name"].GetStringValue())
	require.Len(t, hits[0].GetPayload()["nested"].GetStructValue().GetFields()["list"].GetListValue().GetValues(), 3)

	_, err = c.Delete(ctx, &qdrant.DeletePoints{CollectionName: name, Points: qdrant.NewPointsSelectorFilter(filter), Wait: new(true)})
	require.NoError(t, err)
	left, err := c.Count(ctx, &qdrant.CountPoints{CollectionName: name})
	require.NoError(t, err)
	require.EqualValues(t, count/2, left)

	got, err := c.Get(ctx, &qdrant.GetPoints{CollectionName: name, Ids: []*qdrant.PointId{qdrant.NewIDNum(42)}, WithVectors: qdrant.NewWithVectors(true)})
	require.NoError(t, err)
	require.Equal(t, query, got[0].GetVectors().GetVector().GetDense().GetData())
	require.NoError(t, c.DeleteCollection(ctx, name))
}

// nearest is the plain truth: every distance computed, sorted.
func nearest(vectors [][]float32, q []float32, k int, keep func(int) bool) []uint64 {
	type hit struct {
		id uint64
		d  float64
	}
	var all []hit
	for i, v := range vectors {
		if !keep(i) {
			continue
		}
		var sum float64
		for j := range v {
			d := float64(v[j]) - float64(q[j])
			sum += d * d
		}
		all = append(all, hit{uint64(i), sum})
	}
	slices.SortFunc(all, func(a, b hit) int {
		if a.d < b.d {
			return -1
		}
		return 1
	})
	out := make([]uint64, k)
	for i := range out {
		out[i] = all[i].id
	}
	return out
}

func ids(hits []*qdrant.ScoredPoint) []uint64 {
	out := make([]uint64, len(hits))
	for i, h := range hits {
		out[i] = h.GetId().GetNum()
	}
	return out
}
