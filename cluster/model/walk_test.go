package model

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// walk takes the first successor that each action fits: its kind and node, and whatever
// else it gives.
func walk(t *testing.T, m *Model, s State, way ...Action) State {
	t.Helper()
	for _, want := range way {
		next, ok := take(m, &s, want)
		require.True(t, ok, "%+v cannot happen", want)
		s = next
	}
	return s
}

func take(m *Model, s *State, want Action) (State, bool) {
	var found *State
	m.Each(s, func(a Action, next *State, broke *Violation) {
		fits := a.Kind == want.Kind && a.Node == want.Node && a.Nodes == want.Nodes &&
			(want.Number == 0 || a.Number == want.Number)
		if fits && broke == nil && found == nil {
			c := *next
			found = &c
		}
	})
	if found == nil {
		return State{}, false
	}
	return *found, true
}

// Giving up data (R15) gives up more than what the chosen copy lacks: the old leader goes
// on acknowledging until those it needs know of it.
func TestForcedElectionGivesUpWhatComesAfterIt(t *testing.T) {
	m, err := New(Bounds{Nodes: 3, Log: 1, Ops: 1, Epochs: 2, Versions: 3, Forces: 1}, 0)
	require.NoError(t, err)
	s := walk(
		t, m, m.initial(),
		Action{Kind: Fence, Nodes: bit(2)},
		Action{Kind: Learn, Node: 0, Number: 2},
		Action{Kind: Learn, Node: 1, Number: 2},
		Action{Kind: Sync, Node: 1},
		Action{Kind: Register, Node: 2},
		Action{Kind: Force, Node: 2},
		Action{Kind: Write, Node: 0},
		Action{Kind: Append, Node: 1},
	)
	after := walk(t, m, s, Action{Kind: Commit, Node: 0})
	require.EqualValues(t, 2, after.now().history)
	require.EqualValues(t, 1, after.committed[1].n, "committed in the history that was given up")
	told := walk(t, m, s, Action{Kind: Learn, Node: 1, Number: 3})
	_, ok := take(m, &told, Action{Kind: Commit, Node: 0})
	require.True(t, ok, "what was answered before counts")
}

// A minority that the controller has lost goes on while all members of the set are in it,
// and nobody else is elected.
func TestFencedMembersGoOnTogether(t *testing.T) {
	m, err := New(Bounds{Nodes: 3, Log: 1, Ops: 1, Epochs: 2, Versions: 3, GroupFence: true}, 0)
	require.NoError(t, err)
	s := walk(
		t, m, m.initial(),
		Action{Kind: Fence, Nodes: bit(2)},
		Action{Kind: Learn, Node: 0, Number: 2},
		Action{Kind: Learn, Node: 1, Number: 2},
		Action{Kind: Register, Node: 2},
		Action{Kind: Fence, Nodes: bit(0) | bit(1)},
	)
	require.EqualValues(t, nobody, s.now().leader)
	require.Equal(t, bit(0)|bit(1), s.now().inSync)
	s = walk(
		t, m, s,
		Action{Kind: Sync, Node: 1},
		Action{Kind: Write, Node: 0},
		Action{Kind: Append, Node: 1},
		Action{Kind: Commit, Node: 0},
	)
	require.Nil(t, m.check(&s))
}
