package sparse

import (
	"cmp"
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/vector"
)

// topK keeps the best k hits: a binary heap with the worst one in front. It
// grows with the hits, not with k.
type topK struct {
	k     int
	least float32 // score threshold, −Inf for none
	heap  []vector.Hit
}

func (t *topK) reset(k int, threshold *float32) {
	if cap(t.heap) > 1<<16 {
		t.heap = nil // don't keep the memory of an unusual search
	}
	t.k, t.least, t.heap = k, float32(math.Inf(-1)), t.heap[:0]
	if threshold != nil {
		t.least = *threshold
	}
}

// worse tells whether a ranks after b.
func worse(a, b vector.Hit) bool {
	return a.Score < b.Score || a.Score == b.Score && a.Doc > b.Doc
}

// wants tells whether a hit would be kept.
func (t *topK) wants(h vector.Hit) bool {
	return h.Score >= t.least && (len(t.heap) < t.k || worse(t.heap[0], h))
}

// bound returns the score below which no hit is kept.
func (t *topK) bound() float32 {
	if len(t.heap) < t.k {
		return t.least
	}
	return max(t.least, t.heap[0].Score)
}

// add keeps a hit that wants has approved of.
func (t *topK) add(h vector.Hit) {
	if len(t.heap) < t.k {
		t.heap = append(t.heap, h)
		for i := len(t.heap) - 1; i > 0; {
			parent := (i - 1) / 2
			if !worse(t.heap[i], t.heap[parent]) {
				break
			}
			t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
			i = parent
		}
		return
	}
	t.heap[0] = h
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if worse(t.heap[child], t.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.heap[i], t.heap[least] = t.heap[least], t.heap[i]
		i = least
	}
}

// take returns the hits, best first, in a slice of the caller's own.
func (t *topK) take() []vector.Hit {
	hits := slices.Clone(t.heap)
	slices.SortFunc(hits, func(a, b vector.Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), compare(a.Doc, b.Doc))
	})
	return hits
}
