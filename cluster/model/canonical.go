package model

import (
	"math/bits"
	"unsafe"
)

// permutation says which old node is at each place.
type permutation [maxNodes]uint8

// canonical gives states that differ in nothing that matters one form: it drops what
// nobody can learn or hear any more, and puts the nodes, which are all alike, into an
// order. The order is by a hash of what concerns each, so that some states with equal
// nodes keep several forms: that costs time, and nothing else.
func (m *Model) canonical(s *State) permutation {
	if m.forgets {
		m.forget(s)
	}
	return m.order(s)
}

// forget drops dead versions and dead epochs.
func (m *Model) forget(s *State) {
	var versions, live, led uint16
	first := s.versions - 1
	for i := range m.bounds.Nodes {
		n := &s.nodes[i]
		if n.known > n.since {
			n.since = 0
		}
		if now := s.now(); n.told < now.alloc[i] || now.created&bit(i) != 0 {
			n.told = 0
		}
		if !n.up || !n.registered {
			continue
		}
		if n.known > 0 {
			versions |= 1 << (n.known - 1)
			if n.active {
				led |= 1 << s.view(i).epoch
			}
		}
		first = min(first, max(n.known, n.since))
	}
	for v := range s.versions {
		if v < first && versions&(1<<v) == 0 {
			s.records[v] = record{}
		} else {
			live |= 1 << s.records[v].epoch
		}
	}
	for e := range s.epochs {
		switch {
		case live&(1<<e) == 0:
			s.epochs[e] = epoch{}
			for i := range s.nodes {
				s.strays.welcomes[i][e] = 0
			}
		case led&(1<<e) == 0:
			s.epochs[e].start = 0
			s.epochs[e].answers = [maxNodes][maxAllocs]uint8{}
		}
	}
}

func (m *Model) order(s *State) permutation {
	p := permutation{0, 1, 2}
	var keys [maxNodes]uint64
	for i := range m.bounds.Nodes {
		keys[i] = s.nodeKey(i)
	}
	sorted := true
	for i := 1; i < m.bounds.Nodes; i++ {
		for j := i; j > 0 && keys[p[j-1]] > keys[p[j]]; j-- {
			p[j-1], p[j] = p[j], p[j-1]
			sorted = false
		}
	}
	if !sorted {
		s.permute(&p)
	}
	return p
}

// nodeKey is the same for a node whatever the numbers of the nodes are.
func (s *State) nodeKey(i int) uint64 {
	n := s.nodes[i]
	n.pending = uint8(bits.OnesCount8(n.pending))
	n.confirmed = uint8(bits.OnesCount8(n.confirmed))
	r := s.now()
	key := [8]uint8{r.inSync >> i & 1, r.created >> i & 1, s.fenced >> i & 1, r.alloc[i]}
	if r.leader == uint8(i) {
		key[4] = 1
	}
	h := hash(bytesOf(&n), hash(bytesOf(&key), 1))
	for e := range s.epochs {
		if s.epochs[e].begun {
			h = hash(bytesOf(&s.epochs[e].answers[i]), h)
		}
	}
	return h
}

// permute moves the nodes.
func (s *State) permute(p *permutation) {
	old := *s
	var to permutation
	for n, o := range p {
		to[o] = uint8(n)
	}
	set := func(nodes *uint8) {
		was := *nodes
		*nodes = 0
		for ; was != 0; was &= was - 1 {
			*nodes |= 1 << to[bits.TrailingZeros8(was)]
		}
	}
	set(&s.fenced)
	for v := range s.versions {
		r := &s.records[v]
		if r.leader != nobody && r.epoch != 0 {
			r.leader = to[r.leader]
		}
		set(&r.inSync)
		set(&r.created)
		for n, o := range p {
			r.alloc[n] = old.records[v].alloc[o]
		}
	}
	for n, o := range p {
		s.nodes[n] = old.nodes[o]
		set(&s.nodes[n].pending)
		set(&s.nodes[n].confirmed)
		for e := range s.epochs {
			s.epochs[e].answers[n] = old.epochs[e].answers[o]
		}
	}
	if old.strays != (strays{}) {
		s.strays.permute(&old.strays, p, &to)
		set(&s.strays.proposed)
	}
}

func (s *strays) permute(old *strays, p, to *permutation) {
	for n, o := range p {
		for k, q := range p {
			s.progress[n][k] = old.progress[o][q]
		}
		s.welcomes[n] = old.welcomes[o]
		s.lost[n] = old.lost[o]
		s.files[n], s.filesHistory[n] = old.files[o], old.filesHistory[o]
	}
	if old.proposed != 0 {
		s.proposer = to[old.proposer]
	}
}

// A State is made of single bytes, so there are no gaps in it.
var _ [1]struct{} = [unsafe.Alignof(State{})]struct{}{}

// bytesOf views a value without gaps or pointers as bytes.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
