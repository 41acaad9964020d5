package payloadindex

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/fsx"
)

// BenchmarkQuery times queries on a million documents, after a checkpoint.
func BenchmarkQuery(b *testing.B) {
	const n = 1_000_000
	hash := func(doc uint32) uint32 { return doc * 2654435761 >> 4 }
	for _, field := range []struct {
		name    string
		kind    Kind
		payload func(doc uint32) string
		queries map[string]Predicate
	}{
		{"integer", Integer, func(doc uint32) string { return fmt.Sprintf(`{"f":%d}`, hash(doc)%1000) }, map[string]Predicate{
			"eq .1%": NewIntegers(5), "range 1%": bounds(100, 109), "range 10%": bounds(100, 199), "range 50%": bounds(100, 599),
		}},
		{"float", Float, func(doc uint32) string { return fmt.Sprintf(`{"f":%d.5}`, hash(doc)) }, map[string]Predicate{
			"range 1%": bounds(0, 1<<28/100), "range 10%": bounds(0, 1<<28/10), "range 50%": bounds(0, 1<<28/2),
		}},
		{"keyword", Keyword, func(doc uint32) string { return fmt.Sprintf(`{"f":"value %d"}`, hash(doc)%10) }, map[string]Predicate{
			"eq 10%": NewKeywords("value 3"), "except": ExceptKeywords{NewKeywords("value 3")},
		}},
		{"distinct", Keyword, func(doc uint32) string { return fmt.Sprintf(`{"f":"value %d"}`, doc) }, map[string]Predicate{
			"eq": NewKeywords("value 3333"), "prefix 11%": Prefix{"value 3"},
		}},
		{"geo", Geo, func(doc uint32) string {
			return fmt.Sprintf(`{"f":{"lon":%d,"lat":%d.%d}}`, hash(doc)%360-180, hash(doc)/360%90, doc%1000)
		}, map[string]Predicate{
			"radius": GeoRadius{GeoPoint{10, 50}, 100_000}, "box": GeoBox{GeoPoint{-60, 60}, GeoPoint{60, 30}},
		}},
	} {
		b.Run(field.name, func(b *testing.B) {
			ix, err := Open(Options{Config: config(b, field.kind, 0)})
			require.NoError(b, err)
			dir := newDir(b, fsx.NewMem())
			start := time.Now()
			for doc := range uint32(n) {
				ix.Update(doc, nil, object(b, "%s", field.payload(doc)))
			}
			updates := time.Since(start)
			c := ix.Freeze()
			files, err := c.Write(b.Context(), dir)
			require.NoError(b, err)
			require.NoError(b, c.Commit())
			b.Logf("updates %v, checkpoint %v, %.1f bytes a document", updates, time.Since(start)-updates, float64(files[0].Size)/n)
			start = time.Now()
			again, err := Open(Options{Config: ix.Config(), Dir: dir, Files: files})
			require.NoError(b, err)
			require.NoError(b, again.Close())
			b.Logf("open %v", time.Since(start))
			for name, p := range field.queries {
				b.Run(name, func(b *testing.B) {
					docs := uint64(0)
					for b.Loop() {
						a, _ := ix.Query(p)
						docs = a.Sure.GetCardinality()
					}
					b.ReportMetric(float64(docs), "docs")
				})
			}
		})
	}
}

// BenchmarkStalls fills an index with a million documents without a checkpoint,
// while merges go on in the background, and reports the longest that an update has
// taken.
func BenchmarkStalls(b *testing.B) {
	const n = 1_000_000
	hash := func(doc uint32) uint32 { return doc * 2654435761 >> 4 }
	for _, field := range []struct {
		name    string
		kind    Kind
		payload func(doc uint32) string
	}{
		{"integer", Integer, func(doc uint32) string { return fmt.Sprintf(`{"f":%d}`, hash(doc)%1000) }},
		{"distinct", Keyword, func(doc uint32) string { return fmt.Sprintf(`{"f":"value %d"}`, hash(doc)) }},
		{"list", Keyword, func(doc uint32) string {
			return fmt.Sprintf(`{"f":["a%d","b%d","c%d","d%d"]}`, doc%7, hash(doc)%100, hash(doc)%1000, hash(doc)%10000)
		}},
	} {
		b.Run(field.name, func(b *testing.B) {
			for b.Loop() {
				ix, err := Open(Options{Config: config(b, field.kind, 0)})
				require.NoError(b, err)
				ctx, stop := context.WithCancel(b.Context())
				var background sync.WaitGroup
				background.Go(func() {
					for ctx.Err() == nil {
						if more, err := ix.Step(ctx); err == nil && !more {
							select {
							case <-ctx.Done():
							case <-time.After(10 * time.Millisecond):
							}
						}
					}
				})
				var worst, total time.Duration
				over := 0
				for doc := range uint32(n) {
					o := object(b, "%s", field.payload(doc))
					start := time.Now()
					ix.Update(doc, nil, o)
					took := time.Since(start)
					total += took
					worst = max(worst, took)
					if took > 50*time.Millisecond {
						over++
					}
				}
				stop()
				background.Wait()
				b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
				b.ReportMetric(float64(over), "over-50ms")
				b.ReportMetric(float64(total.Microseconds())/n, "us/update")
				require.NoError(b, ix.Close())
			}
		})
	}
}
