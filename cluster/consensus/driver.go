package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/cluster/topology"
)

const (
	maxMessageBytes     = 1 << 20
	maxInflightMessages = 256
	maxInflightBytes    = 16 << 20
	maxUncommittedBytes = 64 << 20
	// snapshotElections is after how many election times a snapshot of which nothing
	// was heard counts as lost.
	snapshotElections = 30
)

// driver is the group's own goroutine: all that touches etcd-raft, the disk and the
// machine.
type driver struct {
	o    *Options
	box  *mailbox
	ctx  context.Context
	disk *disk
	node *raft.RawNode

	// What is replicated: the group's part, its members, and up to where it is applied;
	// appliedBytes counts since the last snapshot.
	state                              *state
	conf                               *raftpb.ConfState
	members                            members
	applied, appliedTerm, appliedBytes uint64
	// sent is the last snapshot that was taken for a follower, sending since when one is
	// on its way to whom.
	sent    *raftpb.Snapshot
	sending map[topology.PeerID]uint64

	// ticks is the time. noRoomUntil is until when no snapshot is taken, since the disk is full.
	ticks, noRoomUntil uint64
	// pending are the proposals under way, by counter; counter is the last one.
	pending []*proposal
	counter uint64
	reads   reads
	errands []*errand
	answers []answer
	// known is the leadership that proposals were last sent in, announced the one that
	// OnLeader knows.
	known, announced leadership
	heard            time.Time
	failures         map[topology.PeerID]uint64
	// gone is a leader whose process is known to have ended, until goneTicks: it isn't waited
	// for.
	gone      topology.PeerID
	goneTicks uint64
	// fatal ends the group.
	fatal error
}

// leadership is who leads, since which term; ready when it is this node and everything
// of before is applied.
type leadership struct {
	leader topology.PeerID
	term   uint64
	ready  bool
}

// start restores what is on disk and begins to take part.
func (d *driver) start() error {
	d.state, d.members = newState(0), members{}
	d.conf = raftpb.EnsureConfState(nil)
	d.failures, d.sending = map[topology.PeerID]uint64{}, map[topology.PeerID]uint64{}
	if s := d.disk.snap; s != nil {
		if err := d.restore(s); err != nil {
			return err
		}
	}
	if err := d.join(); err != nil {
		return err
	}
	return d.settle()
}

// join begins to take part with what is restored.
func (d *driver) join() (err error) {
	d.node, err = raft.NewRawNode(&raft.Config{
		ID: uint64(d.o.ID), ElectionTick: d.o.ElectionTicks, HeartbeatTick: 1,
		Storage: storage{d.disk, d.snapshotForFollower}, Applied: d.applied,
		MaxSizePerMsg: maxMessageBytes, MaxCommittedSizePerReady: maxInflightBytes,
		MaxUncommittedEntriesSize: maxUncommittedBytes,
		MaxInflightMsgs:           maxInflightMessages, MaxInflightBytes: maxInflightBytes,
		CheckQuorum: true, PreVote: true, StepDownOnRemoval: true,
		Logger: raftLogger{d.o.Logger},
	})
	if err != nil {
		return err
	}
	if len(d.members.voters) == 1 && d.members.isVoter(d.o.ID) {
		// Nobody else has a say, so there is nothing to wait for.
		return d.node.Campaign()
	}
	return nil
}

// tick lets time pass.
func (d *driver) tick() error {
	d.ticks++
	d.node.Tick()
	if err := d.disk.flush(); err != nil {
		return fmt.Errorf("store the commit index: %w", err)
	}
	if d.disk.reserve.short.Load() && d.ticks%reserveTicks == 0 {
		_ = d.disk.reserve.restore() // it is tried again
	}
	d.retryProposals()
	d.sweep()
	d.succeed()
	if d.leads() {
		rarely := d.ticks%uint64(max(1, d.o.ElectionTicks/2)) == 0
		d.arrangeVoters(rarely)
		if rarely {
			d.giveUpSnapshots()
		}
	}
	return nil
}

// leaderGone takes in that a leader's process has ended.
func (d *driver) leaderGone(id topology.PeerID) {
	if topology.PeerID(d.node.BasicStatus().Lead) != id || id == d.o.ID {
		return
	}
	d.gone, d.goneTicks = id, d.ticks+uint64(d.o.ElectionTicks)
	d.succeed()
}

// succeed stands for election in place of a leader that is gone. The first of the voters does,
// so that votes aren't split, and again each tick: the others vote only when they know, too.
func (d *driver) succeed() {
	if d.gone == 0 {
		return
	}
	lead := topology.PeerID(d.node.BasicStatus().Lead)
	if d.ticks >= d.goneTicks || lead != 0 && lead != d.gone {
		d.gone = 0
		return
	}
	if lead == d.gone {
		_ = d.node.ForgetLeader() // nobody is waited for any more
	}
	voters := slices.DeleteFunc(slices.Clone(d.members.voters), func(id topology.PeerID) bool { return id == d.gone })
	if len(voters) > 0 && voters[0] == d.o.ID {
		_ = d.node.Campaign() // refused while changes of members are under way
	}
}

func (d *driver) leads() bool { return d.node.BasicStatus().RaftState == raft.StateLeader }

// settle does everything that follows from what has come in.
func (d *driver) settle() error {
	for {
		if err := d.drain(); err != nil {
			return err
		}
		changed := d.followLeader()
		d.askForReads()
		d.runErrands()
		if !changed && !d.node.HasReady() {
			break
		}
	}
	d.releaseReads()
	d.announce()
	return nil
}

// drain stores, sends and applies what etcd-raft wants stored, sent and applied.
func (d *driver) drain() error {
	for d.fatal == nil && d.node.HasReady() {
		ready := d.node.Ready()
		if err := d.store(ready); err != nil {
			return err
		}
		for _, m := range ready.Messages {
			d.send(m)
		}
		for _, e := range ready.CommittedEntries {
			if err := d.apply(e); err != nil {
				return err
			}
		}
		for _, r := range ready.ReadStates {
			d.confirmReads(r)
		}
		d.node.Advance(ready)
		if err := d.snapshotIfDue(); err != nil {
			return err
		}
	}
	return d.fatal
}

// store makes durable what must be before messages are sent.
func (d *driver) store(ready raft.Ready) error {
	hard := ready.HardState
	if !raft.IsEmptySnap(ready.Snapshot) {
		if err := d.disk.save(d.ctx, hard, nil); err != nil {
			return fmt.Errorf("store the hard state: %w", err)
		}
		// A snapshot that can't be restored should not be what the next start finds.
		if err := d.restore(ready.Snapshot); err != nil {
			return err
		}
		if err := d.disk.install(d.ctx, ready.Snapshot); err != nil {
			return fmt.Errorf("install a snapshot: %w", err)
		}
		hard = nil
	}
	if err := d.disk.save(d.ctx, hard, ready.Entries); err != nil {
		return fmt.Errorf("store entries: %w", err)
	}
	return nil
}

func (d *driver) send(m *raftpb.Message) {
	to := topology.PeerID(m.GetTo())
	if m.GetType() == raftpb.MsgSnap {
		d.sending[to] = d.ticks
	}
	d.o.Send(to, m)
}

// step takes a message from the network.
func (d *driver) step(m *raftpb.Message) error {
	if err := d.check(m); err != nil {
		d.o.Logger.Debug("raft message refused", slog.Uint64("from", m.GetFrom()),
			slog.String("type", m.GetType().String()), slog.Any("error", err))
		return nil
	}
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		d.heard = time.Now()
	case raftpb.MsgReadIndex:
		// A leader that is the only voter answers at once, also before it has committed
		// anything in its term.
		if err := d.drain(); err != nil {
			return err
		}
	default:
	}
	// What is refused counts as lost.
	_ = d.node.Step(m)
	return nil
}

// check says what is wrong with a message. etcd-raft trusts its input: what one node
// does wrong must not stop the others.
func (d *driver) check(m *raftpb.Message) error {
	from := topology.PeerID(m.GetFrom())
	switch {
	case m.GetTo() != uint64(d.o.ID):
		return fmt.Errorf("it is for %d", m.GetTo())
	case !validID(from) || from == d.o.ID || raft.IsLocalMsg(m.GetType()):
		return errors.New("it can't come from the network")
	case d.state.isForeign(from):
		return errors.New("its sender was removed, or left behind")
	}
	switch m.GetType() {
	case raftpb.MsgProp:
		return checkProposals(from, m.GetEntries())
	case raftpb.MsgSnap:
		return checkSnapshot(m.GetSnapshot())
	case raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		if len(m.GetEntries()) != 1 {
			return fmt.Errorf("it has %d entries", len(m.GetEntries()))
		}
	default:
	}
	return nil
}

// checkProposals says whether entries proposed by another node can be applied.
func checkProposals(from topology.PeerID, entries []*raftpb.Entry) error {
	if len(entries) == 0 {
		return errors.New("it proposes nothing")
	}
	for _, e := range entries {
		switch e.GetType() {
		case raftpb.EntryNormal:
			p, err := decodeEnvelope(e.GetData())
			if err != nil {
				return err
			}
			if p.peer != from {
				return fmt.Errorf("it proposes in the name of %d", p.peer)
			}
		case raftpb.EntryConfChangeV2:
			if _, _, err := decodeChange(e.GetData()); err != nil {
				return err
			}
		default:
			return fmt.Errorf("it proposes a %v", e.GetType())
		}
	}
	return nil
}

// followLeader sends what is pending again when somebody else leads: the one before
// may never have seen it.
func (d *driver) followLeader() (changed bool) {
	s := d.node.BasicStatus()
	now := leadership{leader: topology.PeerID(s.Lead), term: s.GetTerm()}
	if now == d.known {
		return false
	}
	d.known = now
	if now.leader == 0 {
		return true
	}
	for _, p := range d.pending {
		p.next = 0
	}
	d.retryProposals()
	d.reads.next = 0
	for _, e := range d.errands {
		e.next = 0
	}
	return true
}

// announce tells the node who leads, when that is news.
func (d *driver) announce() {
	now := d.known
	if now.leader == d.o.ID {
		now.ready = d.appliedTerm == now.term
		if !now.ready {
			now.leader = 0
		}
	}
	same := now.leader == d.announced.leader && now.ready == d.announced.ready
	if same && (!now.ready || now.term == d.announced.term) {
		return
	}
	d.announced = now
	d.o.OnLeader(now.leader, now.ready)
}

// arrangeVoters makes the next change of who is a member and who votes. A learner that is ready doesn't wait: two voters
// of a group that has just grown to three nodes survive nothing. Taking a vote away isn't urgent.
func (d *driver) arrangeVoters(demote bool) {
	if d.isGone(d.o.ID) && d.handOver() {
		return // the next leader removes this one
	}
	all := d.progress()
	change, ok := NextChange(d.o.ID, all)
	if !ok || change.Kind == Demote && !demote || !Survives(change, all) {
		return
	}
	// A change that is under way makes etcd-raft ignore this one.
	if err := d.node.ProposeConfChange(change.conf()); err == nil {
		d.o.Logger.Info("members of the consensus change", slog.Any("change", change))
	}
}

// isGone tells whether the machine knows a node for one that never comes back.
func (d *driver) isGone(id topology.PeerID) bool { return d.o.Gone != nil && d.o.Gone(id) }

// progress returns what a leader knows about the members.
func (d *driver) progress() []Member {
	status := d.node.Status()
	list := make([]Member, 0, len(status.Progress))
	for _, ids := range [][]topology.PeerID{d.members.voters, d.members.learners} {
		for _, id := range ids {
			p := status.Progress[uint64(id)]
			list = append(list, Member{
				ID: id, Voter: d.members.isVoter(id),
				Active: p.RecentActive || id == d.o.ID,
				Ready:  id == d.o.ID || isReady(p, status.GetCommit()),
				Gone:   d.isGone(id),
			})
		}
	}
	return list
}

// giveUpSnapshots takes snapshots for lost of which nothing is heard: etcd-raft would
// wait for ever.
func (d *driver) giveUpSnapshots() {
	for id, since := range d.sending {
		if d.ticks-since > uint64(snapshotElections*d.o.ElectionTicks) {
			delete(d.sending, id)
			d.node.ReportSnapshot(uint64(id), raft.SnapshotFailure)
		}
	}
}
