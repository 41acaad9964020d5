package sparse

import (
	"slices"
)

// source is something whose living rows go into a new part.
type source interface {
	rows() int
	doc(row int) uint32
	alive(row int, version uint64) bool
	vector(row int) ([]uint32, []float32, error)
}

func (g *growing) rows() int          { return len(g.docs) }
func (g *growing) doc(row int) uint32 { return g.docs[row] }
func (p *part) doc(row int) uint32    { return p.docs[row] }

// origin says where a row of a built part came from.
type origin struct{ source, row uint32 }

// buildPart makes a part of the rows of its sources that live in a version, of
// which the sources have at most one a document (R2). origins has one entry a
// row of the part. The part is nil when no row lives.
func buildPart(sources []source, version uint64, half bool, yield func()) (*part, []origin, error) {
	origins := livingRows(sources, version)
	if len(origins) == 0 {
		return nil, nil, nil
	}
	p := &part{
		docs:    make([]uint32, len(origins)),
		offsets: make([]uint32, 1, len(origins)+1),
	}
	for i, o := range origins {
		s := sources[o.source]
		indices, values, err := s.vector(int(o.row))
		if err != nil {
			return nil, nil, err
		}
		p.docs[i] = s.doc(int(o.row))
		p.indices = append(p.indices, indices...)
		p.values = append(p.values, values...)
		p.offsets = append(p.offsets, uint32(len(p.indices)))
	}
	yield()
	p.invert(half, yield)
	return p, origins, nil
}

// livingRows lists the living rows of all sources by document number.
func livingRows(sources []source, version uint64) []origin {
	var keys []uint64 // document, then place in origins
	var origins []origin
	for si, s := range sources {
		for row := range s.rows() {
			if s.alive(row, version) {
				keys = append(keys, uint64(s.doc(row))<<32|uint64(len(origins)))
				origins = append(origins, origin{uint32(si), uint32(row)})
			}
		}
	}
	slices.Sort(keys)
	sorted := make([]origin, len(origins))
	for i, k := range keys {
		sorted[i] = origins[uint32(k)]
	}
	return sorted
}

// invert makes the inverted index from the forward index.
func (p *part) invert(half bool, yield func()) {
	n := len(p.indices)
	rows := make([]uint16, n) // of each element
	for row := range p.rows() {
		for i := p.offsets[row]; i < p.offsets[row+1]; i++ {
			rows[i] = uint16(row)
		}
	}
	order := sortByTerm(p.indices, yield)
	p.postings = make([]uint16, n)
	if half {
		p.halves = make([]uint16, n)
	} else {
		p.weights = make([]float32, n)
	}
	for i, key := range order {
		element := uint32(key)
		p.postings[i] = rows[element]
		if half {
			p.halves[i] = toHalf(p.values[element])
		} else {
			p.weights[i] = p.values[element]
		}
	}
	yield()
	for i := 0; i < n; {
		term := uint32(order[i] >> 32)
		end := i + 1
		for end < n && uint32(order[end]>>32) == term {
			end++
		}
		p.addList(term, i, end)
		i = end
	}
	p.starts = append(p.starts, uint32(n))
	p.blocks = append(p.blocks, uint32(len(p.blockEnd)))
}

// addList enters the postings from a to b as those of the next term.
func (p *part) addList(term uint32, a, b int) {
	p.terms = append(p.terms, term)
	p.starts = append(p.starts, uint32(a))
	p.blocks = append(p.blocks, uint32(len(p.blockEnd)))
	low, high := p.weightRange(a, b)
	p.minima = append(p.minima, low)
	p.maxima = append(p.maxima, high)
	if b-a <= blockSize {
		return
	}
	for ; a < b; a += blockSize {
		end := min(a+blockSize, b)
		low, high := p.weightRange(a, end)
		p.blockEnd = append(p.blockEnd, p.postings[end-1])
		p.blockMin = append(p.blockMin, low)
		p.blockMax = append(p.blockMax, high)
	}
}

// weightRange returns the smallest and the largest weight of the postings from a
// to b, as searches see them.
func (p *part) weightRange(a, b int) (low, high float32) {
	low = p.weight(a)
	high = low
	for i := a + 1; i < b; i++ {
		w := p.weight(i)
		low, high = min(low, w), max(high, w)
	}
	return low, high
}

// weight returns the weight of a posting.
func (p *part) weight(i int) float32 {
	if p.halves != nil {
		return fromHalf(p.halves[i])
	}
	return p.weights[i]
}

// sortByTerm returns (term << 32 | element) for each element, ordered by term
// and, within a term, by element: a radix sort with three stable passes of 11
// bits, of which those without differences are left out.
func sortByTerm(terms []uint32, yield func()) []uint64 {
	from, to := make([]uint64, len(terms)), make([]uint64, len(terms))
	for i, t := range terms {
		from[i] = uint64(t)<<32 | uint64(i)
	}
	for shift := 32; shift < 64; shift += 11 {
		var counts [1 << 11]uint32
		for _, k := range from {
			counts[k>>shift&(1<<11-1)]++
		}
		if len(from) > 0 && int(counts[from[0]>>shift&(1<<11-1)]) == len(from) {
			continue
		}
		sum := uint32(0)
		for i, c := range counts {
			counts[i] = sum
			sum += c
		}
		for _, k := range from {
			digit := k >> shift & (1<<11 - 1)
			to[counts[digit]] = k
			counts[digit]++
		}
		from, to = to, from
		yield()
	}
	return from
}
