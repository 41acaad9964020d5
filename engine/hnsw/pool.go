package hnsw

import (
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// Candidate is a row and its distance.
type Candidate = distance.Near

// expanded marks, in a pool, a candidate whose list has been followed.
const expanded = 1 << 31

// pool is a list of candidates, nearest first, of at most limit entries. An
// insertion shifts a few cache lines, which for the usual widths is cheaper than
// a heap's branches, and walking it in order is what the search does anyway.
type pool struct {
	kernels *distance.Kernels

	items []Candidate
	limit int
}

// reset empties the pool and sets its limit.
func (p *pool) reset(limit int) {
	p.items = p.items[:0]
	p.limit = limit
}

// bound returns the distance from which on nothing enters the pool.
func (p *pool) bound() float32 {
	if len(p.items) < p.limit {
		return float32(math.Inf(1))
	}
	return p.items[len(p.items)-1].Distance
}

// unfollowed returns the first position from cur on whose list was not followed yet.
func (p *pool) unfollowed(cur int) int {
	for cur < len(p.items) && p.items[cur].Row&expanded != 0 {
		cur++
	}
	return cur
}

// add puts rows into the pool, each behind all that are not farther, as far as they are nearer than
// bound. It returns the lowest position that changed.
func (p *pool) add(rows []uint32, distances []float32) (low int) {
	p.items, low = p.kernels.InsertNear(slices.Grow(p.items, len(rows)), p.limit, rows, distances)
	return low
}

// insert is add for one row.
func (p *pool) insert(c Candidate) { p.add([]uint32{c.Row}, []float32{c.Distance}) }

// farIfNaN makes a distance comparable: NaN becomes +Inf, which is what an
// unordered value means for a nearest-neighbour search.
func farIfNaN(d float32) float32 {
	if d != d { // NaN
		return float32(math.Inf(1))
	}
	return d
}
