//go:build !linux

package arena

// reserve takes plain Go memory: the allocator gives large pieces straight from
// the operating system, zero and untouched, and doesn't scan what has no pointers.
func reserve(size int) ([]byte, error) { return make([]byte, size), nil }

func advise([]byte, bool) {}

func release(b []byte) { clear(b) }

func unreserve([]byte) error { return nil }
