// Package arena gives memory outside the Go heap: for vectors, codes and graphs,
// which are large, hold no pointers, and would cost the garbage collector time in
// proportion to their size.
//
// Callers: engine/vectorindex, engine/hnsw, engine/quantization.
//
// An arena reserves address space for the largest size it may ever have. Pages
// are zero, and take memory only once they are touched, so reserving far more than
// needed is free. Hence an arena never moves: readers may keep pointers into it
// while it grows, without locks. The price is that the owner has to call Free when
// the last reader is gone; nothing else will.
package arena

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// hugePage is the alignment of every arena: a 2 MiB page then covers 2 MiB of it,
// which saves most address translation misses of random reads.
const hugePage = 2 << 20

// maxReserve is the largest arena: a size beyond any machine, so that a corrupt
// length ends in an error and not in an overflow.
const maxReserve = 1 << 44

// Account counts the bytes of a process's arenas. The zero value is ready; nil
// counts nothing.
type Account struct {
	reserved atomic.Int64
	used     atomic.Int64
}

// Reserved returns the address space of all arenas that are not freed yet.
func (a *Account) Reserved() int64 { return a.reserved.Load() }

// Used returns the bytes that the owners of arenas said they use (see
// [Arena.SetUsed]); the memory taken from the machine is a little more.
func (a *Account) Used() int64 { return a.used.Load() }

// Options say what to reserve.
type Options struct {
	// Reserve is the largest size in bytes; it is rounded up to 2 MiB.
	Reserve int64
	// Account counts the arena. Nil: not counted.
	Account *Account
	// SmallPages asks not to use huge pages: for arenas of which only scattered
	// bytes are touched.
	SmallPages bool
}

// Arena is one region of memory. Its methods other than Bytes and the views are
// for one goroutine at a time.
type Arena struct {
	mapping []byte // what the operating system gave
	bytes   []byte // its aligned part
	account *Account
	used    int64
	freed   bool
}

// New reserves an arena. It fails when the machine refuses the address space.
func New(o Options) (*Arena, error) {
	if o.Reserve < 0 || o.Reserve > maxReserve {
		return nil, fmt.Errorf("reserve arena of %d bytes: out of range", o.Reserve)
	}
	size := int(max(o.Reserve+hugePage-1, hugePage) &^ (hugePage - 1))
	mapping, err := reserve(size + hugePage)
	if err != nil {
		return nil, fmt.Errorf("reserve arena of %d bytes: %w", o.Reserve, err)
	}
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mapping))) & (hugePage - 1))
	a := &Arena{mapping: mapping, bytes: mapping[skip : skip+size : skip+size], account: o.Account}
	advise(a.bytes, !o.SmallPages)
	if a.account != nil {
		a.account.reserved.Add(int64(size))
	}
	return a, nil
}

// Len returns the reserved size.
func (a *Arena) Len() int { return len(a.bytes) }

// Base returns the address of the first byte, which is a multiple of 2 MiB.
func (a *Arena) Base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(a.bytes)) }

// Bytes returns the whole arena.
func (a *Arena) Bytes() []byte { return a.bytes }

// Uint16s returns the whole arena as uint16.
func (a *Arena) Uint16s() []uint16 { return View[uint16](a.bytes) }

// Uint32s returns the whole arena as uint32.
func (a *Arena) Uint32s() []uint32 { return View[uint32](a.bytes) }

// Uint64s returns the whole arena as uint64.
func (a *Arena) Uint64s() []uint64 { return View[uint64](a.bytes) }

// Float32s returns the whole arena as float32.
func (a *Arena) Float32s() []float32 { return View[float32](a.bytes) }

// SetUsed tells the account how many bytes of the arena are in use.
func (a *Arena) SetUsed(n int64) {
	if a.account != nil {
		a.account.used.Add(n - a.used)
	}
	a.used = n
}

// Used returns what SetUsed was told last.
func (a *Arena) Used() int64 { return a.used }

// Release gives the memory of the bytes from…to back to the machine, where whole
// pages lie between them. They read as zero afterwards.
func (a *Arena) Release(from, to int) {
	const page = 4096
	lo, hi := (from+page-1)&^(page-1), to&^(page-1)
	if lo >= hi {
		clear(a.bytes[from:to])
		return
	}
	clear(a.bytes[from:lo])
	release(a.bytes[lo:hi])
	clear(a.bytes[hi:to])
}

// Free gives everything back. No view may be used afterwards. Free may be called
// again.
func (a *Arena) Free() error {
	if a == nil || a.freed {
		return nil
	}
	a.freed = true
	a.SetUsed(0)
	if a.account != nil {
		a.account.reserved.Add(-int64(len(a.bytes)))
	}
	mapping := a.mapping
	a.mapping, a.bytes = nil, nil
	if err := unreserve(mapping); err != nil {
		return fmt.Errorf("free arena of %d bytes: %w", len(mapping), err)
	}
	return nil
}

// Element is what a view may consist of: fixed size, no pointers.
type Element interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64
}

// ErrUnaligned says that bytes can't be seen as elements.
var ErrUnaligned = errors.New("bytes are not aligned to the element")

// View returns b as a slice of T without copying; a rest shorter than an element
// is left out. b must be aligned for T, as all arenas and mapped files are.
func View[T Element](b []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(t)))
}
