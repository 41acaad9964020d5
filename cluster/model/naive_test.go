package model

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// permutations are the ways to number three nodes.
func permutations(nodes int) []permutation {
	if nodes == 2 {
		return []permutation{{0, 1, 2}, {1, 0, 2}}
	}
	return []permutation{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
}

// form is the one form of all states that are alike: it tries every order of the nodes.
func form(m *Model, s State) State {
	m.forget(&s)
	var least State
	for i, p := range permutations(m.bounds.Nodes) {
		t := s
		t.permute(&p)
		if i == 0 || bytes.Compare(bytesOf(&t), bytesOf(&least)) < 0 {
			least = t
		}
	}
	return least
}

// reach finds all states, each reduced by a function, and says how many there are and what
// forms they have.
func reach(t *testing.T, m *Model, reduce func(*State)) (int, map[State]bool) {
	t.Helper()
	s := m.initial()
	reduce(&s)
	seen := map[State]bool{s: true}
	forms := map[State]bool{form(m, s): true}
	for queue := []State{s}; len(queue) > 0; queue = queue[1:] {
		m.Each(&queue[0], func(a Action, next *State, broke *Violation) {
			require.Nil(t, broke, "%v", a)
			require.Nil(t, m.check(next))
			reduce(next)
			if !seen[*next] {
				seen[*next] = true
				queue = append(queue, *next)
				forms[form(m, *next)] = true
			}
		})
	}
	return len(seen), forms
}

// What is dropped from states, and the order of nodes, must hide no state.
func TestReductionsHideNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector")
	}
	for _, b := range []Bounds{
		{Nodes: 2, Log: 1, Ops: 1, Epochs: 3, Versions: 3},
		{Nodes: 2, Log: 1, Ops: 1, Tries: 2, Epochs: 2, Versions: 3, Crashes: 1, Wipes: 1},
		{Nodes: 2, Fresh: 1, Log: 1, Ops: 1, Epochs: 2, Versions: 3, Forces: 1, Reads: true, HandOver: true},
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 2, Versions: 2},
	} {
		t.Run(b.String(), func(t *testing.T) {
			m, err := New(b, 0)
			require.NoError(t, err)
			_, plain := reach(t, m, func(*State) {})
			n, reduced := reach(t, m, func(s *State) { m.canonical(s) })
			require.Len(t, reduced, len(plain))
			require.Equal(t, plain, reduced)
			require.Equal(t, n, Search(m, 1).States)
		})
	}
}

// The nodes are alike: with other numbers the same can happen.
func TestNodesAreAlike(t *testing.T) {
	b := Bounds{
		Nodes: 3, Log: 2, Ops: 2, Tries: 2, Epochs: 5, Versions: 7, Crashes: 3, Wipes: 2, Forces: 1,
		GroupFence: true, HandOver: true, LazyDisk: true, Reads: true, Compaction: true, Moves: true,
	}
	m, err := New(b, 0)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	successors := func(s *State) []State {
		var all []State
		m.Each(s, func(_ Action, next *State, _ *Violation) { all = append(all, form(m, *next)) })
		slices.SortFunc(all, func(a, b State) int { return bytes.Compare(bytesOf(&a), bytesOf(&b)) })
		return all
	}
	for range 40 {
		s := m.initial()
		for range 60 {
			p := permutations(3)[rng.IntN(6)]
			other := s
			other.permute(&p)
			want := successors(&s)
			require.Equal(t, want, successors(&other))
			if len(want) == 0 {
				break
			}
			// A successor itself, not its form: forms would walk among few states.
			n, pick := 0, rng.IntN(len(want))
			m.Each(&s, func(_ Action, next *State, _ *Violation) {
				if n == pick {
					other = *next
				}
				n++
			})
			s = other
		}
	}
}

func TestFingerprints(t *testing.T) {
	var f fingerprints
	rng := rand.New(rand.NewPCG(3, 4))
	seen := map[uint64]bool{}
	for range 100_000 {
		h := rng.Uint64N(1<<16) * 0x9e3779b97f4a7c15
		if h == 0 {
			continue
		}
		require.Equal(t, !seen[h], f.add(h))
		seen[h] = true
	}
	require.True(t, f.add(0))
	require.False(t, f.add(0))
}

func TestHashSeesEveryByte(t *testing.T) {
	var s State
	base := hash(bytesOf(&s), 0)
	seen := map[uint64]bool{base: true}
	for i := range bytesOf(&s) {
		b := bytesOf(&s)
		for bit := range 8 {
			b[i] = 1 << bit
			h := hash(b, 0)
			require.False(t, seen[h], "byte %d, bit %d", i, bit)
			seen[h] = true
		}
		b[i] = 0
	}
}
