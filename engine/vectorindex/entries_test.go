package vectorindex

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/vector"
)

// Searches by codes begin at entries whatever becomes of graph and codes: when they
// grow, are read from their files, made anew by a vacuum, or encoded differently. The sketches
// are those of the codec in use.
func TestEntriesFitGraphAndCodes(t *testing.T) {
	cfg := Config{Dim: 64, Distance: vector.Euclid, FullScanThresholdKB: -1, IndexingThresholdKB: 1}
	f := newFixture(t, cfg)
	rng := rand.New(rand.NewPCG(3, 4))
	grow := func(from, to uint32) {
		for doc := from; doc < to; doc++ {
			f.upsert(doc, randomVector(rng, cfg))
		}
		f.settle()
	}
	fits := func(when string) {
		v := f.ix.acquire()
		defer v.release()
		require.NotNil(t, v.codes, when)
		e := v.graph.entries.Load()
		require.NotNil(t, e, when)
		require.NotNil(t, e.at, when)
		require.Equal(t, v.codes.id, e.codec, when)
		require.LessOrEqual(t, v.graphRows()-int(e.rows), int(e.rows)/entriesGrowth, when)
		require.Same(t, e.at, v.graph.entriesFor(v.codes), when)
		_, p := f.search(Query{Vector: randomVector(rng, cfg), K: 10})
		require.Equal(t, PlanGraph, p.Plan, when)
	}
	grow(0, 5000)
	fits("built")
	grow(5000, 6000)
	fits("grown")
	f.checkpoint()
	fits("checkpoint")
	f.reopen()
	fits("opened again")

	cfg.Quantization = quantization.Config{Method: quantization.Turbo}
	require.NoError(t, f.ix.SetConfig(cfg))
	f.settle()
	fits("four bits")
	for doc := range uint32(3000) {
		f.delete(doc)
	}
	f.settle()
	fits("vacuum")
	cfg.Quantization = quantization.Config{Method: quantization.Binary}
	require.NoError(t, f.ix.SetConfig(cfg))
	f.settle()
	v := f.ix.acquire()
	defer v.release()
	require.Nil(t, v.graph.entriesFor(v.codes), "bits have no sketches")
}
