package member

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// The data of a node that ran without a cluster is taken over when it founds one. What says that it is
// to be taken over is the file in which such a node keeps its topology. In order:
//
//  1. All that is in the log goes to files: a cluster's log has other records. Up to here the
//     directory is still that of a node alone.
//  2. The consensus begins with the collections in its state. This is one file, which decides.
//  3. The copies are marked as those that the records name, and the old topology is removed.
//
// Whatever interrupts this, the next start goes on where it was.

// alone is where a node without a cluster keeps its topology.
func (m *Member) alone() topology.Store {
	return topology.Store{FS: m.o.FS, Path: layout.Topology(m.o.StoragePath)}
}

// leftAlone lists the logs of the shards that a node alone has left here: one that is lost must not be
// taken for an empty one.
func (m *Member) leftAlone() (ids []string, err error) {
	left, _, err := m.alone().Load()
	if err != nil {
		return nil, err
	}
	for _, c := range left.Collections() {
		for _, sh := range c.Shards {
			ids = append(ids, layout.Log(nameOf(c, sh)))
		}
	}
	return ids, nil
}

// mayJoin refuses to join a cluster, which has collections of its own, with the collections of a node
// alone.
func (m *Member) mayJoin() error {
	left, found, err := m.alone().Load()
	if err != nil || !found || len(left.Collections()) == 0 {
		return err
	}
	return apierror.New(apierror.Precondition, "%s has collections of a node that ran without a cluster (%q is the first): "+
		"start without --bootstrap to found a cluster with them, or join with an empty directory", m.o.StoragePath, left.Collections()[0].Name)
}

// found founds a cluster, with what a node alone has left here.
func (m *Member) found(ctx context.Context) error {
	state, found, err := m.alone().Load()
	if err != nil {
		return err
	}
	if found {
		m.log.InfoContext(ctx, "taking over the data of a node without a cluster", "collections", len(state.Collections()))
		if err := m.writeOut(ctx, state); err != nil {
			return fmt.Errorf("take over the data of a node without a cluster: %w", err)
		}
		if err := state.TakeOver(topology.RegisterPeer{
			Peer: m.self.Peer, URI: m.o.URI, Incarnation: m.self.Incarnation, Zone: m.o.Zone, Version: Version,
		}); err != nil {
			return fmt.Errorf("take over the topology of a node without a cluster: %w", err)
		}
		m.machine.Replace(&view{State: state})
	}
	return m.group.Found(ctx)
}

// writeOut writes what the log has of a node's shards into their files, and empties the log. A shard in
// quarantine keeps the data from being taken over: here it would be lost, there it may be repaired.
func (m *Member) writeOut(ctx context.Context, state *topology.State) error {
	var g errgroup.Group
	g.SetLimit(openAtOnce)
	for _, c := range state.Collections() {
		for _, sh := range c.Shards {
			g.Go(func() error {
				if err := m.writeOutShard(ctx, c, sh.ID); err != nil {
					return fmt.Errorf("shard %d of collection %s: %w", sh.ID, c.Name, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func (m *Member) writeOutShard(ctx context.Context, c *topology.Collection, id uint32) error {
	stream := m.data.Stream(layout.Log(topology.ShardName{Collection: c.Incarnation, Shard: id}))
	s, err := m.o.OpenShard(ctx, c, shard.Options{
		FS: m.o.FS, Dir: layout.Shard(m.o.StoragePath, c, id), Log: stream, Config: c.Config, Manual: true,
		Logger: m.log.With("collection", c.Name, "shard", id),
	})
	if err != nil {
		return err
	}
	err = s.Err()
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	at, last := s.Flushed(), stream.Last()
	if at.Seq != last.Seq {
		return fmt.Errorf("files end with entry %d, the log with %d", at.Seq, last.Seq)
	}
	if at == last && stream.First() > last.Seq {
		return nil
	}
	return stream.Reset(ctx, at)
}

// finishTakeOver marks the copies of a node alone as those that the consensus knows. It does nothing
// when there are none.
func (m *Member) finishTakeOver(ctx context.Context) error {
	left, found, err := m.alone().Load()
	if err != nil || !found {
		return err
	}
	for _, old := range left.Collections() {
		c := m.State().Incarnation(old.Incarnation)
		if c == nil {
			return fmt.Errorf("%s: collection %q isn't the cluster's; move the file away if the cluster is to go on without it", m.alone().Path, old.Name)
		}
		for _, sh := range c.Shards {
			if err := m.markTaken(ctx, nameOf(c, sh), sh); err != nil {
				return err
			}
		}
	}
	return m.alone().Remove()
}

func (m *Member) markTaken(ctx context.Context, name topology.ShardName, sh *topology.Shard) error {
	r, ok := sh.Replica(m.self.Peer)
	if !ok || r.Created {
		return nil
	}
	known, _, err := loadMarks(ctx, m.data.Stream(layout.Marks(name)))
	if err != nil {
		return err
	}
	return known.store(ctx, mark{alloc: r.Alloc, history: sh.History})
}
