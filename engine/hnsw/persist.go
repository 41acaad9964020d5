package hnsw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sextantdb/sextant/engine/segment"
)

// The sections of a graph file; see docs/format/graph.md.
const (
	sectionHeader = 1
	sectionLinks0 = 2
	sectionChain  = 3
	sectionUpRow  = 4
	sectionUpBase = 5
	sectionUpList = 6
)

// Kind and Version identify graph files.
const (
	Kind    segment.Kind = "graph"
	Version uint16       = 1
)

// header is the fixed part of a graph file, eight-byte little-endian words.
type header struct {
	M, EfConstruct, Seed   uint64
	Rows, Nodes, Chained   uint64
	Slots, Lists, EntryRaw uint64
}

const headerSize = 9 * 8

// ErrInvalid is a graph file whose checksums are right but whose numbers make no
// sense.
var ErrInvalid = errors.New("invalid graph")

// Write writes the graph of rows 0..rows-1, which must be all that were inserted,
// into the sections of w. No Insert may run meanwhile; searches may.
func (g *Graph) Write(w *segment.Writer, rows int) error {
	h := header{
		M: uint64(g.opts.M), EfConstruct: uint64(g.opts.EfConstruct), Seed: g.opts.Seed,
		Rows: uint64(rows), Nodes: uint64(g.Nodes()), Chained: uint64(g.Chained()),
		Slots: uint64(g.slots), Lists: uint64(g.lists), EntryRaw: g.entry.Load(),
	}
	if err := binary.Write(w.Section(sectionHeader), binary.LittleEndian, h); err != nil {
		return fmt.Errorf("write graph header: %w", err)
	}
	chain := g.chain[:rows]
	if h.Chained == 0 {
		chain = nil // most graphs: nothing to write
	}
	for _, part := range []struct {
		id    uint16
		words []uint32
	}{
		{sectionLinks0, g.links0[:rows*g.m0]},
		{sectionChain, chain},
		{sectionUpRow, g.upRow[:g.slots]},
		{sectionUpBase, g.upBase[:g.slots]},
		{sectionUpList, g.upList[:g.lists*g.opts.M]},
	} {
		if err := writeWords(w.Section(part.id), part.words); err != nil {
			return fmt.Errorf("write graph section %d: %w", part.id, err)
		}
	}
	return nil
}

// writeWords writes words in pieces, so that no writer below sees gigabytes.
func writeWords(w io.Writer, words []uint32) error {
	const piece = 1 << 18
	for len(words) > 0 {
		n := min(len(words), piece)
		if _, err := w.Write(segment.Raw(words[:n])); err != nil {
			return err
		}
		words = words[n:]
	}
	return nil
}

// ReadOptions say how a graph file is opened.
type ReadOptions struct {
	// Options are those of the graph; M, EfConstruct and Seed come from the file.
	// Capacity is at least the file's rows.
	Options
	// Mapped leaves the level-0 lists in the mapped file: the graph is read-only
	// and the file must stay open until it is freed. Grow makes it writable.
	Mapped bool
}

// Read makes a graph of a file, and returns for how many rows it stands. Every
// byte is verified.
func Read(r *segment.Reader, o ReadOptions) (g *Graph, rows int, err error) {
	h, err := readHeader(r)
	if err != nil {
		return nil, 0, err
	}
	o.M, o.EfConstruct, o.Seed = int(h.M), int(h.EfConstruct), h.Seed
	o.Capacity = max(o.Capacity, int(h.Rows))
	if o.Mapped {
		o.Capacity = int(h.Rows)
	}
	g = &Graph{opts: o.withDefaults(), m0: 2 * int(h.M), readOnly: o.Mapped}
	if err := g.layout(); err != nil {
		return nil, 0, err
	}
	if err := g.fill(r, h); err != nil {
		return nil, 0, errors.Join(err, g.Free())
	}
	return g, int(h.Rows), nil
}

func readHeader(r *segment.Reader) (h header, err error) {
	s, err := r.Section(sectionHeader)
	if err != nil {
		return h, fmt.Errorf("read graph header: %w", err)
	}
	b, err := s.All()
	if err != nil {
		return h, fmt.Errorf("read graph header: %w", err)
	}
	return parseHeader(b)
}

// parseHeader checks every number that sizes are computed from.
func parseHeader(b []byte) (h header, err error) {
	if len(b) != headerSize {
		return h, fmt.Errorf("read graph header of %d bytes: %w", len(b), ErrInvalid)
	}
	if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
		return h, fmt.Errorf("read graph header: %w", err)
	}
	maxSlots, maxLists := upperCapacity(int(min(h.Rows, MaxRows)), int(max(h.M, 2)))
	if h.M < 2 || h.M > 1024 || h.EfConstruct < h.M || h.EfConstruct > 1<<16 || h.Rows > MaxRows ||
		h.Nodes > h.Rows || h.Chained > h.Rows || h.Slots > uint64(maxSlots) || h.Lists > uint64(maxLists) {
		return h, fmt.Errorf("read graph header %+v: %w", h, ErrInvalid)
	}
	return h, nil
}

// fill takes the arrays from a file's sections and checks every number in them,
// since searches follow them without bounds of their own.
func (g *Graph) fill(r *segment.Reader, h header) error {
	rows, m := int(h.Rows), g.opts.M
	links0, err := words(r, sectionLinks0, rows*g.m0)
	if err != nil {
		return err
	}
	chainLen := 0
	if h.Chained > 0 {
		chainLen = rows
	}
	chain, err := words(r, sectionChain, chainLen)
	if err != nil {
		return err
	}
	upRow, err := words(r, sectionUpRow, int(h.Slots))
	if err != nil {
		return err
	}
	upBase, err := words(r, sectionUpBase, int(h.Slots))
	if err != nil {
		return err
	}
	upList, err := words(r, sectionUpList, int(h.Lists)*m)
	if err != nil {
		return err
	}
	if !below(links0, h.Rows, none) || !below(chain, h.Rows+1, 0) || !below(upRow, h.Rows, 0) ||
		!below(upBase, h.Lists, 0) || !below(upList, h.Slots, none) {
		return fmt.Errorf("read graph lists: number out of range: %w", ErrInvalid)
	}
	if g.readOnly {
		g.links0 = links0
	} else {
		copy(g.links0, links0)
	}
	copy(g.chain, chain)
	copy(g.upRow, upRow)
	copy(g.upBase, upBase)
	copy(g.upList, upList)
	g.slots, g.lists = int(h.Slots), int(h.Lists)
	g.nodes.Store(int64(h.Nodes))
	g.chained.Store(int64(h.Chained))
	return g.setEntry(h)
}

// setEntry checks that the entry and its lists exist.
func (g *Graph) setEntry(h header) error {
	g.entry.Store(h.EntryRaw)
	if h.EntryRaw == noEntry {
		return nil
	}
	id, level := unpackEntry(h.EntryRaw)
	ok := level == 0 && uint64(id) < h.Rows
	if level > 0 && level <= maxLevel && uint64(id) < h.Slots {
		ok = uint64(g.upBase[id])+uint64(level) <= h.Lists
	}
	if !ok {
		return fmt.Errorf("read graph entry %#x: %w", h.EntryRaw, ErrInvalid)
	}
	return nil
}

// words returns a section of exactly n words.
func words(r *segment.Reader, id uint16, n int) ([]uint32, error) {
	s, err := r.Section(id)
	if err != nil {
		return nil, fmt.Errorf("read graph section %d: %w", id, err)
	}
	b, err := s.All()
	if err != nil {
		return nil, fmt.Errorf("read graph section %d: %w", id, err)
	}
	if len(b) != 4*n {
		return nil, fmt.Errorf("read graph section %d of %d bytes, want %d: %w", id, len(b), 4*n, ErrInvalid)
	}
	if n == 0 {
		return nil, nil
	}
	v, err := segment.View[uint32](b)
	if err != nil {
		return nil, fmt.Errorf("read graph section %d: %w", id, err)
	}
	return v, nil
}

// below tells whether all words are less than limit or the exception.
func below(words []uint32, limit uint64, except uint32) bool {
	for _, w := range words {
		if uint64(w) >= limit && w != except {
			return false
		}
	}
	return true
}
