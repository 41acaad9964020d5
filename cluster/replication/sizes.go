package replication

// maxSizes is of how many entries a leader remembers the size at most.
const maxSizes = 1 << 16

// sizes are the sizes of the newest entries of a leader's log. Those that are older than
// its leadership count as nothing: what bounds them is their number.
type sizes struct {
	// sums[i] is the size of all entries from base+1 to base+i+1.
	base uint64
	sums []uint64
	zero uint64 // the sum at base
}

func (s *sizes) reset(base uint64) { *s = sizes{base: base, sums: s.sums[:0]} }

func (s *sizes) add(n uint64) {
	if len(s.sums) >= maxSizes {
		s.trim(s.base + maxSizes/2)
	}
	s.sums = append(s.sums, s.sum(s.base+uint64(len(s.sums)))+n)
}

func (s *sizes) sum(seq uint64) uint64 {
	if seq <= s.base || len(s.sums) == 0 {
		return s.zero
	}
	return s.sums[min(seq-s.base, uint64(len(s.sums)))-1]
}

// between returns the size of the entries behind one up to another.
func (s *sizes) between(after, last uint64) uint64 {
	return s.sum(last) - s.sum(min(after, last))
}

// upTo returns the last entry from first on, at most last, so that all together have at
// most the given size.
func (s *sizes) upTo(first, last, size uint64) uint64 {
	for last > first && s.between(first-1, last) > size {
		last = first + (last-first)/2
	}
	return last
}

// trim forgets entries up to one.
func (s *sizes) trim(to uint64) {
	if to <= s.base {
		return
	}
	n := min(to-s.base, uint64(len(s.sums)))
	if n == uint64(len(s.sums)) {
		s.reset(s.base + n)
		return
	}
	s.zero = s.sums[n-1]
	s.sums = append(s.sums[:0], s.sums[n:]...)
	s.base += n
}

// trimSizes forgets what every copy has that gets entries, as soon as it is many.
func (r *Replica) trimSizes() {
	l := &r.lead
	least := min(r.commit, r.log.durable)
	for i := range l.peers {
		if p := &l.peers[i]; p.state == PeerStreaming && !p.fenced {
			least = min(least, p.durable)
		}
	}
	if least == r.log.last.Seq || least > l.sizes.base+1024 {
		l.sizes.trim(least)
	}
}
