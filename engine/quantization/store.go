package quantization

import (
	"fmt"
	"unsafe"

	"github.com/sextantdb/sextant/internal/arena"
)

// Store is memory for codes and factors that never moves while rows are added.
type Store struct {
	codec          *Codec
	codes, factors *arena.Arena
}

// NewStore reserves room for a number of rows. Memory is taken when rows are
// written.
func (c *Codec) NewStore(rows int, account *arena.Account) (*Store, error) {
	s := &Store{codec: c}
	var err error
	if s.codes, err = arena.New(arena.Options{Reserve: int64(rows) * int64(c.RowSize()), Account: account}); err != nil {
		return nil, fmt.Errorf("reserve codes of %d rows: %w", rows, err)
	}
	if c.FactorSize() == 0 {
		return s, nil
	}
	s.factors, err = arena.New(arena.Options{Reserve: int64(rows) * int64(c.FactorSize()), Account: account})
	if err != nil {
		return nil, fmt.Errorf("reserve factors of %d rows: %w", rows, closeWith(err, s))
	}
	return s, nil
}

// closeWith frees a half-made store and returns the error that ended it.
func closeWith(err error, s *Store) error {
	if e := s.Close(); e != nil {
		return fmt.Errorf("%w; then %w", err, e)
	}
	return err
}

// Rows returns where the rows are.
func (s *Store) Rows() Rows {
	r := Rows{Codes: s.codes.Base()}
	if s.factors != nil {
		r.Factors = s.factors.Base()
	}
	return r
}

// Bytes returns the codes and the factors of the first n rows, as they are
// persisted; factors is empty for a codec without.
func (s *Store) Bytes(n int) (codes, factors []byte) {
	codes = s.codes.Bytes()[:n*s.codec.RowSize()]
	if s.factors != nil {
		factors = s.factors.Bytes()[:n*s.codec.FactorSize()]
	}
	return codes, factors
}

// SetUsed tells the account how many rows are in use.
func (s *Store) SetUsed(rows int) {
	s.codes.SetUsed(int64(rows) * int64(s.codec.RowSize()))
	if s.factors != nil {
		s.factors.SetUsed(int64(rows) * int64(s.codec.FactorSize()))
	}
}

// Close frees the memory. No query may use it afterwards.
func (s *Store) Close() error {
	err := s.codes.Free()
	if e := s.factors.Free(); err == nil {
		err = e
	}
	return err
}

// MappedRows returns rows whose codes and factors are bytes of a file, as
// [Store.Bytes] gave them, and how many there are. The bytes must start at a
// multiple of 8.
func (c *Codec) MappedRows(codes, factors []byte) (Rows, int, error) {
	n := len(codes) / c.RowSize()
	if len(codes) != n*c.RowSize() || len(factors) != n*c.FactorSize() {
		return Rows{}, 0, fmt.Errorf("map %d bytes of codes and %d of factors: %w", len(codes), len(factors), ErrCorrupted)
	}
	for _, b := range [][]byte{codes, factors} {
		if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 != 0 {
			return Rows{}, 0, fmt.Errorf("map codes: %w", arena.ErrUnaligned)
		}
	}
	return Rows{
		Codes:   unsafe.Pointer(unsafe.SliceData(codes)),
		Factors: unsafe.Pointer(unsafe.SliceData(factors)),
	}, n, nil
}
