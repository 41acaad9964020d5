package shard

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/internal/apierror"
)

// checkAll compares everything there is with the oracle.
func (m *meta) checkAll() {
	ctx := crashContext()
	info := m.shard.Info()
	require.EqualValues(m.t, len(m.now.points), info.Points)
	require.Len(m.t, info.Indexes, len(m.now.fields))
	page, err := m.shard.Scroll(ctx, &pb.ScrollPoints{
		Limit: new(uint32(idPool + 1)), WithVectors: &pb.WithVectorsSelector{SelectorOptions: &pb.WithVectorsSelector_Enable{Enable: true}},
	})
	require.NoError(m.t, err)
	require.Nil(m.t, page.Next)
	ids := m.now.passing(allPass())
	require.Equal(m.t, ids, pageIDs(m.t, page))
	for i, p := range page.Points {
		m.comparePoint(m.now.points[ids[i]], p)
	}
	m.check()
}

func pageIDs(t *testing.T, page Page) (ids []point.ID) {
	t.Helper()
	for _, p := range page.Points {
		id, err := point.FromProto(p.GetId())
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func decodePayload(t *testing.T, o payload.Object) map[string]any {
	t.Helper()
	require.NotNil(t, o)
	out := map[string]any{}
	require.NoError(t, json.Unmarshal(payload.AppendJSON(nil, o), &out))
	return out
}

func (m *meta) comparePoint(want *oraclePoint, got *pb.RetrievedPoint) {
	require.Equal(m.t, want.payload, decodePayload(m.t, payload.Attached(got)))
	named := got.GetVectors().GetVectors().GetVectors()
	if one := got.GetVectors().GetVector(); one != nil {
		named = map[string]*pb.VectorOutput{"": one}
	}
	require.Len(m.t, named, len(want.dense)+len(want.sparse))
	for name, v := range want.dense {
		tolerance := 1e-5
		if m.dense[name].datatype == pb.Datatype_Float16 {
			tolerance = 1e-2
		}
		require.InDeltaSlice(m.t, v, named[name].GetDense().GetData(), tolerance)
	}
	for name, v := range want.sparse {
		s := named[name].GetSparse()
		require.Equal(m.t, slices.Sorted(maps.Keys(v)), s.GetIndices())
		for i, index := range s.GetIndices() {
			require.InDelta(m.t, v[index], s.GetValues()[i], 1e-6)
		}
	}
}

// check asks a few random questions.
func (m *meta) check() {
	for range 3 {
		f := m.filter(2)
		m.checkCount(f)
		m.checkScroll(f)
		m.checkDense(f)
		m.checkSparse(f)
		m.checkOrder(f)
		m.checkRetrieve()
	}
}

func (m *meta) checkCount(f testFilter) {
	n, err := m.shard.Count(crashContext(), f.pb, true)
	require.NoError(m.t, err)
	require.EqualValues(m.t, len(m.now.passing(f)), n, f.name)
}

func (m *meta) checkScroll(f testFilter) {
	var got []point.ID
	limit := uint32(1 + m.rng.IntN(40))
	var offset *pb.PointId
	for {
		page, err := m.shard.Scroll(crashContext(), &pb.ScrollPoints{Filter: f.pb, Limit: &limit, Offset: offset})
		require.NoError(m.t, err)
		require.LessOrEqual(m.t, len(page.Points), int(limit))
		got = append(got, pageIDs(m.t, page)...)
		if page.Next == nil {
			break
		}
		offset = page.Next.Proto()
	}
	require.Equal(m.t, m.now.passing(f), got, f.name)
}

func (m *meta) checkRetrieve() {
	ids := []point.ID{m.id(), m.id(), m.id()}
	got, err := m.shard.Retrieve(crashContext(), ids, nil, nil)
	require.NoError(m.t, err)
	for _, id := range ids {
		if m.now.points[id] == nil {
			continue
		}
		require.NotEmpty(m.t, got)
		require.Equal(m.t, id.Proto().String(), got[0].GetId().String())
		require.Equal(m.t, m.now.points[id].payload, decodePayload(m.t, payload.Attached(got[0])))
		got = got[1:]
	}
	require.Empty(m.t, got)
}

func (m *meta) checkDense(f testFilter) {
	name := pickOne(m, m.names...)
	s := m.dense[name]
	q, limit := m.vector(s), uint64(1+m.rng.IntN(30))
	exact := m.chance(60)
	msg := &pb.QueryPoints{
		Query: &pb.Query{Variant: &pb.Query_Nearest{Nearest: &pb.VectorInput{
			Variant: &pb.VectorInput_Dense{Dense: &pb.DenseVector{Data: q}},
		}}},
		Using: &name, Filter: f.pb, Limit: &limit, Params: &pb.SearchParams{Exact: &exact},
		WithPayload: &pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Enable{Enable: true}},
	}
	want := m.now.nearest(name, s, q, f)
	var worst *float32
	if m.chance(20) && len(want) > 0 {
		worst = new(query.Public(s.distance, float32(want[m.rng.IntN(len(want))].score)))
		msg.ScoreThreshold = worst
	}
	hits, err := m.shard.Query(crashContext(), msg)
	require.NoError(m.t, err)
	if worst == nil {
		want = want[:min(int(limit), len(want))]
		if exact {
			require.Len(m.t, hits, len(want), "%s %s", name, f.name)
		}
	}
	m.compareHits(hits, m.now.nearest(name, s, q, f), s.tolerance, exact && worst == nil)
	for _, h := range hits {
		if worst != nil {
			require.True(m.t, query.Passes(s.distance, query.Public(s.distance, h.Score), *worst))
		}
		require.Equal(m.t, m.now.points[h.ID].payload, decodePayload(m.t, h.Payload))
	}
}

// compareHits checks the score of every hit, and that no better point is
// missing when the search was exact.
func (m *meta) compareHits(hits []query.Scored, all []ranked, tolerance func(float64) float64, exact bool) {
	scores := make(map[point.ID]float64, len(all))
	for _, r := range all {
		scores[r.id] = r.score
	}
	seen := map[point.ID]bool{}
	for i, h := range hits {
		want, ok := scores[h.ID]
		require.True(m.t, ok, "point %v shouldn't be found", h.ID)
		require.False(m.t, seen[h.ID], "point %v is found twice", h.ID)
		seen[h.ID] = true
		require.InDelta(m.t, want, float64(h.Score), tolerance(want))
		require.Equal(m.t, m.now.points[h.ID].version, h.Version)
		if i > 0 {
			require.LessOrEqual(m.t, h.Score, hits[i-1].Score)
		}
		if exact {
			require.InDelta(m.t, all[i].score, float64(h.Score), tolerance(all[i].score), "a better point is missing at %d", i)
		}
	}
}

func (m *meta) checkSparse(f testFilter) {
	idf, ok := m.sparse["s"]
	if !ok {
		return
	}
	q, limit := m.sparseVector(), uint64(1+m.rng.IntN(30))
	hits, err := m.shard.Query(crashContext(), &pb.QueryPoints{
		Query: &pb.Query{Variant: &pb.Query_Nearest{Nearest: &pb.VectorInput{
			Variant: &pb.VectorInput_Sparse{Sparse: sparseProto(q)},
		}}},
		Using: new("s"), Filter: f.pb, Limit: &limit,
	})
	require.NoError(m.t, err)
	want := m.now.nearestSparse("s", idf, q, f)
	require.Len(m.t, hits, min(int(limit), len(want)), f.name)
	m.compareHits(hits, want, func(s float64) float64 { return 1e-4 * (1 + math.Abs(s)) }, true)
}

func (m *meta) checkOrder(f testFilter) {
	_, indexed := m.now.fields["size"]
	desc := m.chance(50)
	msg := &pb.ScrollPoints{Filter: f.pb, OrderBy: &pb.OrderBy{Key: "size"}, Limit: new(uint32(1 + m.rng.IntN(40)))}
	if desc {
		msg.OrderBy.Direction = pb.Direction_Desc.Enum()
	}
	page, err := m.shard.Scroll(crashContext(), msg)
	if !indexed {
		require.Equal(m.t, apierror.BadInput, apierror.KindOf(err))
		return
	}
	require.NoError(m.t, err)
	require.Nil(m.t, page.Next)
	var want []ranked
	for _, id := range m.now.passing(f) {
		if x, ok := m.now.points[id].payload["size"].(float64); ok {
			if !desc {
				x = -x
			}
			want = append(want, ranked{id, x})
		}
	}
	want = rank(want)
	got := pageIDs(m.t, page)
	require.Len(m.t, got, min(len(want), int(msg.GetLimit())))
	for i, id := range got {
		require.Equal(m.t, want[i].id, id)
	}
}
