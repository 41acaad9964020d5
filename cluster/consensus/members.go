package consensus

import (
	"cmp"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/topology"
)

// ChangeKind is a kind of change of the group's members.
type ChangeKind uint8

// The kinds of changes.
const (
	// AddLearner adds a member that listens and doesn't vote.
	AddLearner ChangeKind = iota + 1
	// Promote makes a learner a voter.
	Promote
	// Demote makes a voter a learner.
	Demote
	// Remove removes a member for ever.
	Remove
)

// Change is one change of the group's members.
type Change struct {
	Kind ChangeKind
	Peer topology.PeerID
}

// Member is what a leader knows about one member.
type Member struct {
	ID topology.PeerID
	// Voter says that it votes.
	Voter bool
	// Active says that it was heard of lately, Ready that it also has (nearly) all
	// entries.
	Active, Ready bool
	// Gone says that the machine knows it for one that never comes back.
	Gone bool
}

// votersFor is how many of n members should vote. More voters survive more
// failures, and make each change slower.
func votersFor(n int) int {
	switch {
	case n >= 7:
		return 7
	case n >= 5:
		return 5
	default:
		return min(n, 3)
	}
}

// Survives tells whether most of the voters that a change leaves are active. Without them the group could
// agree on nothing any more, not even on going back.
func Survives(c Change, all []Member) bool {
	voters, active := 0, 0
	for _, m := range all {
		votes := m.Voter
		if m.ID == c.Peer {
			votes = c.Kind == Promote
		}
		if votes {
			voters++
			if m.Active {
				active++
			}
		}
	}
	return 2*active > voters
}

// NextChange says how the leader should change who is a member and who votes: at most one change, since
// the group makes one at a time. First go those that are gone: their votes count against those that are there. An even number
// of voters survives no more failures than one less, so a second one must be ready before an odd number (above one) is
// left behind.
func NextChange(leader topology.PeerID, all []Member) (Change, bool) {
	var voters, ready []Member
	for _, m := range all {
		switch {
		case m.Gone && m.ID != leader:
			return Change{Remove, m.ID}, true
		case m.Voter:
			voters = append(voters, m)
		case m.Active && m.Ready:
			ready = append(ready, m)
		}
	}
	missing := votersFor(len(all)) - len(voters)
	if missing > 0 && len(ready) > 0 {
		if len(voters) >= 3 && len(voters)%2 == 1 && len(ready) < 2 {
			return Change{}, false
		}
		lowest := slices.MinFunc(ready, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
		return Change{Promote, lowest.ID}, true
	}
	if missing < 0 {
		return Change{Demote, worstVoter(leader, voters).ID}, true
	}
	return Change{}, false
}

// worstVoter returns the voter that is missed least: never the leader, rather one
// that isn't heard of or is behind, the highest ID.
func worstVoter(leader topology.PeerID, voters []Member) Member {
	use := func(m Member) int {
		switch {
		case m.ID == leader:
			return 3
		case m.Active && m.Ready:
			return 2
		case m.Active:
			return 1
		}
		return 0
	}
	return slices.MinFunc(voters, func(a, b Member) int {
		return cmp.Or(cmp.Compare(use(a), use(b)), cmp.Compare(b.ID, a.ID))
	})
}

// conf returns the change as etcd-raft knows it. Promote and Demote differ from
// adding only in what the member was before, so their kind is in the context.
func (c Change) conf() *raftpb.ConfChangeV2 {
	kind := raftpb.ConfChangeAddLearnerNode
	switch c.Kind {
	case Promote:
		kind = raftpb.ConfChangeAddNode
	case Remove:
		kind = raftpb.ConfChangeRemoveNode
	default:
	}
	return &raftpb.ConfChangeV2{
		Changes: []*raftpb.ConfChangeSingle{{Type: kind.Enum(), NodeId: new(uint64(c.Peer))}},
		Context: []byte{byte(c.Kind)},
	}
}

// decodeChange reads a change of members from an entry. It takes exactly what conf
// makes.
func decodeChange(data []byte) (Change, *raftpb.ConfChangeV2, error) {
	v2 := &raftpb.ConfChangeV2{}
	if err := proto.Unmarshal(data, v2); err != nil {
		return Change{}, nil, fmt.Errorf("%w: change of members: %w", ErrCorrupted, err)
	}
	if len(v2.GetChanges()) != 1 || len(v2.GetContext()) != 1 {
		return Change{}, nil, fmt.Errorf("%w: change of members", ErrNewer)
	}
	c := Change{ChangeKind(v2.GetContext()[0]), topology.PeerID(v2.GetChanges()[0].GetNodeId())}
	if c.Kind < AddLearner || c.Kind > Remove || !proto.Equal(c.conf(), v2) {
		return Change{}, nil, fmt.Errorf("%w: change of members", ErrNewer)
	}
	return c, v2, nil
}
