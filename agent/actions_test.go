package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acting makes the actions on a cluster. Time is up after a number of looks.
func acting(f *fake, looks int) map[string]action {
	m := &members{node: f.client(), log: slog.New(slog.DiscardHandler), wait: func(ctx context.Context) error {
		if looks--; looks <= 0 {
			return context.DeadlineExceeded
		}
		return ctx.Err()
	}}
	return m.actions()
}

// refused checks that an action failed with a word and a text.
func refused(t *testing.T, err error, w Word, text string) {
	t.Helper()
	f, ok := errors.AsType[*Fault](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, w, f.Word, f.Text)
	require.Contains(t, f.Text, text)
}

func TestLeaveMovesThenRemoves(t *testing.T) {
	f := newFake(t, 4)
	f.shard(0, []uint64{3, 1}, []uint64{3, 1})
	f.shard(1, []uint64{3, 2}, []uint64{3, 2})
	leave := acting(f, 100)["memberLeave"]
	p := Parameters{leavePod: "c-2", leaveFQDN: "c-2.c-headless.demo.svc.cluster.local."}
	out, err := leave(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, "c-2 is no member of the cluster\n", out)
	require.Equal(t, []string{"PUT 3/drain timeout=10", "DELETE 3 force=false&timeout=10"}, f.done())
	require.Len(t, f.inSync[0], 2)
	_, err = leave(t.Context(), p)
	require.NoError(t, err, "it has left already")
	require.Len(t, f.done(), 2)
}

func TestLeaveGoesOnWhereItWas(t *testing.T) {
	f := newFake(t, 4)
	f.stuck = true
	f.shard(0, []uint64{3, 1}, []uint64{3, 1})
	leave, p := acting(f, 1)["memberLeave"], Parameters{leavePod: "c-2"}
	for range 3 {
		_, err := leave(t.Context(), p)
		refused(t, err, TimedOut, "remove c-2: not yet: 1 copies of shards are still on it")
	}
	require.Equal(t, []string{"PUT 3/drain timeout=10"}, f.done(), "nothing is done twice")
	f.change(func() { f.stuck = false })
	_, err := acting(f, 100)["memberLeave"](t.Context(), p) // another agent
	require.NoError(t, err)
	require.NotContains(t, f.peers, uint64(3))
}

func TestTheLeaderOfTheConsensusLeaves(t *testing.T) {
	f := newFake(t, 3)
	_, err := acting(f, 100)["memberLeave"](t.Context(), Parameters{leavePod: "c-0"})
	require.NoError(t, err)
	require.Equal(t, []string{"PUT 1/drain timeout=10", "POST 1/hand_over timeout=10", "DELETE 1 force=false&timeout=10"}, f.done())
}

func TestAMemberWhoseDrainIsEndedStays(t *testing.T) {
	f := newFake(t, 3)
	f.stuck = true
	f.shard(0, []uint64{3, 1}, []uint64{3, 1})
	m := &members{node: f.client(), log: slog.New(slog.DiscardHandler)}
	looks := 0
	m.wait = func(context.Context) error {
		looks++
		f.change(func() { f.peers[3].draining = looks < 3 })
		return nil
	}
	_, err := m.actions()["memberLeave"](t.Context(), Parameters{leavePod: "c-2"})
	refused(t, err, PreconditionFailed, "somebody ended the drain of c-2, so it stays")
	require.Equal(t, []string{"PUT 3/drain timeout=10"}, f.done())
}

func TestADeadMemberLeaves(t *testing.T) {
	f := newFake(t, 3)
	f.peers[3].fenced = true
	f.shard(0, []uint64{3, 1}, []uint64{1})
	f.shard(1, []uint64{3, 2}, []uint64{3})
	leave := acting(f, 100)["memberLeave"]
	_, err := leave(t.Context(), Parameters{leavePod: "c-2"})
	refused(t, err, PreconditionFailed, "c-2 is gone, and no other node has all data of shard 1 of c; set SEXTANT_ACCEPT_DATA_LOSS=true")
	require.Contains(t, f.peers, uint64(3))

	_, err = leave(t.Context(), Parameters{leavePod: "c-2", acceptDataLoss: "perhaps"})
	refused(t, err, BadRequest, "neither true nor false")
	f.change(func() { f.inSync[1] = []uint64{2} })
	_, err = leave(t.Context(), Parameters{leavePod: "c-2"})
	require.NoError(t, err)
	require.Equal(t, "DELETE 3 force=true&timeout=10", f.done()[len(f.done())-1])
}

func TestADeadMemberWithTheLastCopyLeavesOnRequest(t *testing.T) {
	f := newFake(t, 3)
	f.peers[3].fenced = true
	f.shard(0, []uint64{3, 1}, []uint64{3})
	_, err := acting(f, 100)["memberLeave"](t.Context(), Parameters{leavePod: "c-2", acceptDataLoss: "true"})
	require.NoError(t, err)
	require.NotContains(t, f.peers, uint64(3))
}

func TestALivingMemberWithTheLastCopyIsNeverForced(t *testing.T) {
	f := newFake(t, 3)
	f.stuck = true
	f.shard(0, []uint64{3, 1}, []uint64{3})
	_, err := acting(f, 5)["memberLeave"](t.Context(), Parameters{leavePod: "c-2", acceptDataLoss: "true"})
	refused(t, err, TimedOut, "1 copies")
	require.Equal(t, []string{"PUT 3/drain timeout=10"}, f.done())
}

func TestLeaveIsRefused(t *testing.T) {
	f := newFake(t, 1)
	f.self = 1
	leave := acting(f, 3)["memberLeave"]
	_, err := leave(t.Context(), Parameters{})
	refused(t, err, BadRequest, "KB_LEAVE_MEMBER_POD_NAME is missing")
	_, err = leave(t.Context(), Parameters{leavePod: "c-0"})
	refused(t, err, PreconditionFailed, "c-0 is the only member")
	f.change(func() { f.down = true })
	_, err = leave(t.Context(), Parameters{leavePod: "c-0"})
	refused(t, err, TimedOut, "no answer from")
}

func TestTheNodeThatIsAskedHasLeft(t *testing.T) {
	f := newFake(t, 3)
	f.stopped = true
	_, err := acting(f, 3)["memberLeave"](t.Context(), Parameters{leavePod: "c-1"})
	require.NoError(t, err)
	require.Empty(t, f.done())
}

func TestJoin(t *testing.T) {
	f := newFake(t, 3)
	f.peers[3].voter = false
	once := func() error {
		_, err := acting(f, 1)["memberJoin"](t.Context(), Parameters{joinPod: "c-2"})
		return err
	}
	refused(t, once(), TimedOut, "it has no vote, and 2 of 3 votes are given")
	f.change(func() { f.peers[3].silent = true })
	refused(t, once(), TimedOut, "doesn't answer the other members")
	f.change(func() { f.peers[3].fenced = true })
	refused(t, once(), TimedOut, "counts as gone")
	f.change(func() { f.peers[3] = &fakePeer{voter: true} })
	require.NoError(t, once())
	f.change(func() { f.peers[4] = &fakePeer{} })
	_, err := acting(f, 1)["memberJoin"](t.Context(), Parameters{joinPod: "c-3"})
	require.NoError(t, err, "the fourth gets no vote")
	f.change(func() { f.peers[1] = &fakePeer{voter: true, silent: true} })
	_, err = acting(f, 1)["memberJoin"](t.Context(), Parameters{joinPod: "c-3"})
	require.NoError(t, err, "one that doesn't answer may have its vote")
	_, err = acting(f, 1)["memberJoin"](t.Context(), Parameters{joinPod: "c-4"})
	refused(t, err, TimedOut, "isn't a member yet")
	_, err = acting(f, 1)["memberJoin"](t.Context(), Parameters{})
	refused(t, err, BadRequest, "KB_JOIN_MEMBER_POD_NAME is missing")
}

func TestSwitchover(t *testing.T) {
	for name, c := range map[string]struct {
		p      Parameters
		leader uint64
		log    []string
	}{
		"to anybody":                     {Parameters{switchRole: Leader, currentPod: "c-0"}, 2, []string{"POST 1/hand_over timeout=10"}},
		"from whoever leads":             {nil, 2, []string{"POST 1/hand_over timeout=10"}},
		"to a candidate":                 {Parameters{currentPod: "c-0", candidatePod: "c-2"}, 3, []string{"POST 1/hand_over to=3&timeout=10"}},
		"the candidate leads":            {Parameters{candidatePod: "c-0"}, 1, nil},
		"from one that leads shards":     {Parameters{currentPod: "c-1"}, 1, []string{"POST 2/hand_over timeout=10"}},
		"to a candidate, somebody leads": {Parameters{currentPod: "c-1", candidatePod: "c-2"}, 3, []string{"POST 2/hand_over to=3&timeout=10", "POST 1/hand_over to=3&timeout=10"}},
	} {
		f := newFake(t, 3)
		_, err := acting(f, 100)["switchover"](t.Context(), c.p)
		require.NoError(t, err, name)
		require.Equal(t, c.leader, f.leader, name)
		require.Equal(t, c.log, f.done(), name)
	}
	f := newFake(t, 3)
	f.peers[3].fenced = true
	do := acting(f, 3)["switchover"]
	_, err := do(t.Context(), Parameters{candidatePod: "c-2"})
	refused(t, err, PreconditionFailed, "the candidate counts as gone")
	_, err = do(t.Context(), Parameters{candidatePod: "c-7"})
	refused(t, err, PreconditionFailed, "no such node")
	_, err = do(t.Context(), Parameters{switchRole: Follower})
	refused(t, err, BadRequest, `only the role "leader"`)
	f.change(func() { f.leader = 0 })
	_, err = do(t.Context(), nil)
	refused(t, err, TimedOut, "nobody leads the consensus")
}
