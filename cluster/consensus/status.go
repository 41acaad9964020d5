package consensus

import (
	"maps"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Role is what a node does in the group.
type Role uint8

// The roles. A learner is a follower.
const (
	Follower Role = iota
	Candidate
	Leader
	PreCandidate
)

// String returns the role's name as clients know it.
func (r Role) String() string {
	return [...]string{"Follower", "Candidate", "Leader", "PreCandidate"}[r]
}

func roleOf(s raft.StateType) Role {
	switch s {
	case raft.StateCandidate:
		return Candidate
	case raft.StateLeader:
		return Leader
	case raft.StatePreCandidate:
		return PreCandidate
	default:
		return Follower
	}
}

// Status is what is known about a group at one node. Values handed out are shared:
// treat lists and maps as read-only.
type Status struct {
	// ID is the node, Group the identity of its group, 0 when it has none yet.
	ID    topology.PeerID
	Group uint64
	// Leader leads as far as is known here, 0 is nobody.
	Leader topology.PeerID
	Term   uint64
	Role   Role
	// Commit is the last committed entry known here, Applied the last one applied,
	// Pending how many entries of the log aren't applied.
	Commit, Applied, Pending uint64
	// HasState says that the node has a group's state, Joined that it is a member by
	// that, IsVoter that it votes, Removed that it never will again.
	HasState, Joined, IsVoter, Removed bool
	// Voters and Learners are the members, ascending.
	Voters, Learners []topology.PeerID
	// SendFailures counts messages that couldn't be sent, by member.
	SendFailures map[topology.PeerID]uint64
	// LastHeardFromLeader is when a message of the leader came; zero when none has.
	LastHeardFromLeader time.Time
}

// Status returns what is known at this moment.
func (g *Group) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status
}

// HasState says whether the node has a group's state: it founded one, or was joined to
// one.
func (g *Group) HasState() bool { return g.Status().HasState }

// publish brings the status up to date.
func (g *Group) publish(d *driver) {
	s := d.node.BasicStatus()
	status := Status{
		ID: d.o.ID, Group: d.state.group, Leader: topology.PeerID(s.Lead), Term: s.GetTerm(), Role: roleOf(s.RaftState),
		Commit: s.GetCommit(), Applied: d.applied, Pending: d.disk.lastIndex() - min(d.applied, d.disk.lastIndex()),
		HasState: d.disk.snap != nil, Joined: d.joined(), IsVoter: d.members.isVoter(d.o.ID), Removed: d.state.isRemoved(d.o.ID),
		Voters: d.members.voters, Learners: d.members.learners, LastHeardFromLeader: d.heard,
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	status.SendFailures = g.status.SendFailures
	if !maps.Equal(status.SendFailures, d.failures) {
		status.SendFailures = maps.Clone(d.failures)
	}
	g.status = status
}

func (d *driver) joined() bool { return d.members.has(d.o.ID) }
