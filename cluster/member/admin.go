package member

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// The times of operators' requests.
const (
	// changeTime bounds a change that names no timeout.
	changeTime = 10 * time.Second
	// askTime bounds how long other nodes are waited for that are asked what they know.
	askTime = time.Second
)

// Admin is the cluster's desk for operators at one node.
type Admin struct{ m *Member }

var _ admin.Desk = &Admin{}

// Admin returns the desk for operators.
func (m *Member) Admin() *Admin { return &Admin{m} }

// Status implements admin.Desk.
func (a *Admin) Status(context.Context) (*admin.Status, error) {
	m := a.m
	own := m.ownAnswer()
	out := &admin.Status{
		Enabled: true, Peer: uint64(m.self.Peer), Peers: map[uint64]admin.Peer{}, Raft: own.Raft, Consensus: own.Consensus,
		SendFailures: map[string]admin.SendFailure{},
	}
	known := map[string]string{}
	state := m.State()
	out.ID = state.ClusterID()
	copies := copiesOf(state)
	for _, p := range state.Peers() {
		if p.IsBehind() {
			continue
		}
		out.Peers[uint64(p.ID)] = admin.Peer{
			URI: publicURI(p.URI), Fenced: p.Fenced, Draining: p.Draining, Zone: p.Zone, Replicas: copies[p.ID], Leads: state.Led(p.ID),
		}
		if addr, err := address(p.URI); err == nil {
			known[addr] = publicURI(p.URI)
		}
	}
	for addr, f := range m.pool.Failures() {
		if uri, ok := known[addr]; ok {
			out.SendFailures[uri] = admin.SendFailure{Count: f.Count, Latest: f.LatestError, At: f.LatestTime}
		}
	}
	return out, nil
}

// publicURI spells an address as clients know it: with a path.
func publicURI(uri string) string {
	if strings.HasSuffix(uri, "/") {
		return uri
	}
	return uri + "/"
}

// ownAnswer is what this node tells of itself.
func (m *Member) ownAnswer() admin.PeerAnswer {
	s := m.group.Status()
	out := admin.PeerAnswer{
		Version: m.o.Release,
		Raft: admin.Raft{
			Term: s.Term, Commit: s.Commit, Pending: s.Pending, Leader: uint64(s.Leader), Role: s.Role.String(), Voter: s.IsVoter,
		},
		Consensus: admin.Consensus{Updated: s.LastHeardFromLeader},
	}
	if s.Role == consensus.Leader {
		out.Consensus.Updated = time.Now()
	}
	if out.Consensus.Updated.IsZero() {
		out.Consensus.Updated = m.begun
	}
	if m.turnedAway.Load() {
		out.Consensus.Stopped = true // as it was told to
	} else if err := m.group.Err(); err != nil {
		out.Consensus.Stopped, out.Consensus.Err = true, err.Error()
	}
	return out
}

// Recover implements admin.Desk. Whoever is behind gets what it lacks by itself, as a snapshot if
// need be; here it is waited for.
func (a *Admin) Recover(ctx context.Context) error {
	ctx, cancel := within(ctx, 0)
	defer cancel()
	_, err := a.m.group.ReadIndex(ctx)
	return err
}

// within bounds a change; 0 is the default.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		d = changeTime
	}
	return context.WithTimeout(ctx, d)
}

// RemovePeer implements admin.Desk: the topology forgets the node, then the consensus does. A call
// that was cut off in between is carried on by the next one.
func (a *Admin) RemovePeer(ctx context.Context, id uint64, force bool, timeout time.Duration) error {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	p := topology.PeerID(id)
	if !a.m.State().Removed(p) {
		if _, err := a.m.Change(ctx, topology.RemovePeer{Peer: p, Force: force}); err != nil {
			return err
		}
	}
	return a.m.group.RemoveMember(ctx, p)
}

// MetadataKeys implements admin.Desk.
func (a *Admin) MetadataKeys(context.Context) ([]string, error) {
	return a.m.State().MetadataKeys(), nil
}

// Metadata implements admin.Desk.
func (a *Admin) Metadata(_ context.Context, key string) ([]byte, error) {
	value, _ := a.m.State().Metadata(key)
	return value, nil
}

// SetMetadata implements admin.Desk. Without wait it is agreed on all the same: what can't be agreed
// on is said.
func (a *Admin) SetMetadata(ctx context.Context, key string, value []byte, _ bool) error {
	return a.change(ctx, 0, topology.SetMetadata{Key: key, Value: value})
}

// change has a command applied, in the time of a request.
func (a *Admin) change(ctx context.Context, timeout time.Duration, cmd topology.Command) error {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	_, err := a.m.Change(ctx, cmd)
	return err
}

// Telemetry implements admin.Desk: all nodes are asked at once, and not waited for longer than
// askTime. Of copies it says what this node knows; where one is being filled its leader is asked, in the
// same time for all.
func (a *Admin) Telemetry(ctx context.Context) (*admin.Telemetry, error) {
	m, state := a.m, a.m.State()
	out := &admin.Telemetry{Enabled: true, Peers: map[uint64]admin.PeerTelemetry{}, Collections: map[string]admin.CollectionTelemetry{}}
	ids := make([]topology.PeerID, 0, len(state.Peers()))
	for _, p := range state.Peers() {
		ids = append(ids, p.ID)
	}
	answers := askPeers[admin.PeerAnswer](ctx, m, ids, topology.ShardName{}, describeNode)
	own := m.ownAnswer()
	answers[m.self.Peer] = &own
	for _, p := range state.Peers() {
		if p.IsBehind() {
			continue
		}
		out.Peers[uint64(p.ID)] = admin.PeerTelemetry{URI: publicURI(p.URI), Answer: answers[p.ID]}
	}
	timed, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, c := range state.Collections() {
		var known standings
		if len(c.Transfers) > 0 {
			known = m.askLeaders(timed, c)
		} else {
			known = m.standings(c)
		}
		one := admin.CollectionTelemetry{Transfers: m.transfers(c, known)}
		for _, sh := range c.Shards {
			for _, r := range sh.Replicas {
				one.Replicas = append(one.Replicas, m.describe(state, c, sh, r.Peer, known))
			}
		}
		out.Collections[c.Name] = one
	}
	return out, nil
}

// askPeers asks other nodes the same, all at once. Who doesn't answer in time is left out.
func askPeers[T any](ctx context.Context, m *Member, ids []topology.PeerID, about topology.ShardName, kind uint32) map[topology.PeerID]*T {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var (
		mu  sync.Mutex
		out = map[topology.PeerID]*T{}
		all sync.WaitGroup
	)
	for _, id := range ids {
		conn, err := m.pool.Peer(id)
		if id == m.self.Peer || err != nil {
			continue
		}
		all.Go(func() {
			data, err := conn.Call(ctx, peer.Call{Shard: about, Kind: kind})
			answer := new(T)
			if err != nil || json.Unmarshal(data, answer) != nil {
				return // what it would have said stays unknown
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = answer
		})
	}
	all.Wait()
	return out
}

// errRemoved is why a node does no more that was taken out of the cluster.
var errRemoved = errors.New("this node was removed from the cluster: it can come back with an empty directory only")

// removed says that the node was taken out of the cluster.
func (m *Member) removed() error {
	if m.group.Status().Removed || m.State().Removed(m.self.Peer) || m.turnedAway.Load() {
		return apierror.New(apierror.Unavailable, "%w", errRemoved)
	}
	return nil
}
