package coordinator

import (
	"context"
	"fmt"
	"sync"

	"github.com/sextantdb/sextant/cluster/feed"
	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Topology is who knows what exists, and agrees to changes of it: a file of a node
// alone, or the consensus of a cluster.
type Topology interface {
	// State returns what is known here. It is never changed, but replaced.
	State() *topology.State
	// Follow returns a reader of what changes.
	Follow() *feed.Reader
	// Behind tells whether State is older than what was agreed on when this node came to its cluster: what isn't
	// in it may be there.
	Behind() bool
	// Change carries out a command, or says why not. When it returns, the change is
	// durable and in State.
	Change(ctx context.Context, c topology.Command) (changed bool, err error)
}

// ownTopology is the topology of a node alone.
type ownTopology struct {
	store topology.Store
	// changing serialises changes, with their I/O.
	changing sync.Mutex
	feed     *feed.Feed
}

var _ Topology = &ownTopology{}

// openTopology refuses to start on data without a topology: starting empty would
// look like the loss of everything, and the next deletion could make it one.
func openTopology(fs fsx.FS, storagePath string) (*ownTopology, error) {
	t := &ownTopology{store: topology.Store{FS: fs, Path: layout.Topology(storagePath)}}
	state, found, err := t.store.Load()
	if err != nil {
		return nil, fmt.Errorf("load topology: %w", err)
	}
	if !found {
		dir := layout.Collections(storagePath)
		entries, err := fs.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("list collections: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() {
				return nil, fmt.Errorf("%s holds collection %q, but %s is missing: restore the file, or move the directory away to start empty",
					dir, e.Name(), t.store.Path)
			}
		}
	}
	t.feed = feed.New(&feed.View{State: state})
	t.store.KeepReserve()
	return t, nil
}

// State implements Topology.
func (t *ownTopology) State() *topology.State { return t.feed.Now().State }

// Follow implements Topology.
func (t *ownTopology) Follow() *feed.Reader { return t.feed.Follow() }

// Behind implements Topology.
func (t *ownTopology) Behind() bool { return false }

// Change implements Topology. The new state is durable before it is visible.
func (t *ownTopology) Change(_ context.Context, c topology.Command) (changed bool, err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	next := t.State().Clone()
	if changed, err = next.Apply(c); err != nil || !changed {
		return changed, err
	}
	save := t.store.Save
	if _, ok := c.(topology.DeleteCollection); ok {
		save = t.store.SaveDeletion
	}
	if err := save(next); fsx.IsFull(err) {
		return false, apierror.New(apierror.StorageFull, "the disk is full: save topology: %w", err)
	} else if err != nil {
		return false, fmt.Errorf("save topology: %w", err)
	}
	t.feed.Publish(&feed.View{State: next}, next.Changed())
	return true, nil
}
