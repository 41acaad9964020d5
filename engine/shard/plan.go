package shard

import (
	"context"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/filter"
	"github.com/sextantdb/sextant/engine/vector"
)

// checkEvery is after how many documents a scan looks at its context.
const checkEvery = 1024

// restriction is a compiled filter with the way it is to be evaluated. The zero
// value lets all documents pass.
type restriction struct {
	// docs are the passing documents when the indexes can tell, else nil. The set
	// is shared and only read.
	docs *roaring.Bitmap
	// bits are docs again when the set is kept; see [vector.Filter].
	bits  []uint64
	match func(uint32) bool // nil: all pass
	// estimate is the expected number of passing documents.
	estimate int
}

// restrict compiles a filter and chooses: a bitmap when the indexes give one
// without reading (many) payloads, else document by document. A bitmap answers
// each later question in nanoseconds, and tells the exact number, by which the
// vector index plans; a match has to find and read the payload, but a search of a
// graph needs it for a few thousand documents only.
func (s *Shard) restrict(ctx context.Context, st *state, f *pb.Filter) (restriction, error) {
	if emptyFilter(f) {
		return restriction{estimate: s.docs.Len()}, nil
	}
	version, still := s.version()
	key := ""
	if still {
		if key = cacheKey(f); key != "" {
			if kept, ok := s.filters.get(key, version); ok {
				return restrictTo(kept.docs, kept.bits), nil
			}
		}
	}
	p, err := filter.Compile(f, s.source(st))
	if err != nil {
		return restriction{}, err
	}
	if !p.CanBitmap() {
		return restriction{match: while(ctx, p), estimate: s.sampled(p)}, nil
	}
	docs, err := p.Bitmap(ctx)
	if err != nil {
		return restriction{}, err
	}
	// Kept only when no operation has begun since the version was read.
	if key != "" && s.changes.Load() == version {
		s.filters.put(key, version, docs)
	}
	return restrictTo(docs, nil), nil
}

// sampled returns how many documents are expected to pass a filter of which the
// indexes don't know enough: so many as of a sample. A walk that expects half of the
// documents where a tenth passes looks for five times as many as it needs.
func (s *Shard) sampled(p *filter.Program) int {
	const (
		docs = 128
		work = 16 * docs // conditions to look at
	)
	least, expected, most := p.Estimate()
	live := s.docs.Len()
	n := min(docs, work/max(p.Conditions(), 1))
	if n < docs/4 || live < 32*docs {
		return expected // it isn't worth it
	}
	seen, passed := 0, 0
	s.docs.Sample(n, func(doc uint32) {
		seen++
		if p.Match(doc) {
			passed++
		}
	})
	if seen == 0 {
		return expected
	}
	// None of the sample isn't none of all.
	share := max(float64(passed), 0.5) / float64(seen)
	return min(max(int(share*float64(live)), least), most)
}

// while is p's Match until ctx ends; then nothing passes any more. A filter of many
// conditions takes milliseconds for one document, and what calls it looks at its
// context every so many documents only. Whoever uses the result must look again at
// the end: too few documents may have passed.
func while(ctx context.Context, p *filter.Program) func(uint32) bool {
	every := uint32(16) // a clock is read, which costs as much as a condition or two
	if p.Conditions() > 256 {
		every = 1
	}
	var ended atomic.Bool
	return func(doc uint32) bool {
		if doc%every == 0 && !ended.Load() && ctx.Err() != nil {
			ended.Store(true)
		}
		return !ended.Load() && p.Match(doc)
	}
}

func restrictTo(docs *roaring.Bitmap, bits []uint64) restriction {
	return restriction{docs: docs, bits: bits, match: docs.Contains, estimate: int(docs.GetCardinality())}
}

// emptyFilter says whether f has no condition, and so lets all pass.
func emptyFilter(f *pb.Filter) bool {
	return len(f.GetMust())+len(f.GetShould())+len(f.GetMustNot()) == 0 && f.GetMinShould() == nil
}

func (r restriction) passes(doc uint32) bool { return r.match == nil || r.match(doc) }

func (r restriction) all() bool { return r.match == nil }

// vectorFilter is the restriction as vector indexes take it.
func (r restriction) vectorFilter() vector.Filter {
	if r.docs != nil {
		return vector.Filter{Docs: r.docs, Bits: r.bits, Estimate: r.estimate}
	}
	return vector.Filter{Match: r.match, Estimate: r.estimate}
}

// each calls f for each passing live document in ascending order until it
// returns false.
func (s *Shard) each(ctx context.Context, r restriction, f func(doc uint32) bool) error {
	looked := 0
	visit := func(doc uint32, passes bool) bool {
		if looked++; looked%checkEvery == 0 && ctx.Err() != nil {
			return false
		}
		return !passes || f(doc)
	}
	if r.docs == nil {
		s.docs.EachLive(func(doc uint32) bool { return visit(doc, r.passes(doc)) })
		return ctx.Err()
	}
	// The set may be older than a deletion that has been applied meanwhile.
	for it := r.docs.Iterator(); it.HasNext(); {
		if doc := it.Next(); !visit(doc, s.docs.Live(doc)) {
			break
		}
	}
	return ctx.Err()
}

// passing returns the documents that pass a program, in ascending order.
func (s *Shard) passing(ctx context.Context, st *state, f *pb.Filter) ([]uint32, error) {
	r, err := s.restrict(ctx, st, f)
	if err != nil {
		return nil, err
	}
	var docs []uint32
	err = s.each(ctx, r, func(doc uint32) bool {
		docs = append(docs, doc)
		return true
	})
	return docs, err
}
