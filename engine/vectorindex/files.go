package vectorindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/engine/hnsw"
	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/fsx"
)

// The kinds of files and their version; see docs/format/vectors.md.
const (
	kindMeta  segment.Kind = "vec-meta"
	kindRows  segment.Kind = "vec-rows"
	kindCodes segment.Kind = "vec-code"

	formatVersion uint16 = 1
)

// The sections.
const (
	sectionRows    = 1
	sectionDocs    = 2
	sectionCodes   = 1
	sectionFactors = 2
	sectionMeta    = 1
	sectionDead    = 2
	sectionCodec   = 3
)

// ErrInvalid is a file whose checksums are right but whose numbers make no sense,
// or don't fit the index's configuration.
var ErrInvalid = errors.New("invalid vector file")

// meta is the fixed part of the meta file, little-endian.
type meta struct {
	Dim, Distance, Datatype, Stride, Shift uint32
	Rows, CodeRows, GraphRows              uint32
	GraphID, CodecID                       uint64
	Trained                                uint64
	Norm                                   float32
	Method, Encoding, QueryEncoding, Bits  uint8
	Compression                            uint32
	Quantile                               float32
	AlwaysRAM                              uint32
}

func writeMeta(w *segment.Writer, f *format, s *savedFiles, v *view) error {
	m := meta{
		Dim: uint32(f.dim), Distance: uint32(f.distance), Datatype: uint32(f.datatype),
		Stride: uint32(f.stride), Shift: uint32(f.shift),
		Rows: uint32(s.total), GraphRows: uint32(s.graph.rows), GraphID: s.graphID,
	}
	for _, c := range s.codes {
		m.CodeRows += uint32(c.rows)
	}
	if v.codes != nil {
		t := v.codes.known()
		m.CodecID, m.Trained, m.Norm = t.id, uint64(t.trained), t.norm
		m.setQuantization(t.config)
	}
	if err := binary.Write(w.Section(sectionMeta), binary.LittleEndian, m); err != nil {
		return err
	}
	if _, err := w.Section(sectionDead).Write(segment.Raw(s.dead)); err != nil {
		return err
	}
	var codec []byte
	if v.codes != nil {
		codec = v.codes.codec.Marshal()
	}
	_, err := w.Section(sectionCodec).Write(codec)
	return err
}

func (m *meta) setQuantization(c quantization.Config) {
	m.Method, m.Encoding, m.QueryEncoding, m.Bits = uint8(c.Method), uint8(c.Encoding), uint8(c.QueryEncoding), uint8(c.Bits)
	m.Compression, m.Quantile = uint32(c.Compression), c.Quantile
	if c.AlwaysRAM {
		m.AlwaysRAM = 1
	}
}

func (m *meta) quantization() quantization.Config {
	return quantization.Config{
		Method: quantization.Method(m.Method), Encoding: quantization.Bits(m.Encoding),
		QueryEncoding: quantization.QueryEncoding(m.QueryEncoding), Bits: quantization.Bits(m.Bits),
		Compression: int(m.Compression), Quantile: m.Quantile, AlwaysRAM: m.AlwaysRAM != 0,
	}
}

// check compares the meta file with the configuration.
func (m *meta) check(f *format, files int) error {
	if int(m.Dim) != f.dim || vector.Distance(m.Distance) != f.distance || vector.Datatype(m.Datatype) != f.datatype ||
		int(m.Stride) != f.stride || uint(m.Shift) != f.shift {
		return fmt.Errorf("files of size %d, distance %d, datatype %d: %w", m.Dim, m.Distance, m.Datatype, ErrInvalid)
	}
	want := 1 + m.chunks(f, m.Rows) + m.chunks(f, m.CodeRows)
	if m.GraphRows > 0 {
		want++
	}
	if want != files || m.Rows > maxRows || m.CodeRows > m.Rows || m.GraphRows > m.Rows {
		return fmt.Errorf("%d files for %d rows, %d codes, %d in the graph: %w", files, m.Rows, m.CodeRows, m.GraphRows, ErrInvalid)
	}
	return nil
}

func (m *meta) chunks(f *format, rows uint32) int {
	return int((uint64(rows) + uint64(f.chunkRows()) - 1) >> f.shift)
}

// load opens the files of the last checkpoint as parts of v, which it returns, or
// releases when something is wrong.
func (ix *Index) load(v *view) (_ *view, err error) {
	defer func() {
		if err != nil {
			v.release()
		}
	}()
	files, f := ix.opts.Files, ix.format
	m, dead, codec, err := ix.readMeta(files[0])
	if err != nil {
		return nil, err
	}
	if err := m.check(f, len(files)); err != nil {
		return nil, err
	}
	saved := savedFiles{gen: v.gen, meta: files[0], total: int(m.Rows), dead: dead, codec: m.CodecID, graphID: m.GraphID}
	files = files[1:]
	if err := f.eachChunk(int(m.Rows), func(_, from, to int) error {
		saved.rows = append(saved.rows, savedRows{files[0], to - from})
		c, err := ix.openChunk(files[0], to-from, from == 0)
		if err == nil {
			v.setChunk(len(v.chunks), c)
			files = files[1:]
		}
		return err
	}); err != nil {
		return nil, err
	}
	ix.locate(v, int(m.Rows), dead)
	ix.codecGen, ix.graphGen = m.CodecID, m.GraphID
	if err := ix.loadMemory(v, m, codec, files, &saved); err != nil {
		return nil, err
	}
	ix.files = saved
	return v, nil
}

// loadMemory reads what is searched in memory: codes and graph. What takes the time
// is not reading but taking fresh memory from the machine (on a virtual one, from
// its host), so all files are read side by side.
func (ix *Index) loadMemory(v *view, m *meta, codec []byte, files []segment.FileInfo, saved *savedFiles) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	if m.GraphRows > 0 {
		saved.graph = savedRows{files[len(files)-1], int(m.GraphRows)}
		g.Go(func() (err error) {
			v.graph, err = ix.openGraph(saved.graph, m.GraphID)
			return err
		})
	}
	var err error
	switch {
	case len(codec) > 0:
		err = ix.loadCodes(v, m, codec, files, saved, &g)
	case m.CodeRows > 0:
		err = fmt.Errorf("%d rows of codes without a codec: %w", m.CodeRows, ErrInvalid)
	}
	return errors.Join(err, g.Wait())
}

// readMeta reads the meta file: the fixed part, a copy of the dead bits, and the
// codec's parameters.
func (ix *Index) readMeta(info segment.FileInfo) (m *meta, dead []uint64, codec []byte, err error) {
	r, err := ix.opts.Dir.Open(info, kindMeta, formatVersion)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open meta: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var parts [4][]byte
	for _, id := range []uint16{sectionMeta, sectionDead, sectionCodec} {
		s, err := r.Section(id)
		if err == nil {
			parts[id], err = s.All()
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read meta: %w", err)
		}
	}
	m = new(meta)
	if n, err := binary.Decode(parts[sectionMeta], binary.LittleEndian, m); err != nil || n != len(parts[sectionMeta]) {
		return nil, nil, nil, fmt.Errorf("read meta of %d bytes: %w", len(parts[sectionMeta]), ErrInvalid)
	}
	if want := (int(m.Rows) + 63) / 64 * 8; len(parts[sectionDead]) != want {
		return nil, nil, nil, fmt.Errorf("read %d bytes of dead bits, want %d: %w", len(parts[sectionDead]), want, ErrInvalid)
	}
	dead = make([]uint64, len(parts[sectionDead])/8)
	for i := range dead {
		dead[i] = binary.LittleEndian.Uint64(parts[sectionDead][8*i:])
	}
	return m, dead, append([]byte(nil), parts[sectionCodec]...), nil
}

// openChunk maps a file of rows; a partial chunk is copied to memory, as rows will
// be appended to it.
func (ix *Index) openChunk(info segment.FileInfo, rows int, first bool) (*chunk, error) {
	f := ix.format
	c, err := newMappedChunk(f, ix.opts.Dir, info, rows, nil)
	if err != nil {
		return nil, err
	}
	if rows == f.chunkRows() {
		c.advise(ix.config.Load().OnDisk)
		return c, nil
	}
	defer c.release()
	if err := c.checkRange(f, 0, uint32(rows)); err != nil {
		return nil, err
	}
	m, err := newMemoryChunk(f, ix.opts.Account, first)
	if err != nil {
		return nil, err
	}
	copy(unsafe.Slice((*byte)(m.base), rows*f.stride), unsafe.Slice((*byte)(c.base), rows*f.stride))
	copy(m.docs, c.docs)
	return m, nil
}

// locate publishes the rows and fills in where documents are.
func (ix *Index) locate(v *view, rows int, dead []uint64) {
	v.gen.count.Store(uint32(rows))
	for row := range uint32(rows) {
		doc := v.doc(row)
		v.gen.keepOrder(doc, row)
		if dead[row/64]>>(row%64)&1 != 0 {
			v.kill(row)
		} else {
			v.gen.locations.set(doc, row)
		}
	}
}

// loadCodes lets g read the files of codes into memory.
func (ix *Index) loadCodes(v *view, m *meta, codec []byte, files []segment.FileInfo, saved *savedFiles, g *errgroup.Group) error {
	q, err := quantization.Unmarshal(codec, ix.kernels)
	if err != nil {
		return fmt.Errorf("read codec: %w", err)
	}
	if q.Dim() != ix.format.dim {
		return fmt.Errorf("read codec of dimension %d: %w", q.Dim(), ErrInvalid)
	}
	c, err := newCodes(q, training{m.CodecID, int(m.Trained), m.quantization(), m.Norm}, ix.capacityFor(int(m.Rows)), ix.opts.Account)
	if err != nil {
		return err
	}
	v.codes = c
	c.rows.Store(m.CodeRows)
	return ix.format.eachChunk(int(m.CodeRows), func(i, from, to int) error {
		saved.codes = append(saved.codes, savedRows{files[i], to - from})
		g.Go(func() error { return ix.readCodes(c, files[i], from, to) })
		return nil
	})
}

// readCodes copies one file of codes.
func (ix *Index) readCodes(c *codes, info segment.FileInfo, from, to int) (err error) {
	r, err := ix.opts.Dir.Open(info, kindCodes, formatVersion)
	if err != nil {
		return fmt.Errorf("open codes: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var parts [3][]byte
	for id, size := range map[uint16]int{sectionCodes: c.codec.RowSize(), sectionFactors: c.codec.FactorSize()} {
		s, err := r.Section(id)
		if err == nil {
			parts[id], err = s.All()
		}
		if err != nil {
			return fmt.Errorf("read codes: %w", err)
		}
		if len(parts[id]) != size*(to-from) {
			return fmt.Errorf("read codes of %d bytes: %w", len(parts[id]), ErrInvalid)
		}
	}
	c.putBytes(from, parts[sectionCodes], parts[sectionFactors])
	return nil
}

// openGraph reads a graph's file into memory, or searches it where it is.
func (ix *Index) openGraph(saved savedRows, id uint64) (*graph, error) {
	r, err := ix.opts.Dir.Open(saved.info, hnsw.Kind, hnsw.Version)
	if err != nil {
		return nil, fmt.Errorf("open graph: %w", err)
	}
	mapped := ix.config.Load().HNSWOnDisk
	g, rows, err := hnsw.Read(r, hnsw.ReadOptions{
		Options: hnsw.Options{Capacity: ix.capacityFor(saved.rows), Kernels: ix.kernels, Account: ix.opts.Account},
		Mapped:  mapped,
	})
	if err == nil && rows != saved.rows {
		err = errors.Join(fmt.Errorf("graph of %d rows, want %d: %w", rows, saved.rows, ErrInvalid), g.Free())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open graph: %w", err), r.Close())
	}
	if !mapped {
		if err := r.Close(); err != nil {
			return nil, errors.Join(fmt.Errorf("open graph: %w", err), g.Free())
		}
	}
	w := newGraph(g, id)
	if mapped {
		r.Advise(fsx.AdviseRandom)
		w.free = func() { ignoreError(errors.Join(g.Free(), r.Close())) }
	}
	w.rows.Store(uint32(rows))
	return w, nil
}
