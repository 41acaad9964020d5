package sparse

import "sync/atomic"

// limits are the sizes of parts. Tests choose smaller ones.
type limits struct {
	// sealRows and sealElements are when Step seals the growing part: a scan of it
	// begins to cost as much as a search of the sealed parts.
	sealRows, sealElements int
	// maxRows and maxElements are what a part may hold; a single vector may have
	// more elements.
	maxRows, maxElements int
}

// maxRows is the number of rows that a posting can tell apart.
const maxRows = 1 << 16

var defaultLimits = limits{sealRows: 1024, sealElements: 1 << 17, maxRows: maxRows, maxElements: 1 << 22}

// growing is a list of rows in order of arrival. The applier appends under the
// index's mu; others work on a frozen copy of the slice headers.
type growing struct {
	f16     bool
	docs    []uint32
	offsets []uint32 // of the first element of each row; one more at the end
	indices []uint32
	values  []float32
	deaths  []uint64 // version in which a row died, 0 while alive; atomic

	// byDoc has the rows alive now, df their number by term. Both belong to the
	// index's mu.
	byDoc map[uint32]uint32
	df    map[uint32]uint32

	// sealed is the part that took this one's place once isSealed, nil when no row
	// was alive. Both belong to build.
	sealed   *part
	isSealed bool
}

func newGrowing(f16 bool) *growing {
	return &growing{f16: f16, offsets: []uint32{0}, byDoc: make(map[uint32]uint32), df: make(map[uint32]uint32)}
}

// full tells whether a row of n elements must go to the next part.
func (g *growing) full(n int, l limits) bool {
	return len(g.docs) > 0 && (len(g.docs) >= l.maxRows || len(g.indices)+n > l.maxElements)
}

// ripe tells whether Step should seal it.
func (g *growing) ripe(l limits) bool {
	return len(g.docs) >= l.sealRows || len(g.indices) >= l.sealElements
}

func (g *growing) add(doc uint32, indices []uint32, values []float32) {
	g.byDoc[doc] = uint32(len(g.docs))
	g.docs = append(g.docs, doc)
	g.deaths = append(g.deaths, 0)
	g.indices = append(g.indices, indices...)
	g.values = append(g.values, values...)
	g.offsets = append(g.offsets, uint32(len(g.indices)))
	for _, t := range indices {
		g.df[t]++
	}
}

func (g *growing) find(doc uint32) (int, bool) {
	row, ok := g.byDoc[doc]
	return int(row), ok
}

func (g *growing) vector(row int) ([]uint32, []float32, error) {
	a, b := g.offsets[row], g.offsets[row+1]
	return g.indices[a:b], g.values[a:b], nil
}

func (g *growing) kill(row int, version uint64, indices []uint32) {
	atomic.StoreUint64(&g.deaths[row], version)
	delete(g.byDoc, g.docs[row])
	for _, t := range indices {
		if g.df[t]--; g.df[t] == 0 {
			delete(g.df, t)
		}
	}
}

// alive tells whether a row, born in or before version, lives in it. On a frozen
// copy it may miss deaths after the copy, which are of later versions.
func (g *growing) alive(row int, version uint64) bool {
	d := atomic.LoadUint64(&g.deaths[row])
	return d == 0 || d > version
}

// freeze returns the rows that are there now, for reading without mu. The caller
// holds mu.
func (g *growing) freeze() *growing {
	return &growing{
		f16: g.f16, docs: g.docs, offsets: g.offsets, indices: g.indices, values: g.values, deaths: g.deaths,
	}
}
