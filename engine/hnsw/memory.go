package hnsw

// memory is a block of words.
type memory struct{ words []uint32 }

func newMemory(words int) (*memory, error) { return &memory{make([]uint32, words)}, nil }

func (m *memory) free() { m.words = nil }
