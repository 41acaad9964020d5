package model

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// hash mixes eight bytes at a time with 128-bit products.
func hash(b []byte, seed uint64) uint64 {
	const k0, k1 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	h := seed ^ uint64(len(b))*k1
	for len(b) >= 16 {
		hi, lo := bits.Mul64(binary.LittleEndian.Uint64(b)^k0^h, binary.LittleEndian.Uint64(b[8:])^k1)
		h = hi ^ lo ^ bits.RotateLeft64(h, 23)
		b = b[16:]
	}
	var tail [16]byte
	copy(tail[:], b)
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(tail[:])^k0^h, binary.LittleEndian.Uint64(tail[8:])^k1)
	h = hi ^ lo ^ bits.RotateLeft64(h, 23)
	hi, lo = bits.Mul64(h^k0, k1)
	return hi ^ lo
}

// fingerprints is a set of 64-bit fingerprints of states. Two states with one
// fingerprint would hide what comes after the second: among 30 million states that is one
// chance in 40,000.
type fingerprints struct {
	parts [64]fingerprintPart
}

type fingerprintPart struct {
	mu    sync.Mutex
	slots []uint64
	n     int
}

// add tells whether the fingerprint is new.
func (f *fingerprints) add(h uint64) bool {
	h = max(h, 1)
	p := &f.parts[h>>58]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n*4 >= len(p.slots)*3 {
		p.grow()
	}
	return p.insert(h)
}

func (p *fingerprintPart) insert(h uint64) bool {
	mask := uint64(len(p.slots) - 1)
	i := h & mask
	for ; p.slots[i] != 0; i = (i + 1) & mask {
		if p.slots[i] == h {
			return false
		}
	}
	p.slots[i] = h
	p.n++
	return true
}

func (p *fingerprintPart) grow() {
	old := p.slots
	p.slots, p.n = make([]uint64, max(64, 2*len(old))), 0
	for _, h := range old {
		if h != 0 {
			p.insert(h)
		}
	}
}
