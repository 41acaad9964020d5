package model

import "testing"

func BenchmarkSearch(b *testing.B) {
	m, err := New(small(func(b *Bounds) { b.Wipes, b.GroupFence = 1, true }), 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r := Search(m, 1)
		b.ReportMetric(float64(r.Transitions), "transitions/op")
	}
}
