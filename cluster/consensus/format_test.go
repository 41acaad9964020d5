package consensus

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/topology"
)

// FuzzRecords gives bytes to everything that reads records. It must not panic, and what
// it takes must be what is written again.
func FuzzRecords(f *testing.F) {
	s := newState(9)
	s.remove(4)
	s.admit(envelope{proposalID: proposalID{2, 3, 4}, low: 4})
	snap := &raftpb.Snapshot{
		Data: s.encode([]byte("machine")),
		Metadata: raftpb.EnsureSnapshotMetadata(&raftpb.SnapshotMetadata{
			Index: new(uint64(5)), Term: new(uint64(2)), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3}},
		}),
	}
	file, err := encodeSnapshot(snap)
	require.NoError(f, err)
	conf, err := proto.Marshal(Change{Promote, 3}.conf())
	require.NoError(f, err)
	for _, b := range [][]byte{
		nil,
		{1},
		{2},
		{9},
		hardState{1, 2, 3, 4}.encode(),
		envelope{proposalID{1, 2, 3}, 2, []byte("x")}.encode(),
		s.encode(nil),
		snap.GetData(),
		file,
		conf,
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHard(b); err == nil {
			require.Equal(t, b, h.encode())
		}
		if e, err := decodeEntry(1, 2, b); err == nil {
			again, err := encodeEntry(e)
			require.NoError(t, err)
			require.Equal(t, b, again)
		}
		if e, err := decodeEnvelope(b); err == nil {
			again, err := decodeEnvelope(e.encode())
			require.NoError(t, err)
			require.Equal(t, e, again)
		}
		if s, machine, err := decodeState(b); err == nil {
			again, rest, err := decodeState(s.encode(machine))
			require.NoError(t, err)
			require.Equal(t, s, again)
			require.Equal(t, machine, rest)
		}
		if c, _, err := decodeChange(b); err == nil {
			again, err := proto.Marshal(c.conf())
			require.NoError(t, err)
			got, _, err := decodeChange(again)
			require.NoError(t, err)
			require.Equal(t, c, got)
		}
		if s, err := decodeSnapshot(b); err == nil {
			again, err := encodeSnapshot(s)
			require.NoError(t, err)
			got, err := decodeSnapshot(again)
			require.NoError(t, err)
			require.True(t, proto.Equal(s, got))
		}
	})
}

func TestNewerVersionsAreRefused(t *testing.T) {
	hard, entry, proposal, st := hardState{}.encode(), []byte{3}, envelope{proposalID{1, 1, 1}, 1, nil}.encode(), newState(1).encode(nil)
	hard[0], proposal[0], st[0] = 2, 2, stateVersion+1
	_, err := decodeHard(hard)
	require.ErrorIs(t, err, ErrNewer)
	_, err = decodeEntry(1, 1, entry)
	require.ErrorIs(t, err, ErrNewer)
	_, err = decodeEnvelope(proposal)
	require.ErrorIs(t, err, ErrNewer)
	_, _, err = decodeState(st)
	require.ErrorIs(t, err, ErrNewer)
	two := &raftpb.ConfChangeV2{Changes: append(Change{Promote, 1}.conf().GetChanges(), Change{Promote, 2}.conf().GetChanges()...), Context: []byte{2}}
	b, err := proto.Marshal(two)
	require.NoError(t, err)
	_, _, err = decodeChange(b)
	require.ErrorIs(t, err, ErrNewer)
}

// A damaged snapshot file is never taken, whatever byte it is.
func TestDamagedSnapshot(t *testing.T) {
	file, err := encodeSnapshot(snapshotAt(3, 2))
	require.NoError(t, err)
	for i := range file {
		b := bytes.Clone(file)
		b[i] ^= 0x10
		_, err := decodeSnapshot(b)
		require.ErrorIs(t, err, ErrCorrupted, "byte %d", i)
		_, err = decodeSnapshot(file[:i])
		require.ErrorIs(t, err, ErrCorrupted, "%d bytes", i)
	}
}

// A proposal is admitted once, against a naive memory of everything, for any order and
// repetition in which a node's retries can arrive; also across a snapshot.
func TestSessionsAdmitOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newState(1)
		applied := map[proposalID]bool{}
		// sent are envelopes that the network may bring at any time; open those under way.
		var sent []envelope
		open := map[topology.PeerID][]uint64{}
		incarnation := map[topology.PeerID]uint64{1: 1, 2: 1}
		counter := map[topology.PeerID]uint64{}
		newest := map[topology.PeerID]uint64{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			peer := topology.PeerID(rapid.IntRange(1, 2).Draw(t, "peer"))
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0: // a new process
				incarnation[peer]++
				open[peer], counter[peer] = nil, 0
			case 1: // somebody gives up, or has the answer
				if n := len(open[peer]); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "which")
					open[peer] = slices.Delete(open[peer], i, i+1)
				}
			case 2:
				st, machine, err := decodeState(s.encode([]byte("m")))
				require.NoError(t, err)
				require.Equal(t, "m", string(machine))
				require.Equal(t, s, st)
				s = st
			case 3, 4, 5:
				counter[peer]++
				open[peer] = append(open[peer], counter[peer])
				sent = append(sent, envelope{proposalID{peer, incarnation[peer], counter[peer]}, open[peer][0], nil})
			default:
				if len(sent) == 0 {
					continue
				}
				e := sent[rapid.IntRange(0, len(sent)-1).Draw(t, "arrives")]
				got := s.admit(e)
				require.False(t, got && applied[e.proposalID], "applied twice")
				if !got && !applied[e.proposalID] {
					waited := e.incarnation == incarnation[e.peer] && slices.Contains(open[e.peer], e.counter)
					require.False(t, waited && e.incarnation >= newest[e.peer], "refused though somebody waits for it")
				}
				if got {
					applied[e.proposalID] = true
					newest[e.peer] = max(newest[e.peer], e.incarnation)
					require.True(t, s.applied(e.proposalID))
				}
			}
			for _, x := range s.sessions {
				for c := range maps.Keys(x.applied) {
					require.GreaterOrEqual(t, c, x.low)
				}
			}
		}
	})
}

func TestNextChange(t *testing.T) {
	// A member is its role (v, l), upper case when it is the leader, with ! when it isn't
	// ready, ? when it isn't heard of either, and - when it is gone.
	f := func(all string, want Change) {
		t.Helper()
		var list []Member
		var leader topology.PeerID
		for i := 0; i < len(all); i++ {
			m := Member{ID: topology.PeerID(len(list) + 1), Active: true, Ready: true}
			switch all[i] {
			case 'V':
				leader, m.Voter = m.ID, true
			case 'v':
				m.Voter = true
			}
			if i+1 < len(all) && strings.ContainsRune("!?-", rune(all[i+1])) {
				i++
				m.Ready, m.Active, m.Gone = false, all[i] == '!', all[i] == '-'
			}
			list = append(list, m)
		}
		got, ok := NextChange(leader, list)
		require.Equal(t, want, got, all)
		require.Equal(t, want != Change{}, ok, all)
	}
	f("V", Change{})
	f("Vl!", Change{})
	f("Vl?", Change{})
	f("Vl", Change{Promote, 2})
	f("Vl!l", Change{Promote, 3})
	f("Vvl", Change{Promote, 3})
	f("Vvv", Change{})
	f("Vvvl", Change{})   // four voters survive no more than three
	f("Vvvll!", Change{}) // nor would they while the fifth isn't ready
	f("Vvvll", Change{Promote, 4})
	f("Vvvvl!", Change{})
	f("Vvvvl", Change{Promote, 5})
	f("Vvvvv", Change{})
	f("Vvvvvl", Change{})
	f("Vvvvvll", Change{Promote, 6})
	f("Vvvvvvl", Change{Promote, 7})
	f("Vvvvvvvlll", Change{})
	f("Vvvv", Change{Demote, 4}) // a fifth was removed
	f("vvvV", Change{Demote, 3})
	f("vv?vV", Change{Demote, 2})
	f("vv!vV", Change{Demote, 2})
	f("vv!v?V", Change{Demote, 3})
	f("Vvvvvv", Change{Demote, 6})
	f("Vvvvvvvv", Change{Demote, 8})
	f("Vv-vl", Change{Remove, 2}) // before the learner gets a vote
	f("Vvl-", Change{Remove, 3})
	f("V-vvl", Change{}) // another must lead first
}

func TestWhatAChangeLeavesMustBeAMajority(t *testing.T) {
	v := func(id topology.PeerID, active bool) Member { return Member{ID: id, Voter: true, Active: active} }
	l := func(id topology.PeerID) Member { return Member{ID: id, Active: true} }
	all := []Member{v(1, true), v(2, true), v(3, true), v(4, false), v(5, false), l(6)}
	require.False(t, Survives(Change{Remove, 3}, all), "two of four")
	require.False(t, Survives(Change{Demote, 3}, all), "two of four")
	require.True(t, Survives(Change{Remove, 4}, all))
	require.True(t, Survives(Change{Demote, 4}, all))
	require.True(t, Survives(Change{Promote, 6}, all))
	require.True(t, Survives(Change{Remove, 6}, all))
	require.True(t, Survives(Change{Remove, 9}, all), "no member")
	require.False(t, Survives(Change{Remove, 2}, []Member{v(1, true), v(2, true), v(3, false)}))
}

// From any group the changes come to an end, with as many voters as there should be,
// and never without the leader.
func TestChangesComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := []Member{{ID: 1, Voter: true, Active: true, Ready: true}}
		for id := 2; id <= rapid.IntRange(1, 12).Draw(t, "members"); id++ {
			list = append(list, Member{ID: topology.PeerID(id), Voter: rapid.Bool().Draw(t, "voter"), Active: true, Ready: true})
		}
		for range 20 {
			c, ok := NextChange(1, list)
			if !ok {
				break
			}
			require.NotEqual(t, topology.PeerID(1), c.Peer)
			list[c.Peer-1].Voter = c.Kind == Promote
		}
		voters := 0
		for _, m := range list {
			if m.Voter {
				voters++
			}
		}
		require.Equal(t, []int{0, 1, 2, 3, 3, 5, 5, 7}[min(len(list), 7)], voters)
	})
}

// A change that comes late or twice does nothing.
func TestChangesOfMembersAreChecked(t *testing.T) {
	s := newState(1)
	s.remove(9)
	m := members{voters: []topology.PeerID{1, 2}, learners: []topology.PeerID{3}}
	alone := members{voters: []topology.PeerID{1}, learners: []topology.PeerID{3}}
	for _, c := range []Change{{AddLearner, 4}, {Promote, 3}, {Demote, 2}, {Remove, 1}, {Remove, 3}, {Remove, 4}} {
		require.True(t, m.allows(c, s), "%v", c)
	}
	for _, c := range []Change{
		{AddLearner, 1},
		{AddLearner, 3},
		{AddLearner, 9},
		{AddLearner, 0},
		{AddLearner, math.MaxUint64},
		{Promote, 1},
		{Promote, 4},
		{Promote, 9},
		{Demote, 3},
		{Demote, 4},
		{Remove, 9},
		{Remove, 0},
		{0, 1},
		{7, 1},
	} {
		require.False(t, m.allows(c, s), "%v", c)
	}
	require.False(t, alone.allows(Change{Demote, 1}, s))
	require.False(t, alone.allows(Change{Remove, 1}, s))
}
