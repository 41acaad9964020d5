package model

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// hash mixes bytes with 128-bit products, in two lanes.
func hash(b []byte, seed uint64) uint64 {
	const k0, k1, k2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xa0761d6478bd642f
	h, g := seed^uint64(len(b))*k1, seed^k1
	for ; len(b) >= 32; b = b[32:] {
		h = mix(word(b)^k0^h, word(b[8:])^k1)
		g = mix(word(b[16:])^k2^g, word(b[24:])^k0)
	}
	var tail [32]byte
	copy(tail[:], b)
	h = mix(word(tail[:])^k0^h, word(tail[8:])^k1)
	g = mix(word(tail[16:])^k2^g, word(tail[24:])^k0)
	return mix(h^bits.RotateLeft64(g, 29)^k0, g^k1)
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// mix of 0 and anything is 0: callers see to it that a is that by accident only.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
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
