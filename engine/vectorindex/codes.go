package vectorindex

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/internal/arena"
)

// codes are the codes of the first rows of a generation, in memory of a fixed
// capacity: to grow is to copy into another value.
type codes struct {
	counted
	codec    *quantization.Codec
	id       uint64              // distinguishes codecs of one index
	trained  int                 // documents when the codec was trained
	config   quantization.Config // for which it was trained
	memory   [2]*arena.Arena
	at       quantization.Rows
	capacity int
	// rows are encoded.
	rows atomic.Uint32
	// norm is the mean squared length of the rows of the training sample.
	norm float32
	// queries pools prepared queries of this codec.
	queries *sync.Pool
}

// newCodes reserves memory for the codes of a number of rows.
func newCodes(c *quantization.Codec, capacity int, account *arena.Account) (*codes, error) {
	s := &codes{codec: c, capacity: capacity}
	for i, size := range []int{c.RowSize(), c.FactorSize()} {
		if size == 0 {
			continue
		}
		a, err := arena.New(arena.Options{Reserve: int64(size) * int64(capacity), Account: account})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reserve codes: %w", err), s.memory[0].Free())
		}
		s.memory[i] = a
	}
	s.at.Codes = s.memory[0].Base()
	if s.memory[1] != nil {
		s.at.Factors = s.memory[1].Base()
	}
	s.queries = &sync.Pool{New: func() any { return c.NewQuery(s.at) }}
	memory := s.memory
	s.free = func() {
		for _, a := range memory {
			ignoreError(a.Free())
		}
	}
	return s, nil
}

// grow returns a copy with more room.
func (s *codes) grow(capacity int, account *arena.Account) (*codes, error) {
	n, err := newCodes(s.codec, capacity, account)
	if err != nil {
		return nil, err
	}
	rows := s.rows.Load()
	n.id, n.trained, n.config, n.norm, n.queries = s.id, s.trained, s.config, s.norm, s.queries
	copy(n.code(0, rows), s.code(0, rows))
	copy(n.factor(0, rows), s.factor(0, rows))
	n.rows.Store(rows)
	return n, nil
}

// code returns the codes of a run of rows as bytes, factor their factors.
func (s *codes) code(from, to uint32) []byte {
	n := s.codec.RowSize()
	return unsafe.Slice((*byte)(s.at.Codes), s.capacity*n)[int(from)*n : int(to)*n]
}

func (s *codes) factor(from, to uint32) []byte {
	n := s.codec.FactorSize()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(s.at.Factors), s.capacity*n)[int(from)*n : int(to)*n]
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
