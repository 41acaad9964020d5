package model

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runSearch runs one search. It uses one processor, so that its result is always the same.
func runSearch(t *testing.T, b Bounds, broken Break) Result {
	t.Helper()
	if testing.Short() {
		t.Skip("searches with one goroutine: nothing for the race detector")
	}
	m, err := New(b, broken)
	require.NoError(t, err)
	return Search(m, 1)
}

func explain(r Result) string {
	if r.Violation == nil {
		return ""
	}
	return string(r.Violation.Invariant) + ": " + r.Violation.Detail + "\n" + strings.Join(r.Trace, "\n")
}

// small is what most broken rules need to do harm.
func small(change func(*Bounds)) Bounds {
	b := Bounds{Nodes: 2, Log: 2, Ops: 2, Epochs: 3, Versions: 4, Crashes: 1}
	if change != nil {
		change(&b)
	}
	return b
}

func TestRulesHold(t *testing.T) {
	for _, b := range []Bounds{
		small(func(b *Bounds) { b.Wipes, b.GroupFence, b.Moves, b.Log, b.Ops = 1, true, true, 1, 1 }),
		small(func(b *Bounds) { b.LazyDisk, b.Reads = true, true }),
		small(func(b *Bounds) { b.Forces, b.Compaction, b.Log, b.Ops = 1, true, 1, 1 }),
		small(func(b *Bounds) { b.Tries, b.HandOver, b.Epochs, b.Log = 2, true, 2, 3 }),
		small(func(b *Bounds) { b.MinInSync = 2 }),
		small(func(b *Bounds) { b.Relief, b.Reads, b.LazyDisk, b.Log, b.Ops = true, true, true, 1, 1 }),
		small(func(b *Bounds) { b.Fresh, b.Wipes, b.Versions, b.Log, b.Ops = 1, 1, 5, 1, 1 }),
		{Nodes: 3, Log: 1, Ops: 1, Epochs: 2, Versions: 3, Reads: true},
	} {
		t.Run(b.String(), func(t *testing.T) {
			r := runSearch(t, b, 0)
			require.Nil(t, r.Violation, explain(r))
			require.True(t, r.Complete)
			t.Logf("%d states, %d transitions", r.States, r.Transitions)
		})
	}
}

// brokenRule is a rule that does harm when it is off.
type brokenRule struct {
	broken Break
	bounds Bounds
	want   Invariant
	// actions is the length of the shortest way there.
	actions int
}

func brokenRules() []brokenRule {
	wipes := small(func(b *Bounds) { b.Wipes = 1 })
	lazy := small(func(b *Bounds) { b.LazyDisk = true })
	reads := small(func(b *Bounds) { b.Reads = true })
	files := small(func(b *Bounds) { b.Compaction = true })
	forces := small(func(b *Bounds) { b.Forces = 1 })
	again := small(func(b *Bounds) { b.Tries = 2 })
	plain := small(nil)
	return []brokenRule{
		{R1NoRegistration, plain, StrongInSync, 12},
		{R1NoRegistration | R2NoDurableEpoch, plain, LeaderCompleteness, 9},
		{R3CutToCommit, plain, StrongInSync, 11},
		{R3NoCut, plain, OnlyCommittedApplied, 9},
		{R3OlderLeader, plain, OnlyCommittedApplied, 9},
		{R3WelcomeAgain, plain, StrongInSync, 7},
		{R3LateFiles, files, StrongInSync, 15},
		{R3OlderFiles, files, StrongInSync, 11},
		{R3CommitBeforeSync, plain, OnlyCommittedApplied, 8},
		{R4AnyEpoch, Bounds{Nodes: 3, Log: 1, Ops: 1, Epochs: 3, Versions: 3}, NothingTakenBack, 15},
		{R4AnyCopy, wipes, StrongInSync, 13},
		{R4OldWelcome, plain, StrongInSync, 11},
		{R5OnlyProposed, plain, StrongInSync, 4},
		{R5OnlyRecord, plain, StrongInSync, 9},
		{R5NotOnOwnDisk, lazy, StrongInSync, 5},
		{R5IgnoreMin, small(func(b *Bounds) { b.MinInSync = 2 }), EnoughCopies, 4},
		{R6AnyVersion, small(func(b *Bounds) { b.Versions = 5 }), StrongInSync, 13},
		{R7NoBarrier, plain, StrongInSync, 13},
		{R7NoCatchUp, plain, StrongInSync, 9},
		{R8KeepProgress, wipes, StrongInSync, 13},
		{R9Anybody, plain, StrongInSync, 6},
		{R9HandOverAnybody, small(func(b *Bounds) { b.HandOver = true }), StrongInSync, 6},
		{R10ApplyEarly, plain, OnlyCommittedApplied, 5},
		{R11AnswerEarly, lazy, StrongInSync, 8},
		{R12FenceLast, plain, NoCopyForgotten, 2},
		{R12RestartLosesSeat, plain, NoCopyForgotten, 4},
		{R12KeepLeadership, lazy, OnlyCommittedApplied, 14},
		{R13NoConfirmation, reads, LinearizableRead, 7},
		{R13BeforeBarrier, reads, LinearizableRead, 10},
		{R13OldRound, reads, LinearizableRead, 9},
		{R14SameNumber, wipes, LeaderCompleteness, 9},
		{R14InPlace, wipes, LeaderCompleteness, 8},
		{R14KeepSeat, wipes, StrongInSync, 8},
		{R15Silent, forces, StrongInSync, 6},
		{R15LogAcross, forces, NothingTakenBack, 9},
		{R15ForgetHistory, small(func(b *Bounds) { b.Forces, b.Versions, b.Ops, b.Log = 1, 5, 1, 1 }), StrongInSync, 15},
		{CreatedGate, small(func(b *Bounds) { b.Wipes, b.Fresh = 1, 1 }), StrongInSync, 11},
		{DedupeOff, again, AtMostOnce, 6},
		{DedupeLogOnly, again, AtMostOnce, 6},
		{DedupeAppliedOnly, again, AtMostOnce, 6},
	}
}

func TestBrokenRulesDoHarm(t *testing.T) {
	for _, c := range brokenRules() {
		t.Run(c.broken.String(), func(t *testing.T) {
			r := runSearch(t, c.bounds, c.broken)
			require.NotNil(t, r.Violation)
			require.Equal(t, c.want, r.Violation.Invariant, explain(r))
			// Behind the actions the trace tells what the copies hold.
			require.Len(t, r.Trace, c.actions+1, explain(r))
		})
	}
}

// redundantRules do no harm when they are off. Each is a second fence, or saves work.
func redundantRules() []brokenRule {
	return []brokenRule{
		// A process that has registered never sees a record older than its epoch (R1).
		{broken: R2NoDurableEpoch, bounds: small(func(b *Bounds) { b.Wipes, b.Log, b.Ops = 1, 1, 1 })},
		// Files hold what is committed, and more than the follower shared with a leader.
		{broken: R3EarlierFiles, bounds: small(func(b *Bounds) { b.Compaction, b.Log, b.Ops, b.Versions = true, 1, 1, 5 })},
		// Two nodes: the only follower's answers of an earlier epoch say no more than the
		// new leader's own log.
		{broken: R4AnyEpoch, bounds: small(nil)},
		// A fenced node is slow or gone: it would be in the set, and the leader waits for it.
		{broken: R7Fenced, bounds: small(nil)},
		{broken: R9Fenced, bounds: small(nil)},
	}
}

func TestRedundantRulesDoNoHarm(t *testing.T) {
	for _, c := range redundantRules() {
		t.Run(c.broken.String(), func(t *testing.T) {
			r := runSearch(t, c.bounds, c.broken)
			require.Nil(t, r.Violation, explain(r))
			require.True(t, r.Complete)
		})
	}
}

// Every rule that can be broken is in one of the tests.
func TestAllRulesAreBroken(t *testing.T) {
	var all Break
	for _, c := range append(brokenRules(), redundantRules()...) {
		all |= c.broken
	}
	require.Equal(t, Break(1)<<breaks-1, all, "not tested: %v", (Break(1)<<breaks-1)&^all)
}

func TestTraceInWords(t *testing.T) {
	r := runSearch(t, small(nil), R5OnlyProposed)
	require.Equal(t, []string{
		"n1 learns version 1: epoch 1, n1 leads, in sync {n1 n2}",
		"n1 takes operation 1 in epoch 1",
		"n1 proposes a set without n2",
		"n1 commits up to 1 in epoch 1",
		"(n1: copy 1, [operation 1 of epoch 1], applied 1; n2: copy 1, [], applied 0; committed [operation 1 of epoch 1])",
	}, r.Trace)
}

func TestEveryActionHasWords(t *testing.T) {
	for kind, s := range sentences() {
		require.NotEmpty(t, s, "kind %d", kind)
	}
}

// The way to a violation is as short with several goroutines as with one.
func TestManyWorkersFindTheSame(t *testing.T) {
	b := small(func(b *Bounds) { b.Log, b.Ops, b.Crashes = 1, 1, 0 })
	m, err := New(b, 0)
	require.NoError(t, err)
	one, two := Search(m, 1), Search(m, 3)
	require.Equal(t, one.States, two.States)
	require.Equal(t, one.Transitions, two.Transitions)
	require.Equal(t, one.Depth, two.Depth)
	m, err = New(small(nil), R5OnlyRecord)
	require.NoError(t, err)
	require.Len(t, Search(m, 3).Trace, len(Search(m, 1).Trace))
}

func TestMaxStatesEndsASearch(t *testing.T) {
	r := runSearch(t, small(func(b *Bounds) { b.MaxStates = 1000 }), 0)
	require.False(t, r.Complete)
	require.Nil(t, r.Violation)
}

func TestBoundsAreChecked(t *testing.T) {
	for _, b := range []Bounds{
		{},
		{Nodes: 4, Epochs: 1, Versions: 1},
		{Nodes: 2, Epochs: 1, Versions: 1, Fresh: 2},
		{Nodes: 2, Epochs: 1, Versions: 1, Log: maxLog + 1},
		{Nodes: 2, Epochs: 1, Versions: 1, Wipes: maxAllocs},
		{Nodes: 2, Epochs: 1, Versions: 1, MinInSync: 3},
	} {
		_, err := New(b, 0)
		require.Error(t, err, "%v", b)
	}
}
