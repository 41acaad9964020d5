package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// A cluster that has lost the majority of its voters for ever begins anew (Options.Reinit): one node
// founds another cluster with what it knows, and the others throw away their part in the consensus of the
// old one and join. Data and the numbers of the nodes stay. What tells the two clusters apart is their
// name, which every connection begins with.

// leftSuffix is what a node adds to the name of the directory with its part in a consensus when it leaves
// that. This one step decides.
const leftSuffix = ".left"

// leave gives up this node's part in the old cluster, if it is to join one that has begun anew. A node
// that is a member of that already has nothing to do: its vote must not be lost.
func (m *Member) leave(ctx context.Context) error {
	addr, err := address(m.o.Bootstrap)
	if err != nil {
		return err
	}
	ask := peer.NewAsk(m.strangerOptions(), addr)
	defer ask.Close()
	var there peer.Status
	if err := m.persist(ctx, func() (err error) {
		there, err = ask.Status(ctx)
		return err
	}); err != nil {
		return fmt.Errorf("ask the node at %s for its cluster: %w", m.o.Bootstrap, err)
	}
	if there.Cluster == m.self.Cluster {
		m.log.InfoContext(ctx, "this node is a member of the cluster already, nothing begins anew", "cluster", m.self.Cluster)
		return nil
	}
	m.log.WarnContext(ctx, "leaving a cluster to join another one", "old", m.self.Cluster, "new", there.Cluster)
	dir := layout.Consensus(m.o.StoragePath)
	if err := m.o.FS.Rename(dir, dir+leftSuffix); err != nil {
		return fmt.Errorf("put the consensus's state aside: %w", err)
	}
	return m.o.FS.SyncDir(m.o.StoragePath)
}

// hasLeft finishes leaving a cluster.
func (m *Member) hasLeft(file identityFile) error {
	dir := layout.Consensus(m.o.StoragePath) + leftSuffix
	if _, err := m.o.FS.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for a consensus's state put aside: %w", err)
	}
	if !m.joins() {
		return apierror.New(apierror.Precondition, "this node has left its cluster to join another one (--reinit), and hasn't yet: start it with --bootstrap")
	}
	m.self.Cluster = ""
	if err := file.store(m.self); err != nil {
		return err
	}
	if err := m.o.FS.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the state of another consensus: %w", err)
	}
	return m.o.FS.SyncDir(path.Dir(dir))
}

// beginAnew founds another cluster with what this node knows.
func (m *Member) beginAnew(ctx context.Context) error {
	m.log.WarnContext(ctx, "beginning the consensus anew: the other nodes are left behind until they join with --reinit", "cluster", m.self.Cluster)
	return m.group.Reinit(ctx, func() error {
		return m.machine.amend(func(s *topology.State) error { return s.BeginAnew(m.self.Peer, m.self.Cluster) })
	})
}

// askAlive is how long another node is waited for that may have a leader.
const askAlive = time.Second

// findLeader asks the other nodes whether they have a leader, and returns what the first says that has.
// Those that are there and have none get the time to elect one.
func (m *Member) findLeader(ctx context.Context) (there peer.Status, found bool) {
	ctx, cancel := context.WithTimeout(ctx, askAlive+3*m.electionTime())
	defer cancel()
	for waits := true; waits; {
		waits = false
		for _, p := range m.State().Peers() {
			addr, err := address(p.URI)
			if p.ID == m.self.Peer || err != nil {
				continue
			}
			s, err := m.statusOf(ctx, addr)
			switch {
			case err != nil || s.Peer != p.ID:
			case s.Leader == 0 || s.Leader == m.self.Peer: // or it hasn't noticed
				waits = true
			default:
				return s, true
			}
		}
		if waits && pause(ctx, retryAfter, nil) != nil {
			break // they have none
		}
	}
	return peer.Status{}, false
}

// statusOf asks whoever is at an address.
func (m *Member) statusOf(ctx context.Context, addr string) (peer.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askAlive)
	defer cancel()
	ask := peer.NewAsk(m.strangerOptions(), addr)
	defer ask.Close()
	return ask.Status(ctx)
}

// strangerOptions are those of a connection to a node that may be of another cluster.
func (m *Member) strangerOptions() peer.PoolOptions {
	o := m.poolOptions()
	o.Self.Cluster = ""
	return o
}

// settleName finds out the name of the node's cluster when it has a part in a consensus: that knows, also
// when a crash has kept the node from writing it down. A cluster that is to begin anew gets another one,
// unless it works.
func (m *Member) settleName(ctx context.Context, file identityFile) error {
	if name := m.State().ClusterID(); name != "" && name != m.self.Cluster {
		m.self.Cluster = name
		if err := file.store(m.self); err != nil {
			return err
		}
	}
	if !m.beginsAnew() {
		return nil
	}
	there, found := m.findLeader(ctx)
	switch {
	case !found:
		m.self.Cluster = uuid.NewString()
	case there.Cluster == m.self.Cluster:
		m.log.WarnContext(ctx, "other nodes of the cluster have a leader: nothing begins anew", "peer", there.Peer, "leader", there.Leader)
		m.o.Reinit = false
	default:
		return apierror.New(apierror.Precondition, "peer %d is in another cluster by now, which works: join it with --reinit and --bootstrap", there.Peer)
	}
	return nil
}

// beginsAnew tells whether this node is to found another cluster with what it knows.
func (m *Member) beginsAnew() bool { return m.o.Reinit && !m.joins() && m.group.HasState() }

// prepare finds out which cluster the node is, or is to be, a member of. It returns the nodes there that
// it has heard of.
func (m *Member) prepare(ctx context.Context, file identityFile) (known []peer.Member, err error) {
	state, err := consensus.HasState(m.o.FS, layout.Consensus(m.o.StoragePath))
	if err != nil {
		return nil, err
	}
	switch {
	case state && m.joins() && m.o.Reinit:
		if err := m.leave(ctx); err != nil {
			return nil, err
		}
	case !state && m.joins():
		if err := m.mayJoin(); err != nil {
			return nil, err
		}
	}
	if err := m.hasLeft(file); err != nil {
		return nil, err
	}
	if m.self.Cluster != "" {
		return nil, nil
	}
	if known, err = m.enter(ctx); err != nil {
		return nil, err
	}
	return known, file.store(m.self)
}
