package model

import (
	"fmt"
	"slices"
	"strings"
)

// trace tells the way to what a link leads to, by going it again.
func (x *search) trace(last link) []string {
	way := []link{last}
	for at := last.parent; at != 0; at = x.links[at].parent {
		way = append(way, x.links[at])
	}
	slices.Reverse(way)
	s := x.initial()
	names := x.rename(naming{0, 1, 2}, &s)
	lines := make([]string, 0, len(way)+1)
	for _, l := range way {
		var action Action
		var to State
		n := uint16(0)
		x.Each(&s, func(a Action, t *State, _ *Violation) {
			if n == l.choice {
				action, to = a, *t
			}
			n++
		})
		lines = append(lines, action.words(&names, &s, &to))
		s = to
		names = x.rename(names, &s)
	}
	return append(lines, s.words(&names, x.bounds.Nodes))
}

// rename makes s canonical and says what its nodes are called then.
func (m *Model) rename(names naming, s *State) naming {
	p := m.canonical(s)
	var renamed naming
	for n, o := range p {
		renamed[n] = names[o]
	}
	return renamed
}

// words tells what the copies hold.
func (s *State) words(names *naming, nodes int) string {
	lines := make([]string, nodes)
	for i := range nodes {
		d := &s.nodes[i].disk
		lines[names[i]] = fmt.Sprintf("%s: copy %d, %s, applied %d", names.of(uint8(i)), d.alloc, d.log.words(), s.nodes[i].commit)
	}
	r := s.now()
	return fmt.Sprintf("(%s; committed %s)", strings.Join(lines, "; "), s.committed[r.history].words())
}

func (l *entries) words() string {
	w := make([]string, l.n)
	for i := range w {
		w[i] = fmt.Sprintf("operation %d of epoch %d", l.e[i].op(), l.e[i]>>4)
	}
	return "[" + strings.Join(w, ", ") + "]"
}
