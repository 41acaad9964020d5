package consensus

import (
	"fmt"
	"log/slog"
	"math/rand/v2"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// readyLag is how many entries a learner may be behind and become a voter.
const readyLag = 100

func isReady(p tracker.Progress, commit uint64) bool {
	return p.State == tracker.StateReplicate && p.Match+readyLag >= commit
}

// entryBytes is about what an entry takes besides its data.
const entryBytes = 64

// apply carries out one committed entry.
func (d *driver) apply(e *raftpb.Entry) error {
	if e.GetIndex() != d.applied+1 {
		return fmt.Errorf("entry %d is committed after %d", e.GetIndex(), d.applied)
	}
	var err error
	switch {
	case e.GetType() == raftpb.EntryConfChangeV2:
		err = d.applyChange(e)
	case e.GetType() != raftpb.EntryNormal:
		err = fmt.Errorf("%w: entry of type %v", ErrNewer, e.GetType())
	case len(e.GetData()) > 0: // else the first entry of a term
		err = d.applyProposal(e)
	}
	if err != nil {
		return fmt.Errorf("apply entry %d: %w", e.GetIndex(), err)
	}
	d.applied, d.appliedTerm = e.GetIndex(), e.GetTerm()
	d.appliedBytes += uint64(len(e.GetData())) + entryBytes
	return nil
}

func (d *driver) applyProposal(e *raftpb.Entry) error {
	p, err := decodeEnvelope(e.GetData())
	if err != nil {
		return err
	}
	if !d.state.admit(p) {
		return nil
	}
	result := d.o.Machine.Apply(e.GetIndex(), p.data)
	if p.peer == d.o.ID && p.incarnation == d.disk.now.incarnation {
		d.resolve(p.counter, outcome{result: result, index: e.GetIndex()})
	}
	return nil
}

func (d *driver) applyChange(e *raftpb.Entry) error {
	change, conf, err := decodeChange(e.GetData())
	if err != nil {
		return err
	}
	if !d.members.allows(change, d.state) {
		return nil
	}
	d.setMembers(d.node.ApplyConfChange(conf))
	switch change.Kind {
	case Remove:
		d.removeMember(change.Peer)
	case AddLearner:
		delete(d.state.left, change.Peer)
	default:
	}
	d.o.Logger.Info("members of the consensus changed", slog.Any("change", change), slog.Uint64("index", e.GetIndex()))
	return nil
}

func (d *driver) setMembers(conf *raftpb.ConfState) {
	d.conf, d.members = conf, membersOf(conf)
}

func (d *driver) removeMember(id topology.PeerID) {
	d.state.remove(id)
	d.forget(id)
	if id == d.o.ID {
		d.resolveAll(outcome{err: errRemoved()})
	}
}

// forget drops what is remembered of another member.
func (d *driver) forget(id topology.PeerID) {
	delete(d.failures, id)
	delete(d.sending, id)
}

func errRemoved() error {
	return apierror.New(apierror.Precondition, "this node was removed from the cluster")
}

// restore replaces everything by a snapshot.
func (d *driver) restore(s *raftpb.Snapshot) error {
	meta := s.GetMetadata()
	st, machine, err := decodeState(s.GetData())
	if err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	if err := d.o.Machine.Restore(meta.GetIndex(), machine); err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	d.state, d.applied, d.appliedTerm, d.appliedBytes = st, meta.GetIndex(), meta.GetTerm(), 0
	d.setMembers(meta.GetConfState())
	d.resolveRestored()
	return nil
}

// capture takes a snapshot of what is applied.
func (d *driver) capture() (*raftpb.Snapshot, error) {
	machine, err := d.o.Machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	return &raftpb.Snapshot{
		Data:     d.state.encode(machine),
		Metadata: &raftpb.SnapshotMetadata{Index: new(d.applied), Term: new(d.appliedTerm), ConfState: d.conf},
	}, nil
}

// smallSnapshot is the length of a snapshot that may be written for little: it costs no more than
// what must be synced besides.
const smallSnapshot = 64 << 10

// snapshotDue tells whether enough was applied since the last snapshot, which has size bytes, for another
// one. A large one isn't written before as much was applied: all of them together cost no more than the
// entries do.
func (o *Options) snapshotDue(entries, bytes, size uint64) bool {
	return entries > 0 && (bytes >= o.SnapshotBytes || entries >= o.SnapshotEntries && bytes+smallSnapshot >= size)
}

// snapshotIfDue stores a snapshot when enough was applied since the last one.
func (d *driver) snapshotIfDue() error {
	last := d.disk.snap
	if d.ticks < d.noRoomUntil || !d.o.snapshotDue(d.applied-last.GetMetadata().GetIndex(), d.appliedBytes, uint64(len(last.GetData()))) {
		return nil
	}
	s, err := d.capture()
	if err != nil {
		return err
	}
	err = d.disk.shorten(d.ctx, s)
	if isFull(err) {
		// The log goes on without.
		d.noRoomUntil = d.ticks + snapshotTicks
		d.o.Logger.Warn("there is no room for a snapshot of the consensus", slog.Any("error", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("store a snapshot: %w", err)
	}
	d.appliedBytes = 0
	return nil
}

// snapshotForFollower returns a snapshot from which a follower can go on with the log.
// It has the members of now, else a new member would take it for another's.
func (d *driver) snapshotForFollower() (*raftpb.Snapshot, error) {
	for _, s := range []*raftpb.Snapshot{d.disk.snap, d.sent} {
		meta := s.GetMetadata()
		if s != nil && meta.GetIndex()+1 >= d.disk.firstIndex() && meta.GetConfState().Equivalent(d.conf) == nil {
			return s, nil
		}
	}
	s, err := d.capture()
	if err != nil {
		d.fatal = err
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	d.sent = s
	return s, nil
}

// found makes a group with this node as the only member.
func (d *driver) found() error {
	if !d.disk.empty() {
		return apierror.New(apierror.Precondition, "this node has a cluster state already")
	}
	d.state = newState(rand.Uint64() | 1)
	return d.beginAt(1, 1)
}

// reinit makes a new group of what this node knows, after amend has changed the machine. Entries
// that it has and doesn't know to be committed may have been, and acknowledged, so they are
// applied. Everybody else is left behind: their logs aren't this one any more.
func (d *driver) reinit(amend func() error) error {
	switch {
	case d.disk.snap == nil:
		return apierror.New(apierror.Precondition, "this node has no cluster state to begin anew from")
	case d.state.isRemoved(d.o.ID):
		return errRemoved()
	case d.node.BasicStatus().Lead != 0 && len(d.members.voters)+len(d.members.learners) > 1:
		return apierror.New(apierror.Precondition, "the cluster has a leader, peer %d", d.node.BasicStatus().Lead)
	}
	last := d.disk.lastIndex()
	if d.applied < last {
		if err := d.applyTail(last); err != nil {
			return err
		}
	}
	for _, ids := range [][]topology.PeerID{d.members.voters, d.members.learners} {
		for _, id := range ids {
			if id != d.o.ID {
				d.leaveBehind(id)
			}
		}
	}
	if amend != nil {
		if err := amend(); err != nil {
			return fmt.Errorf("begin a group: %w", err)
		}
	}
	d.state.group = rand.Uint64() | 1
	return d.beginAt(last+1, max(d.disk.now.term, d.appliedTerm)+1)
}

// applyTail applies entries that aren't known to be committed, except for changes of
// members: who was to come is not to come any more.
func (d *driver) applyTail(last uint64) error {
	entries, err := d.disk.mem.Entries(d.applied+1, last+1, ^uint64(0))
	if err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
	}
	for _, e := range entries {
		if e.GetType() != raftpb.EntryConfChangeV2 {
			if err := d.apply(e); err != nil {
				return err
			}
			continue
		}
		change, _, err := decodeChange(e.GetData())
		if err != nil {
			return err
		}
		if change.Peer != d.o.ID {
			d.leaveBehind(change.Peer)
			if change.Kind == Remove {
				d.removeMember(change.Peer)
			}
		}
		d.applied, d.appliedTerm = e.GetIndex(), e.GetTerm()
	}
	return nil
}

// leaveBehind takes a node for one that isn't a member, unless it was removed for ever.
func (d *driver) leaveBehind(id topology.PeerID) {
	if !d.state.isRemoved(id) {
		d.state.leave(id)
	}
	d.forget(id)
}

// beginAt makes what is applied the beginning of a group of this node alone.
func (d *driver) beginAt(index, term uint64) error {
	d.applied, d.appliedTerm = index, term
	d.setMembers(raftpb.EnsureConfState(&raftpb.ConfState{Voters: []uint64{uint64(d.o.ID)}}))
	s, err := d.capture()
	if err != nil {
		return err
	}
	if err := d.disk.install(d.ctx, s); err != nil {
		return fmt.Errorf("begin a group: %w", err)
	}
	hard := &raftpb.HardState{Term: &term, Vote: new(uint64), Commit: &index}
	if err := d.disk.save(d.ctx, hard, nil); err != nil {
		return fmt.Errorf("begin a group: %w", err)
	}
	d.sent, d.appliedBytes = nil, 0
	return d.join()
}
