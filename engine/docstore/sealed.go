package docstore

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/segment"
)

// The files of a document store (docs/format/docstore.md).
const (
	partKind    segment.Kind = "docs"
	partVersion uint16       = 1
	liveKind    segment.Kind = "live"
	liveVersion uint16       = 1
)

// The sections of a part.
const (
	secMeta     uint16 = iota + 1 // rows, numbers: uint64 each
	secDocs                       // uint32 a row, ascending
	secVersions                   // uint64 a row
	secRank                       // uint32 a row: the row's place in the order of IDs
	secNumbers                    // uint64 a numeric ID, ascending
	secUUIDs                      // two uint64 (high, low) a UUID, ascending
	secOrder                      // uint32 an ID: its row
	secOffsets                    // uint64 a row, and one more: where its payload begins
	secPayload                    // payload bytes
)

// sealed is an immutable part in a mapped file. All columns but the payload are
// verified when it is opened.
type sealed struct {
	slot     int
	info     segment.FileInfo
	reader   *segment.Reader
	docs     []uint32
	versions []uint64
	rank     []uint32
	numbers  []uint64
	uuids    []uint64
	order    []uint32
	offsets  []uint64
	payloads *segment.Section

	// garbage counts rows that are no longer current: superseded by a later row
	// or dead. It steers merging only.
	garbage atomic.Int64
}

// openSealed opens a part and checks its columns, which takes time in proportion to
// its rows. Payloads are verified block by block when they are read.
func openSealed(dir *segment.Dir, info segment.FileInfo) (_ *sealed, err error) {
	r, err := dir.Open(info, partKind, partVersion)
	if err != nil {
		return nil, fmt.Errorf("open document part %s: %w", info.Name, err)
	}
	p := &sealed{info: info, reader: r}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open document part %s: %w", info.Name, err)
			_ = r.Close()
		}
	}()
	var meta []uint64
	for _, load := range []func() error{
		column(r, secMeta, &meta), column(r, secDocs, &p.docs), column(r, secVersions, &p.versions),
		column(r, secRank, &p.rank), column(r, secNumbers, &p.numbers), column(r, secUUIDs, &p.uuids),
		column(r, secOrder, &p.order), column(r, secOffsets, &p.offsets),
	} {
		if err := load(); err != nil {
			return nil, err
		}
	}
	if p.payloads, err = r.Section(secPayload); err != nil {
		return nil, err
	}
	if err := p.validate(meta); err != nil {
		return nil, err
	}
	return p, nil
}

// column returns a function that reads a verified section as elements.
func column[T segment.Number](r *segment.Reader, id uint16, out *[]T) func() error {
	return func() error {
		s, err := r.Section(id)
		if err != nil {
			return err
		}
		b, err := s.All()
		if err != nil {
			return err
		}
		*out, err = segment.View[T](b)
		return err
	}
}

// validate checks what later code takes for granted, so that no index runs out
// of its array whatever the file says. Checksums don't answer for that: they say that
// the file is as it was written, not that the writer was right.
func (p *sealed) validate(meta []uint64) error {
	n := len(p.docs)
	bad := func(why string) error {
		return &segment.CorruptedError{File: p.info.Name, Why: why}
	}
	switch {
	case len(meta) != 2 || meta[0] != uint64(n) || meta[1] != uint64(len(p.numbers)):
		return bad("wrong number of rows")
	case len(p.versions) != n || len(p.rank) != n || len(p.order) != n || len(p.offsets) != n+1 ||
		len(p.uuids)%2 != 0 || len(p.numbers)+len(p.uuids)/2 != n:
		return bad("columns of different lengths")
	case p.offsets[0] != 0 || p.offsets[n] != uint64(p.payloads.Len()):
		return bad("payload doesn't fit its offsets")
	}
	for i := range n {
		if i > 0 && p.docs[i-1] >= p.docs[i] || p.offsets[i] > p.offsets[i+1] {
			return bad("column out of order")
		}
		if int(p.rank[i]) >= n || p.order[p.rank[i]] != uint32(i) {
			return bad("order of ids is no permutation")
		}
	}
	return nil
}

func (p *sealed) close() { _ = p.reader.Close() }

func (p *sealed) place() int              { return p.slot }
func (p *sealed) len() int                { return len(p.docs) }
func (p *sealed) doc(r uint32) uint32     { return p.docs[r] }
func (p *sealed) version(r uint32) uint64 { return p.versions[r] }
func (p *sealed) superseded()             { p.garbage.Add(1) }

func (p *sealed) id(r uint32) point.ID { return p.sortedID(int(p.rank[r])) }

// sortedID returns the i-th ID in the order of IDs.
func (p *sealed) sortedID(i int) point.ID {
	if i < len(p.numbers) {
		return point.Num(p.numbers[i])
	}
	i -= len(p.numbers)
	return point.FromParts(true, p.uuids[2*i], p.uuids[2*i+1])
}

func (p *sealed) payload(r uint32) (payload.Object, error) {
	from, to := p.offsets[r], p.offsets[r+1]
	if from == to {
		return payload.Object{}, nil
	}
	b, err := p.payloads.At(int64(from), int64(to-from))
	return payload.Object(b), err
}

// search returns the place in the order of IDs of the first ID ≥ id, and
// whether it is id. Numbers come before all UUIDs, and those are compared by their
// halves.
func (p *sealed) search(id point.ID) (int, bool) {
	isUUID, hi, lo := id.Parts()
	if !isUUID {
		return slices.BinarySearch(p.numbers, lo)
	}
	from, to := 0, len(p.uuids)/2
	for from < to {
		m := int(uint(from+to) / 2)
		if h := p.uuids[2*m]; h < hi || h == hi && p.uuids[2*m+1] < lo {
			from = m + 1
		} else {
			to = m
		}
	}
	found := from < len(p.uuids)/2 && p.uuids[2*from] == hi && p.uuids[2*from+1] == lo
	return len(p.numbers) + from, found
}

// find returns the row of a document.
func (p *sealed) find(doc uint32) (uint32, bool) {
	i, ok := slices.BinarySearch(p.docs, doc)
	return uint32(i), ok
}
