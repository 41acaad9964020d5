package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Better orders hits best first: by score, and equal scores by ID so that the
// answer doesn't depend on which list a hit came from.
func Better(a, b Scored) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), a.ID.Compare(b.ID))
}

// Merge merges lists that are each sorted by order, and returns the first limit
// hits. A point that is in several lists counts once, as its first occurrence.
func Merge(lists [][]Scored, order func(a, b Scored) int, limit int) []Scored {
	if len(lists) == 1 {
		return lists[0][:min(limit, len(lists[0]))]
	}
	var all []Scored
	for _, l := range lists {
		all = append(all, l...)
	}
	slices.SortStableFunc(all, order)
	seen := make(map[name]struct{}, len(all))
	out := all[:0]
	for _, h := range all {
		if len(out) >= limit {
			break
		}
		if _, dup := seen[nameOf(&h)]; !dup {
			seen[nameOf(&h)] = struct{}{}
			out = append(out, h)
		}
	}
	return out
}

// name is what tells a hit's point from others.
type name struct {
	id   point.ID
	part uint32
}

func nameOf(h *Scored) name { return name{h.ID, h.Part} }

// DefaultRRFK is the k of reciprocal rank fusion when the query names none.
const DefaultRRFK = 2

// RRF fuses ranked lists by reciprocal rank: a hit at place r (from 0) of a list
// with weight w scores 1/((r+1)/w + k − 1), and the scores over all lists are
// summed (Cormack et al., Reciprocal Rank Fusion, 2009, generalised by weights).
// weights is nil, meaning all 1, or has one per list; a list of weight ≤ 0
// contributes nothing, but its points are in the result. k must be at least 1.
func RRF(lists [][]Scored, k uint32, weights []float32, limit int) ([]Scored, error) {
	if k < 1 {
		return nil, apierror.New(apierror.BadInput, "RRF k must be at least 1")
	}
	if len(weights) > 0 && len(weights) != len(lists) {
		return nil, apierror.New(apierror.BadInput,
			"Number of RRF weights (%d) must match the number of prefetches (%d)", len(weights), len(lists))
	}
	return fuse(lists, limit, func(list, rank int) float64 {
		w := 1.0
		if len(weights) > 0 {
			w = float64(weights[list])
		}
		if w <= 0 {
			return 0
		}
		return 1 / (float64(rank+1)/w + float64(k) - 1)
	}), nil
}

// DBSF fuses lists by the distribution of their scores: each list is normalised
// so that mean − 3σ becomes 0 and mean + 3σ becomes 1 (σ² the sample variance),
// and the normalised scores over all lists are summed. A list whose scores are
// all alike contributes 0.5 each.
func DBSF(lists [][]Scored, limit int) []Scored {
	type scale struct{ low, span float64 }
	scales := make([]scale, len(lists))
	for i, l := range lists {
		mean, sigma := moments(l)
		scales[i] = scale{mean - 3*sigma, 6 * sigma}
	}
	return fuse(lists, limit, func(list, rank int) float64 {
		s := scales[list]
		if s.span == 0 {
			return 0.5
		}
		return (float64(lists[list][rank].Score) - s.low) / s.span
	})
}

// moments returns mean and sample standard deviation of the scores (Welford).
func moments(l []Scored) (mean, sigma float64) {
	var m2 float64
	for i, h := range l {
		d := float64(h.Score) - mean
		mean += d / float64(i+1)
		m2 += d * (float64(h.Score) - mean)
	}
	if len(l) < 2 {
		return mean, 0
	}
	return mean, math.Sqrt(m2 / float64(len(l)-1))
}

// fuse sums score(list, rank) per point and returns the best limit points, each
// as it stands in the first list that has it, with the summed score.
func fuse(lists [][]Scored, limit int, score func(list, rank int) float64) []Scored {
	at := make(map[name]int)
	var sums []float64
	var out []Scored
	for i, l := range lists {
		for r, h := range l {
			j, ok := at[nameOf(&h)]
			if !ok {
				j = len(out)
				at[nameOf(&h)] = j
				out, sums = append(out, h), append(sums, 0)
			}
			sums[j] += score(i, r)
		}
	}
	for i := range out {
		out[i].Score, out[i].Order = float32(sums[i]), nil
	}
	slices.SortFunc(out, Better)
	return out[:min(limit, len(out))]
}
