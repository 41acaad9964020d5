package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// retryAfter is how long to wait before the cluster is asked again.
const retryAfter = 200 * time.Millisecond

// pause waits until there is news, which may be nil for none, or for a time at most. It fails when
// ctx ends.
func pause(ctx context.Context, d time.Duration, news <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-news:
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// enter finds the cluster that the node is to be a member of: it asks another node, or decides on
// a name for a new one.
func (m *Member) enter(ctx context.Context) ([]peer.Member, error) {
	if !m.joins() {
		m.self.Cluster = cmp.Or(m.self.Cluster, uuid.NewString())
		return nil, nil
	}
	addr, err := address(m.o.Bootstrap)
	if err != nil {
		return nil, err
	}
	ask := peer.NewAsk(m.strangerOptions(), addr)
	defer ask.Close()
	var joined peer.Joined
	err = m.persist(ctx, func() (err error) {
		joined, err = ask.Join(ctx, peer.Join{
			Peer: m.self.Peer, URI: m.o.URI, Incarnation: m.self.Incarnation, Zone: m.o.Zone, Version: Version,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("join the cluster at %s: %w", m.o.Bootstrap, err)
	}
	m.self.Cluster = joined.Cluster
	return joined.Members, nil
}

// address returns the host and port of a node's URI.
func address(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return "", apierror.New(apierror.BadInput, "%q is not the URI of a node (http://host:6335)", uri)
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), defaultPort), nil
	}
	return u.Host, nil
}

// defaultPort is the port of a URI that names none.
const defaultPort = "6335"

// poolOptions are the connections to other nodes.
func (m *Member) poolOptions() peer.PoolOptions {
	o := m.o.Pool
	o.Self, o.OnDown, o.OnUp = m.Identity(), m.boss.peerDown, m.boss.peerUp
	if o.Logger == nil {
		o.Logger = m.log
	}
	return o
}

// Identity is how this node introduces itself to others.
func (m *Member) Identity() peer.Identity {
	return peer.Identity{Cluster: m.self.Cluster, Peer: m.self.Peer, Incarnation: m.self.Incarnation}
}

// meet tells the connections where another node is.
func (m *Member) meet(t peer.Target) {
	if t.Peer == m.self.Peer {
		return
	}
	addr, err := address(t.Addr)
	if err == nil {
		t.Addr = addr
		err = m.pool.Set(t)
	}
	if err != nil {
		m.log.Warn("a node can't be reached", "peer", t.Peer, "error", err)
	}
}

// meetPeer tells the connections where a node of the topology is.
func (m *Member) meetPeer(p *topology.Peer) {
	if !p.IsBehind() {
		m.meet(peer.Target{Peer: p.ID, Addr: p.URI, Incarnation: p.Incarnation})
	}
}

// forgetRemoved forgets nodes that can't be reached any more because they were removed.
func (m *Member) forgetRemoved(v *view) {
	for _, p := range m.links.unreached() {
		if v.Removed(p) {
			m.pool.Remove(p)
			m.links.forget(p)
		}
	}
}

// persist tries something until it is done, refused, or ctx ends.
func (m *Member) persist(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || !isTransient(err) {
			return err
		}
		if ended := pause(ctx, retryAfter, nil); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

// isTransient tells what may be over soon from what was refused.
func isTransient(err error) bool {
	kind := apierror.KindOf(err)
	return kind == apierror.Unavailable || kind == apierror.Timeout || kind == apierror.Internal ||
		errors.Is(err, context.DeadlineExceeded)
}

// stayRegistered registers this process, and again whenever the topology has fenced it.
func (m *Member) stayRegistered(ctx context.Context) {
	for {
		v, changed := m.machine.Newest()
		p := v.Peer(m.self.Peer)
		switch {
		case m.leaving.Load():
			return
		case m.removed() != nil:
			m.turnedAway.Store(true)
			m.log.ErrorContext(ctx, "no member of the cluster any more", "error", errRemoved)
			return
		}
		if p == nil || p.Incarnation != m.self.Incarnation || p.Fenced || m.registered.Load() == 0 {
			index, err := m.register(ctx)
			if err != nil {
				m.log.WarnContext(ctx, "registering with the cluster", "error", err)
				if pause(ctx, retryAfter, nil) != nil {
					return
				}
				continue
			}
			if m.registered.CompareAndSwap(0, index) {
				close(m.part)
			}
			m.nameCluster(ctx)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// nameCluster writes the cluster's name into the topology, if nobody has. Whoever waits for
// a name, as the operator in Kubernetes does, must get one: it is tried until it is there.
func (m *Member) nameCluster(ctx context.Context) {
	err := m.persist(ctx, func() error {
		if m.State().ClusterID() != "" || m.removed() != nil {
			return nil
		}
		timed, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := m.Change(timed, topology.SetClusterID{ID: m.self.Cluster})
		return err
	})
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "naming the cluster", "error", err)
	}
}

// register has this process registered and returns the index of the topology that knows it.
func (m *Member) register(ctx context.Context) (uint64, error) {
	held, err := m.held(ctx)
	if err != nil {
		return 0, err
	}
	data, err := topology.EncodeCommand(topology.RegisterPeer{
		Peer: m.self.Peer, URI: m.o.URI, Incarnation: m.self.Incarnation, Zone: m.o.Zone, Version: Version, Held: held,
	})
	if err != nil {
		return 0, err
	}
	if m.hasMoved() || !m.group.HasState() {
		index, err := m.registerThere(ctx, data)
		if err == nil {
			return index, nil
		}
		m.log.DebugContext(ctx, "announcing the new address", "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	result, index, err := m.group.Propose(ctx, data)
	if err != nil {
		return 0, err
	}
	if out, ok := result.(outcome); ok && out.err != nil {
		return 0, out.err
	}
	return index, nil
}

// sendRaft carries a message of the consensus.
func (m *Member) sendRaft(to topology.PeerID, msg *raftpb.Message) {
	if !m.linked.Load() {
		return
	}
	data, err := proto.Marshal(msg)
	if err != nil {
		return // as good as lost
	}
	snapshot := msg.GetType() == raftpb.MsgSnap
	m.pool.SendRaft(to, data, func(err error) {
		// Both only put a note into the group's box.
		if err != nil {
			m.group.ReportUnreachable(to)
		}
		if snapshot {
			m.group.ReportSnapshot(to, err == nil)
		}
	})
}

// send implements surroundings.
func (m *Member) send(e replication.Envelope) { m.pool.SendReplication(e) }

// alter implements surroundings.
func (m *Member) alter(a replication.Alter) {
	select {
	case m.alters <- a:
	default: // the state machine proposes again
	}
}

// altersAtOnce bounds the changes of sets in one entry of the consensus's log.
const altersAtOnce = 512

// proposeAlters proposes changes of sets, many at a time.
func (m *Member) proposeAlters(ctx context.Context) {
	for {
		var batch []topology.AlterInSync
		select {
		case a := <-m.alters:
			batch = append(batch, topology.AlterInSync(a))
		case <-ctx.Done():
			return
		}
		for more := true; more && len(batch) < altersAtOnce; {
			select {
			case a := <-m.alters:
				batch = append(batch, topology.AlterInSync(a))
			default:
				more = false
			}
		}
		timed, cancel := context.WithTimeout(ctx, time.Second)
		// A change that came too late is refused: its proposer sees the newer record.
		if _, err := m.Change(timed, topology.AlterMany{Alters: batch}); err != nil && ctx.Err() == nil {
			m.log.DebugContext(ctx, "changes of sets in sync were not taken", "changes", len(batch), "error", err)
		}
		cancel()
	}
}

// wake implements surroundings.
func (m *Member) wake(r *replica, at replication.Now, ok bool) { m.timers.set(r, at, ok) }

// tidyEvery is how often the log is looked after.
const tidyEvery = time.Second

// tidy lets go of log that nobody needs any more.
func (m *Member) tidy(ctx context.Context) {
	for pause(ctx, tidyEvery, nil) == nil {
		long := m.data.Size() > maxRetained
		for _, r := range m.open() {
			if err := r.release(long); err != nil && ctx.Err() == nil {
				m.log.WarnContext(ctx, "releasing the log of a shard", "shard", r.name.Shard, "error", err)
			}
		}
		for _, h := range m.data.Holders() {
			m.freeOldest(ctx, h.Stream, h.Bytes)
		}
	}
}

// maxRetained is the length of the log up to which entries are kept for voters that are behind.
const maxRetained = 2 << 30

// maxLogBytes is the length of the log from which on a shard whose operations stand in the oldest
// file is made to write them to files.
const maxLogBytes = 256 << 20

// freeOldest makes a stream let go of the log's oldest file.
func (m *Member) freeOldest(ctx context.Context, stream string, bytes int64) {
	name, isMark, ok := layout.Parse(stream)
	if !ok {
		return
	}
	r := m.replica(name)
	if r == nil {
		return
	}
	var err error
	switch {
	case isMark:
		err = r.marks.renew(ctx)
	case bytes > maxLogBytes:
		if s := r.shard.Load(); s != nil && r.flushed.Load() < s.Applied() {
			err = s.Checkpoint(ctx)
		}
	}
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "making room in the log", "stream", stream, "error", err)
	}
}

// release lets the log go up to what is in files and every voter has. When the log is too long a
// voter that is far behind isn't waited for: it gets files.
func (r *replica) release(long bool) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	keep := r.sm.Retain()
	r.mu.Unlock()
	upTo := r.flushed.Load()
	if keep <= upTo && !long {
		upTo = keep - 1
	}
	first := r.stream.First()
	if upTo < first {
		return nil
	}
	if err := r.stream.Release(upTo); err != nil {
		return err
	}
	if now := r.stream.First(); now > first {
		r.step(replication.LogReleased{First: now})
	}
	return nil
}

// open returns the copies on this node.
func (m *Member) open() []*replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*replica, 0, len(m.replicas))
	for _, r := range m.replicas {
		out = append(out, r)
	}
	return out
}
