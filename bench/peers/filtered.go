package main

import (
	"context"
	"fmt"
	"io"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/engine/vectorindex"
)

// subset are the rows that pass a filter, chosen at random, and what searching them took.
type subset struct {
	share  float64
	rows   []uint32
	filter vector.Filter // as a shard keeps it for a filter that is asked again
	truth  [][]uint32

	plan       vectorindex.Plan
	recall     float64
	walk, scan []float64 // µs of a query: ours, and of an exact scan of the rows; one of each a round
}

// scanned is the number of queries that a scan of a subset answers: it may take milliseconds for one.
const scanned = 100

// filtered measures searches of ours at the index's own ef, in turns: all rows, subsets of them, and the plainest
// way to search a subset, which compares each of its raw rows.
func filtered(ctx context.Context, o options, s *ours, out io.Writer) error {
	all := &subset{share: 1, truth: s.set.Truth}
	subsets := []*subset{all}
	for _, share := range o.passing {
		b, err := draft(ctx, o, s.set, share)
		if err != nil {
			return err
		}
		subsets = append(subsets, b)
	}
	for range o.rounds {
		for _, b := range subsets {
			if err := b.measure(ctx, o, s); err != nil {
				return err
			}
		}
	}
	w := newTable(out, "passing", "plan", "recall", "µs", "of all rows", "µs, exact scan", "of the faster")
	for _, b := range subsets {
		row := table.Row{fmt.Sprintf("%g %%", 100*b.share), b.plan, fmt.Sprintf("%.4f", b.recall), fmt.Sprintf("%.1f", median(b.walk))}
		if b != all {
			times, _ := ratioOf(speed{rounds: b.walk}, speed{rounds: all.walk})
			best := min(median(all.walk), median(b.scan))
			row = append(row, times.String(), fmt.Sprintf("%.1f", median(b.scan)), fmt.Sprintf("%.2f", median(b.walk)/best))
		}
		w.AppendRow(row)
	}
	w.Render()
	return nil
}

// draft chooses a subset and finds the true answers.
func draft(ctx context.Context, o options, set dataset.Set, share float64) (*subset, error) {
	b := &subset{share: share}
	const most = 1 << 20
	for row := range uint32(set.Base.Rows()) {
		if float64(row*2654435761>>12&(most-1)) < share*most { // multiplicative hashing (Knuth)
			b.rows = append(b.rows, row)
		}
	}
	b.filter.Docs = roaring.BitmapOf(b.rows...)
	b.filter.Bits, _ = vector.Bits(b.filter.Docs, nil)
	var err error
	b.truth, err = dataset.Truth(ctx, set.Base, set.Queries, o.kind(), o.k, func(row int) bool { return b.filter.Docs.Contains(uint32(row)) })
	return b, err
}

// measure answers all queries once.
func (b *subset) measure(ctx context.Context, o options, s *ours) error {
	found := make([][]uint32, s.set.Queries.Rows())
	start := cpuSeconds()
	for q := range found {
		hits, profile, err := s.index.Search(ctx, vectorindex.Query{Vector: s.set.Queries.Row(q), K: o.k, Filter: b.filter})
		if err != nil {
			return fmt.Errorf("search %g of the rows: %w", b.share, err)
		}
		b.plan = profile.Plan
		for _, h := range hits {
			found[q] = append(found[q], h.Doc)
		}
	}
	b.walk = append(b.walk, (cpuSeconds()-start)/float64(len(found))*1e6)
	b.recall = dataset.Recall(b.truth, found, o.k)
	if b.rows == nil {
		return nil
	}
	n := min(scanned, len(found))
	kernels, distances := distance.Detect(), make([]float32, len(b.rows))
	start = cpuSeconds()
	for q := range n {
		base, stride := unsafe.Pointer(unsafe.SliceData(s.set.Base.Data)), 4*s.set.Base.Dim
		if o.kind() == dataset.L2 {
			kernels.L2IDs(s.set.Queries.Row(q), base, stride, b.rows, distances)
		} else {
			kernels.DotIDs(s.set.Queries.Row(q), base, stride, b.rows, distances)
		}
		kernels.InsertNear(make([]distance.Near, 0, o.k), o.k, b.rows, distances)
	}
	b.scan = append(b.scan, (cpuSeconds()-start)/float64(n)*1e6)
	return nil
}
