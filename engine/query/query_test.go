package query

import (
	"cmp"
	"math"
	"slices"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

func list(scores ...float32) (l []Scored) {
	for i, s := range scores {
		l = append(l, Scored{ID: point.Num(uint64(i + 1)), Score: s})
	}
	return l
}

func ids(l []Scored) (out []uint64) {
	for _, h := range l {
		_, _, n := h.ID.Parts()
		out = append(out, n)
	}
	return out
}

func TestRRF(t *testing.T) {
	a := []Scored{{ID: point.Num(1), Score: 9}, {ID: point.Num(2), Score: 8}}
	b := []Scored{{ID: point.Num(2), Score: 1}, {ID: point.Num(3), Score: 0.5}}
	got, err := RRF([][]Scored{a, b}, DefaultRRFK, nil, 10)
	require.NoError(t, err)
	require.Equal(t, []uint64{2, 1, 3}, ids(got))
	require.InDelta(t, 1.0/3+1.0/2, got[0].Score, 1e-6)
	require.InDelta(t, 0.5, got[1].Score, 1e-6, "the first place is worth 1/2")
	require.InDelta(t, 1.0/3, got[2].Score, 1e-6)

	got, err = RRF([][]Scored{a, b}, 1, []float32{3, 0}, 10)
	require.NoError(t, err)
	require.InDelta(t, 3, got[0].Score, 1e-6, "1/(1/3 + 1 − 1)")
	require.Equal(t, []uint64{1, 2, 3}, ids(got), "a list without weight still has its points")
	require.Zero(t, got[2].Score)

	_, err = RRF([][]Scored{a, b}, 2, []float32{1}, 10)
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
	_, err = RRF(nil, 0, nil, 10)
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
}

func TestDBSF(t *testing.T) {
	got := DBSF([][]Scored{list(1, 2, 3)}, 10)
	// Mean 2, sample deviation 1: from −1 to 5.
	require.Equal(t, []uint64{3, 2, 1}, ids(got))
	require.InDelta(t, 4.0/6, got[0].Score, 1e-6)
	require.InDelta(t, 3.0/6, got[1].Score, 1e-6)
	require.InDelta(t, 2.0/6, got[2].Score, 1e-6)
	for _, l := range [][]Scored{list(7), list(7, 7, 7)} {
		for _, h := range DBSF([][]Scored{l}, 10) {
			require.InDelta(t, 0.5, h.Score, 1e-6)
		}
	}
	sum := DBSF([][]Scored{list(1, 2, 3), list(5, 5)}, 10)
	require.InDelta(t, 3.0/6+0.5, sum[0].Score, 1e-6)
	require.Empty(t, DBSF(nil, 10))
}

// Merging sorted lists is sorting all of them.
func TestMergeIsSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Scored {
			return Scored{ID: point.Num(rapid.Uint64Range(0, 30).Draw(t, "id")), Score: float32(rapid.IntRange(0, 9).Draw(t, "score"))}
		}), 0, 20), 1, 4).Draw(t, "lists")
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		best := map[point.ID]Scored{}
		for i := range lists {
			slices.SortFunc(lists[i], Better)
			lists[i] = slices.CompactFunc(lists[i], func(a, b Scored) bool { return a.ID == b.ID })
			for _, h := range lists[i] {
				if old, ok := best[h.ID]; !ok || h.Score > old.Score {
					best[h.ID] = h
				}
			}
		}
		if len(lists) == 1 {
			return // one list is returned as it is
		}
		var want []Scored
		for _, h := range best {
			want = append(want, h)
		}
		slices.SortFunc(want, Better)
		want = want[:min(limit, len(want))]
		got := Merge(lists, Better, limit)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i], got[i])
		}
	})
}

func TestPublicScoresAndThreshold(t *testing.T) {
	require.InDelta(t, 3, Public(vector.Euclid, -9), 1e-6)
	require.InDelta(t, 9, Public(vector.Manhattan, -9), 1e-6)
	require.InDelta(t, -0.5, Public(vector.Dot, -0.5), 1e-6)
	require.False(t, Passes(vector.Dot, 0.5, 0.5), "strictly")
	require.False(t, Passes(vector.Euclid, 0.5, 0.5), "strictly")
	require.True(t, Passes(vector.Euclid, 0.4, 0.5))
	hits := list(-1, -4, -9)
	require.Len(t, Cut(vector.Euclid, hits, new(float32(3))), 2)
	require.Len(t, Cut(vector.Euclid, hits, nil), 3)
}

func TestByOrder(t *testing.T) {
	integer := func(n int64) *pb.OrderValue { return &pb.OrderValue{Variant: &pb.OrderValue_Int{Int: n}} }
	float := func(x float64) *pb.OrderValue { return &pb.OrderValue{Variant: &pb.OrderValue_Float{Float: x}} }
	rapid.Check(t, func(t *rapid.T) {
		value := func(name string) (*pb.OrderValue, float64) {
			n := rapid.Int64Range(-5, 5).Draw(t, name)
			if rapid.Bool().Draw(t, name+" float") {
				return float(float64(n) + 0.5), float64(n) + 0.5
			}
			return integer(n), float64(n)
		}
		a, x := value("a")
		b, y := value("b")
		require.Equal(t, cmp.Compare(x, y), CompareOrder(a, b))
		require.Equal(t, cmp.Compare(y, x), ByOrder(pb.Direction_Desc)(Scored{Order: a}, Scored{Order: b}))
	})
	require.Negative(t, CompareOrder(integer(math.MaxInt64-1), integer(math.MaxInt64)), "no rounding between integers")
	require.Negative(t, ByOrder(pb.Direction_Asc)(
		Scored{ID: point.Num(1), Order: integer(1)}, Scored{ID: point.Num(2), Order: integer(1)}))
}
