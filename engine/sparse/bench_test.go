package sparse

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/vector"
)

// BenchmarkSearch searches 200,000 documents of 40 elements on average with
// Zipf-like terms, sealed, with queries of a few (keywords) and many terms
// (learned weights).
func BenchmarkSearch(b *testing.B) {
	const docs, dims = 200_000, 30_000
	for _, datatype := range []vector.Datatype{vector.Float32, vector.Float16} {
		ix := openNew(b, Config{IDF: true, Datatype: datatype}, defaultLimits)
		r := rand.New(rand.NewPCG(1, 2))
		for doc := range uint32(docs) {
			indices, values := randomVector(r, dims, 10+r.IntN(60))
			require.NoError(b, ix.Upsert(doc, indices, values))
			if doc%sealRowsEvery == 0 {
				settle(b, ix)
			}
		}
		settle(b, ix)
		tenth := roaring.New()
		for doc := range uint32(docs) {
			if doc%10 == 0 {
				tenth.Add(doc)
			}
		}
		name := map[vector.Datatype]string{vector.Float32: "f32", vector.Float16: "f16"}[datatype]
		for _, terms := range []int{3, 8, 40} {
			for filter, docs := range map[string]*roaring.Bitmap{"all": nil, "tenth": tenth} {
				b.Run(fmt.Sprintf("%s/terms=%d/%s", name, terms, filter), func(b *testing.B) {
					r := rand.New(rand.NewPCG(3, 4))
					queries := make([]Query, 64)
					for i := range queries {
						queries[i] = Query{K: 10, Filter: vector.Filter{Docs: docs}}
						queries[i].Indices, queries[i].Values = randomVector(r, dims, terms)
					}
					read := 0
					b.ResetTimer()
					for i := range b.N {
						_, profile, err := ix.Search(b.Context(), queries[i%len(queries)])
						require.NoError(b, err)
						read += profile.Postings
					}
					b.ReportMetric(float64(read)/float64(b.N), "postings/op")
				})
			}
		}
	}
}

// sealRowsEvery is how often the benchmark's loader lets background work run.
const sealRowsEvery = 4096

// BenchmarkUpsert includes sealing and merging.
func BenchmarkUpsert(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	ix := openNew(b, Config{}, defaultLimits)
	indices, values := make([][]uint32, 1000), make([][]float32, 1000)
	for i := range indices {
		indices[i], values[i] = randomVector(r, 30_000, 40)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		require.NoError(b, ix.Upsert(uint32(i), indices[i%1000], values[i%1000]))
		if i%sealRowsEvery == 0 {
			settle(b, ix)
		}
	}
	settle(b, ix)
}
