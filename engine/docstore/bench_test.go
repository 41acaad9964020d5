package docstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// filled returns a store of n points (DOCSTORE_POINTS, 100,000 by default) in a
// real directory, and its files.
func filled(b *testing.B) (*Store, *segment.Dir, []segment.FileInfo) {
	b.Helper()
	n := 100_000
	if s := os.Getenv("DOCSTORE_POINTS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(b, err)
	}
	dir := &segment.Dir{FS: fsx.OS{}, Path: b.TempDir()}
	s, err := Open(Options{Dir: dir})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	text := payload.Object(fmt.Sprintf("%200d", 0))
	for i := range n {
		_, err := s.Insert(point.Num(uint64(i)*7919), uint64(i), text)
		require.NoError(b, err)
	}
	c := s.Freeze()
	files, err := c.Write(context.Background(), dir)
	require.NoError(b, err)
	require.NoError(b, c.Commit())
	return s, dir, files
}

// BenchmarkOpen opens a store whose payloads stay where they are.
func BenchmarkOpen(b *testing.B) {
	_, dir, files := filled(b)
	for b.Loop() {
		s, err := Open(Options{Dir: dir, Files: files})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
}

// BenchmarkLookup finds points by ID in a sealed part.
func BenchmarkLookup(b *testing.B) {
	s, _, _ := filled(b)
	n := uint64(s.Len())
	for i := uint64(0); b.Loop(); i++ {
		if _, ok := s.Lookup(point.Num(i * 31 % n * 7919)); !ok {
			b.Fatal("point is lost")
		}
	}
}

// BenchmarkInsert fills a growing part.
func BenchmarkInsert(b *testing.B) {
	s, _, _ := filled(b)
	text := payload.Object(fmt.Sprintf("%200d", 0))
	for i := uint64(1); b.Loop(); i++ {
		if _, err := s.Insert(point.Num(i*0x9E3779B97F4A7C15|1<<63), i, text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHits names ten documents with their versions, as a search does, in a
// growing and in a sealed part. Documents are drawn at random, so that their rows
// are in no cache.
func BenchmarkHits(b *testing.B) {
	sealed, _, _ := filled(b)
	growing, err := Open(Options{Dir: &segment.Dir{FS: fsx.OS{}, Path: b.TempDir()}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, growing.Close()) })
	for i := range sealed.Len() {
		_, err := growing.Insert(point.Num(uint64(i)*7919), uint64(i), nil)
		require.NoError(b, err)
	}
	for name, s := range map[string]*Store{"growing": growing, "sealed": sealed} {
		b.Run(name, func(b *testing.B) {
			draw := rand.New(rand.NewPCG(1, 1))
			n := uint32(s.Len())
			for b.Loop() {
				for range 10 {
					doc := draw.Uint32N(n)
					id, version, ok := s.Head(doc)
					if _, _, lo := id.Parts(); !ok || lo != uint64(doc)*7919 || version != uint64(doc) {
						b.Fatal("another point")
					}
				}
			}
		})
	}
}
