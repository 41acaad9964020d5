package vectorindex

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/vector"
)

// rowsOf answers for many documents what row does for one: of an index whose documents were
// written in order, with or without some that were written again or deleted since, and
// of one that never was in order.
func TestRowsOfManyDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Dim: 3, Distance: vector.Euclid, IndexingThresholdKB: -1, M: 4, EfConstruct: 16, VacuumMin: 1000}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		f := newFixture(t, cfg)
		defer func() { require.NoError(t, f.ix.Close()) }()
		for doc := range uint32(rapid.IntRange(0, 300).Draw(t, "in order")) {
			f.upsert(doc, randomVector(rng, cfg))
		}
		for range rapid.IntRange(0, 5).Draw(t, "operations") {
			if op := rapid.SampledFrom([]string{"", "upsert", "delete", "settle", "reopen"}).Draw(t, "op"); op != "" {
				f.operate(op, rng)
			}
			docs := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 600), 0, block, rapid.ID).Draw(t, "docs")
			slices.Sort(docs)
			f.checkRowsOf(docs)
		}
	})
}

func (f *fixture) checkRowsOf(docs []uint32) {
	v := f.ix.acquire()
	defer v.release()
	var want []uint32
	for _, doc := range docs {
		if row, ok := v.row(doc); ok {
			want = append(want, row)
		}
	}
	require.Equal(f.t, want, append([]uint32(nil), v.rowsOf(docs, make([]uint32, len(docs)))...))
}
