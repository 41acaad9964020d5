package sparse

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// FuzzPart writes parts whose checksums are right and whose content is not: they
// must be refused or answer something, and never make the program fail.
func FuzzPart(f *testing.F) {
	f.Add(secStarts, uint32(4), uint32(1000), false)
	f.Add(secBlocks, uint32(8), uint32(77), true)
	f.Add(secPostings, uint32(0), uint32(0xffff), false)
	f.Add(secOffsets, uint32(12), uint32(1<<31), true)
	f.Add(secMeta, uint32(16), uint32(1), false)
	f.Fuzz(func(t *testing.T, id uint16, at, value uint32, cut bool) {
		p := samplePart(t)
		fsys := fsx.NewMem()
		require.NoError(t, fsys.MkdirAll("/shard"))
		dir := &segment.Dir{FS: fsys, Path: "/shard"}
		info, err := writePart(&segment.Batch{Dir: dir}, damaged(t, p, id, at, value, cut), func() {})
		require.NoError(t, err)
		state, err := writeState(&segment.Batch{Dir: dir}, []*part{p}, 1)
		require.NoError(t, err)
		ix, err := Open(Options{Dir: dir, Files: []segment.FileInfo{state, info}, Config: Config{IDF: true}})
		if err != nil {
			return
		}
		_, _, err = ix.Search(context.Background(), Query{Indices: []uint32{0, 1, 2, 3, 9}, Values: []float32{1, 1, -1, 1, 2}, K: 10})
		for doc := range uint32(400) {
			_, _, _, vectorErr := ix.Vector(doc)
			if err == nil && vectorErr == nil {
				_ = ix.Upsert(doc, []uint32{1}, []float32{1}) // may find the damage
			}
		}
		_, _ = ix.Step(context.Background())
		require.NoError(t, ix.Close())
	})
}

// samplePart has lists with and without blocks.
func samplePart(t *testing.T) *part {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	g := newGrowing(false)
	for doc := range uint32(300) {
		indices, values := randomVector(r, 10, 1+r.IntN(5))
		g.add(doc, indices, values)
	}
	p, _, err := buildPart([]source{g}, 1, false, func() {})
	require.NoError(t, err)
	return p
}

// damaged overwrites four bytes of a section of a part, or cuts the section there.
func damaged(t *testing.T, p *part, id uint16, at, value uint32, cut bool) *part {
	t.Helper()
	u32 := map[uint16]*[]uint32{
		secDocs: &p.docs, secOffsets: &p.offsets, secIndices: &p.indices, secTerms: &p.terms, secStarts: &p.starts, secBlocks: &p.blocks,
	}
	u16 := map[uint16]*[]uint16{secBlockEnd: &p.blockEnd, secPostings: &p.postings}
	f32 := map[uint16]*[]float32{
		secValues: &p.values, secMaxima: &p.maxima, secMinima: &p.minima, secBlockMax: &p.blockMax, secBlockMin: &p.blockMin, secWeights: &p.weights,
	}
	switch {
	case u32[id] != nil:
		damage(u32[id], at, value, cut)
	case u16[id] != nil:
		damage(u16[id], at, uint16(value), cut)
	case f32[id] != nil:
		damage(f32[id], at, float32(int32(value)), cut)
	}
	if len(p.docs) == 0 || len(p.offsets) <= len(p.docs) { // what the writer itself counts
		p.offsets = append(p.offsets, make([]uint32, len(p.docs)+1)...)
	}
	return p
}

func damage[T any](s *[]T, at uint32, value T, cut bool) {
	at %= uint32(len(*s))
	if cut {
		*s = (*s)[:at]
		return
	}
	(*s)[at] = value
}
