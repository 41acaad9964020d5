package vectorindex

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/internal/arena"
)

// codes are the codes of the first rows of a generation, in memory of a fixed
// capacity: to grow is to copy into another value.
type codes struct {
	counted
	codec    *quantization.Codec
	store    *quantization.Store
	at       quantization.Rows
	capacity int
	// rows are encoded.
	rows atomic.Uint32
	// suits is up to how many documents the codec is known to suit them: those of its training, or of a later one
	// that brought no other.
	suits atomic.Int64
	// queries pools prepared queries of this codec.
	queries *sync.Pool
	training
}

// training is what is known about how a codec came to be.
type training struct {
	id      uint64              // distinguishes codecs of one index
	trained int                 // documents when the codec was trained
	config  quantization.Config // for which it was trained
	norm    float32             // mean squared length of the rows of the sample
}

// newCodes reserves memory for the codes of a number of rows.
func newCodes(c *quantization.Codec, t training, capacity int, account *arena.Account) (*codes, error) {
	store, err := c.NewStore(capacity, account)
	if err != nil {
		return nil, fmt.Errorf("reserve codes: %w", err)
	}
	s := &codes{codec: c, store: store, at: store.Rows(), capacity: capacity, training: t}
	s.queries = &sync.Pool{New: func() any { return c.NewQuery(s.at) }}
	s.suits.Store(int64(t.trained))
	s.free = func() { ignoreError(store.Close()) }
	return s, nil
}

// known is what is known by now about how the codec came to be.
func (s *codes) known() training {
	t := s.training
	t.trained = int(s.suits.Load())
	return t
}

// grow returns a copy with more room.
func (s *codes) grow(capacity int, account *arena.Account) (*codes, error) {
	n, err := newCodes(s.codec, s.known(), capacity, account)
	if err != nil {
		return nil, err
	}
	rows := s.rows.Load()
	n.queries = s.queries
	n.put(0, s, 0, int(rows))
	n.rows.Store(rows)
	return n, nil
}

// put copies the codes of rows from..to-1 of another value with the same codec to
// the rows from at on.
func (s *codes) put(at int, from *codes, first, end int) {
	codes, factors := from.slice(first, end)
	s.putBytes(at, codes, factors)
}

// putBytes copies codes and factors as slice returns them.
func (s *codes) putBytes(at int, codes, factors []byte) {
	toCodes, toFactors := s.store.Bytes(s.capacity)
	copy(toCodes[at*s.codec.RowSize():], codes)
	copy(toFactors[at*s.codec.FactorSize():], factors)
}

// slice returns the codes and factors of a run of rows.
func (s *codes) slice(from, to int) (codes, factors []byte) {
	codes, factors = s.store.Bytes(to)
	return codes[from*s.codec.RowSize():], factors[from*s.codec.FactorSize():]
}

// query returns a query over these codes, to be given back with putQuery.
func (s *codes) query() *quantization.Query {
	q, _ := s.queries.Get().(*quantization.Query)
	q.Bind(s.at)
	return q
}

func (s *codes) putQuery(q *quantization.Query) { s.queries.Put(q) }

// goodForGraph tells whether links may be chosen by these codes: with seven or
// four bits a graph is as good as one built on raw vectors, with fewer it isn't.
func (s *codes) goodForGraph() bool {
	switch s.codec.Kind() {
	case quantization.Uniform7, quantization.Scaled7, quantization.Scaled4:
		return true
	default:
		return false
	}
}

// candidates returns how many candidates are rescored from raw vectors for the k
// best, such that codes of this precision hardly lose one.
func (s *codes) candidates(k int) int {
	switch s.codec.Kind() {
	case quantization.Uniform7, quantization.Scaled7:
		return k + max(k/2, 15)
	case quantization.Scaled4:
		return k + max(k, 30)
	default:
		return 4*k + 60
	}
}
