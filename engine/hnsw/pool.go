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
	n, lo := len(p.items), rank(p.items, d)
	if n < p.limit {
		p.items = append(p.items, Candidate{})
		n++
	}
	copy(p.items[lo+1:n], p.items[lo:n-1])
	p.items[lo] = Candidate{d, row}
	return lo
}

const (
	// halved is the number of candidates above which rank goes by halves.
	halved = 128
	// stride is how far apart the candidates are that rank compares first.
	stride = 8
)

// rank returns how many of the candidates, nearest first, are not farther than d. It counts
// every eighth, then those between two of them: a branch on a distance, such as Go makes
// of a halving, is mispredicted every other time, which takes longer than a dozen
// comparisons that don't wait for each other.
func rank(items []Candidate, d float32) int {
	from := 0
	for len(items) > halved {
		if half := len(items) / 2; items[half-1].Distance <= d {
			from += half
			items = items[half:]
		} else {
			items = items[:half]
		}
	}
	strides := 0
	for i := stride - 1; i < len(items); i += stride {
		strides += notFarther(items[i].Distance, d)
	}
	items = items[strides*stride:]
	n := 0
	for _, c := range items[:min(stride, len(items))] {
		n += notFarther(c.Distance, d)
	}
	return from + strides*stride + n
}

// notFarther returns 1 or 0 without a branch.
func notFarther(a, d float32) int {
	if a <= d {
		return 1
	}
	return 0
}

// farIfNaN makes a distance comparable: NaN becomes +Inf, which is what an
// unordered value means for a nearest-neighbour search.
func farIfNaN(d float32) float32 {
	if d != d { // NaN
		return float32(math.Inf(1))
	}
	return d
}
