package hnsw

import "math"

// Candidate is a row and its distance.
type Candidate struct {
	Distance float32
	Row      uint32
}

// expanded marks, in a pool, a candidate whose list has been followed.
const expanded = 1 << 31

// pool is a list of candidates, nearest first, of at most limit entries. An
// insertion shifts a few cache lines, which for the usual widths is cheaper than
// a heap's branches, and walking it in order is what the search does anyway.
type pool struct {
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

// insert puts a candidate behind all that are not farther, and returns its
// position. It must be nearer than bound, or the pool not full.
func (p *pool) insert(d float32, row uint32) int {
	n := len(p.items)
	lo := 0
	// A halving without a branch on the distance, which would be mispredicted every
	// other time. At the end lo is 0 or the number of those not farther, less one.
	for rest := n; rest > 1; {
		half := rest >> 1
		if p.items[lo+half].Distance <= d {
			lo += half
		}
		rest -= half
	}
	if n > 0 && p.items[lo].Distance <= d {
		lo++
	}
	if n < p.limit {
		p.items = append(p.items, Candidate{})
		n++
	}
	copy(p.items[lo+1:n], p.items[lo:n-1])
	p.items[lo] = Candidate{d, row}
	return lo
}

// farIfNaN makes a distance comparable: NaN becomes +Inf, which is what an
// unordered value means for a nearest-neighbour search.
func farIfNaN(d float32) float32 {
	if d != d { // NaN
		return float32(math.Inf(1))
	}
	return d
}
