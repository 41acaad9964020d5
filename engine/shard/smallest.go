package shard

import (
	"container/heap"
	"slices"
)

// smallest keeps the n smallest of the values it is given, in memory for as many
// as there are and at most n.
type smallest[T any] struct {
	n       int
	compare func(a, b T) int
	values  []T // a heap, the largest first, once there are n
}

func newSmallest[T any](n int, compare func(a, b T) int) *smallest[T] {
	return &smallest[T]{n: n, compare: compare}
}

func (s *smallest[T]) add(v T) {
	switch {
	case len(s.values) < s.n:
		heap.Push(s, v)
	case s.n > 0 && s.compare(v, s.values[0]) < 0:
		s.values[0] = v
		heap.Fix(s, 0)
	}
}

// sorted returns the values in ascending order and empties s.
func (s *smallest[T]) sorted() []T {
	out := s.values
	s.values = nil
	slices.SortFunc(out, s.compare)
	return out
}

// Len, Less, Swap, Push and Pop are container/heap's.
func (s *smallest[T]) Len() int           { return len(s.values) }
func (s *smallest[T]) Less(i, j int) bool { return s.compare(s.values[i], s.values[j]) > 0 }
func (s *smallest[T]) Swap(i, j int)      { s.values[i], s.values[j] = s.values[j], s.values[i] }
func (s *smallest[T]) Push(v any)         { s.values = append(s.values, v.(T)) } //nolint:forcetypeassert // only add pushes
func (s *smallest[T]) Pop() any           { panic("smallest: nothing is popped") }
