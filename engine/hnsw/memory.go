package hnsw

import (
	"fmt"

	"github.com/sextantdb/sextant/internal/arena"
)

// memory is a block of zeroed words outside the Go heap.
type memory struct {
	arena *arena.Arena
	words []uint32
}

// newMemory reserves words; pages are taken when they are first written.
func newMemory(words int, account *arena.Account) (*memory, error) {
	a, err := arena.New(arena.Options{Reserve: int64(words) * 4, Account: account})
	if err != nil {
		return nil, fmt.Errorf("reserve graph memory: %w", err)
	}
	return &memory{a, a.Uint32s()[:words:words]}, nil
}

func (m *memory) free() error {
	m.words = nil
	if err := m.arena.Free(); err != nil {
		return fmt.Errorf("free graph memory: %w", err)
	}
	return nil
}
