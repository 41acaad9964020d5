package vectorindex

import "math"

// candidate is a row and its distance: by codes, or exact.
type candidate struct {
	distance float32
	row      uint32
}

// nearest keeps the k candidates that are nearest, in a heap with the farthest on
// top. It grows with what is offered, not with k. Of equally far candidates those
// with smaller rows are kept, so that the result doesn't depend on the order.
type nearest struct {
	k     int
	items []candidate
}

func (n *nearest) reset(k int) { n.k, n.items = k, n.items[:0] }

// bound is the distance beyond which a candidate is of no use.
func (n *nearest) bound() float32 {
	if len(n.items) < n.k {
		return float32(math.Inf(1))
	}
	if n.k == 0 {
		return float32(math.Inf(-1))
	}
	return n.items[0].distance
}

func farther(a, b candidate) bool {
	return a.distance > b.distance || a.distance == b.distance && a.row > b.row
}

// offer takes a candidate if it is one of the k nearest so far.
func (n *nearest) offer(c candidate) {
	if len(n.items) < n.k {
		n.items = append(n.items, c)
		for i := len(n.items) - 1; i > 0; {
			up := (i - 1) / 2
			if !farther(n.items[i], n.items[up]) {
				return
			}
			n.items[i], n.items[up] = n.items[up], n.items[i]
			i = up
		}
		return
	}
	if n.k == 0 || !farther(n.items[0], c) {
		return
	}
	n.items[0] = c
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(n.items) {
			return
		}
		if down+1 < len(n.items) && farther(n.items[down+1], n.items[down]) {
			down++
		}
		if !farther(n.items[down], n.items[i]) {
			return
		}
		n.items[i], n.items[down] = n.items[down], n.items[i]
		i = down
	}
}
