package vectorindex

import (
	"cmp"
	"math"
	"slices"
)

// candidate is a row and its distance: by codes, or exact.
type candidate struct {
	distance float32
	row      uint32
}

// nearest keeps the k candidates that are nearest. Few are in order, nearest first:
// what comes nearly in order, as from a walk, hardly moves them, and nobody has to sort
// them later. Many are a heap with the farthest on top. It grows with what is offered,
// not with k. Of equally far candidates those with smaller rows are kept, so that the
// result doesn't depend on the order.
type nearest struct {
	k     int
	items []candidate
}

// fewItems is the number of candidates up to which they are kept in order.
const fewItems = 64

func (n *nearest) reset(k int) { n.k, n.items = k, n.items[:0] }

// bound is the distance beyond which a candidate is of no use.
func (n *nearest) bound() float32 {
	if len(n.items) < n.k {
		return float32(math.Inf(1))
	}
	if n.k == 0 {
		return float32(math.Inf(-1))
	}
	if n.k <= fewItems {
		return n.items[n.k-1].distance
	}
	return n.items[0].distance
}

// farther tells whether a comes behind b.
func farther(a, b candidate) bool {
	return a.distance > b.distance || a.distance == b.distance && a.row > b.row
}

// offer takes a candidate if it is one of the k nearest so far.
func (n *nearest) offer(c candidate) {
	switch {
	case n.k > fewItems:
		n.push(c)
	case len(n.items) < n.k:
		n.items = append(n.items, c)
		n.place(c)
	case n.k > 0 && farther(n.items[n.k-1], c):
		n.place(c)
	}
}

// place puts a candidate in order, in place of the last one.
func (n *nearest) place(c candidate) {
	i := len(n.items) - 1
	for ; i > 0 && farther(n.items[i-1], c); i-- {
		n.items[i] = n.items[i-1]
	}
	n.items[i] = c
}

// push offers a candidate to the heap.
func (n *nearest) push(c candidate) {
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
	if !farther(n.items[0], c) {
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

// drain returns the candidates in order, nearest first. After it the value must be
// reset before it is offered more.
func (n *nearest) drain() []candidate {
	if n.k > fewItems {
		slices.SortFunc(n.items, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	}
	return n.items
}
