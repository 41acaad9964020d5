package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"

	"go.etcd.io/raft/v3"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// ErrResultLost says that a proposal was applied, but that this node got to know by a
// snapshot, so the result isn't known here.
var ErrResultLost = errors.New("the change was applied; its result is not known")

// outcome is how something ended that was asked of the group.
type outcome struct {
	result any
	index  uint64
	err    error
}

// waiter is somebody who waits.
type waiter struct {
	reply chan outcome
	// abandoned says that nobody waits any more.
	abandoned atomic.Bool
}

func newWaiter() waiter { return waiter{reply: make(chan outcome, 1)} }

// answer is what somebody who waits is to be told.
type answer struct {
	to *waiter
	outcome
}

// answer tells somebody at the end of the turn, when Status knows of it too.
func (d *driver) answer(w *waiter, o outcome) { d.answers = append(d.answers, answer{w, o}) }

func (d *driver) giveAnswers() {
	for _, a := range d.answers {
		a.to.reply <- a.outcome
	}
	clear(d.answers)
	d.answers = d.answers[:0]
}

// proposal is a change under way.
type proposal struct {
	waiter
	data []byte
	// counter is its number, entry the envelope.
	counter uint64
	entry   []byte
	// next is when it is sent again.
	next uint64
}

// propose begins a proposal.
func (d *driver) propose(p *proposal) {
	low := d.counter + 1
	if len(d.pending) > 0 {
		low = d.pending[0].counter
	}
	var err error
	switch {
	case d.state.isRemoved(d.o.ID):
		err = errRemoved()
	case d.counter+1-low >= maxAhead:
		err = apierror.New(apierror.Unavailable, "a change of the cluster takes too long for others to begin")
	}
	if err != nil {
		d.finish(p, outcome{err: err})
		return
	}
	d.counter++
	p.counter = d.counter
	id := proposalID{peer: d.o.ID, incarnation: d.disk.now.incarnation, counter: p.counter}
	p.entry = envelope{proposalID: id, low: low, data: p.data}.encode()
	d.pending = append(d.pending, p)
	d.offer(p)
}

// offer gives a proposal to etcd-raft, which forwards it to the leader. It may get
// lost on the way, so it is sent again. A node without a state waits: it would get the
// change with its first snapshot, and not know the result.
func (d *driver) offer(p *proposal) {
	p.next = d.ticks + 1
	if d.joined() && d.node.Propose(p.entry) == nil {
		p.next = d.ticks + uint64(d.o.ElectionTicks)
	}
}

func (d *driver) retryProposals() {
	for _, p := range d.pending {
		if p.next <= d.ticks && !p.abandoned.Load() {
			d.offer(p)
		}
	}
}

// resolve ends the proposal with a number, if it is under way.
func (d *driver) resolve(counter uint64, o outcome) {
	i, ok := slices.BinarySearchFunc(d.pending, counter, func(p *proposal, c uint64) int {
		switch {
		case p.counter < c:
			return -1
		case p.counter > c:
			return 1
		}
		return 0
	})
	if ok {
		p := d.pending[i]
		d.pending = slices.Delete(d.pending, i, i+1)
		d.finish(p, o)
	}
}

// resolveAll ends all proposals.
func (d *driver) resolveAll(o outcome) {
	for _, p := range d.pending {
		d.finish(p, o)
	}
	d.pending = nil
}

// resolveRestored ends those that a snapshot contains.
func (d *driver) resolveRestored() {
	for _, p := range slices.Clone(d.pending) {
		if d.state.applied(proposalID{d.o.ID, d.disk.now.incarnation, p.counter}) {
			d.resolve(p.counter, outcome{index: d.applied, err: ErrResultLost})
		}
	}
}

func (d *driver) finish(p *proposal, o outcome) {
	d.box.settled(len(p.data))
	d.answer(&p.waiter, o)
}

// sweep forgets those for whom nobody waits any more.
func (d *driver) sweep() {
	d.pending = slices.DeleteFunc(d.pending, func(p *proposal) bool {
		gone := p.abandoned.Load()
		if gone {
			d.box.settled(len(p.data))
		}
		return gone
	})
	gone := func(w *waiter) bool {
		if w.abandoned.Load() {
			d.box.answered()
			return true
		}
		return false
	}
	d.errands = slices.DeleteFunc(d.errands, func(e *errand) bool { return gone(&e.waiter) })
	for _, list := range []*[]*read{&d.reads.fresh, &d.reads.asked, &d.reads.confirmed} {
		*list = slices.DeleteFunc(*list, func(r *read) bool { return gone(&r.waiter) })
	}
}

// errand is something that is asked of the leader again and again until it is so.
type errand struct {
	waiter
	// done says whether it is so, or can't be.
	done func(*driver) (bool, error)
	// try asks; the next time is after every ticks.
	try   func(*driver)
	every uint64
	next  uint64
}

func (d *driver) runErrands() {
	d.errands = slices.DeleteFunc(d.errands, func(e *errand) bool {
		ok, err := e.done(d)
		if !ok && err == nil && e.next <= d.ticks {
			e.next = d.ticks + e.every
			e.try(d)
			ok, err = e.done(d)
		}
		if !ok && err == nil {
			return false
		}
		d.box.answered()
		d.answer(&e.waiter, outcome{index: d.applied, err: err})
		return true
	})
}

// read is somebody who waits to read what is committed.
type read struct {
	waiter
	index uint64
}

// reads are questions for the commit index. All that have come are asked as one;
// those that come while that is under way wait for the next one.
type reads struct {
	fresh, asked []*read
	// confirmed know their index, and wait until it is applied.
	confirmed []*read
	// name is the question under way, next when it is asked again.
	name    []byte
	counter uint64
	next    uint64
}

// askForReads asks the leader up to where it has committed.
func (d *driver) askForReads() {
	r := &d.reads
	if len(r.asked) == 0 {
		if len(r.fresh) == 0 {
			return
		}
		r.asked, r.fresh = r.fresh, nil
		r.counter++
		r.next = 0
		r.name = nil
		for _, v := range []uint64{uint64(d.o.ID), d.disk.now.incarnation, r.counter} {
			r.name = binary.LittleEndian.AppendUint64(r.name, v)
		}
	}
	if r.next <= d.ticks && d.known.leader != 0 {
		// The same name again does no harm: whatever is answered was committed after all
		// who wait for it had asked.
		r.next = d.ticks + uint64(d.o.ElectionTicks)
		d.node.ReadIndex(r.name)
	}
}

// confirmReads takes an answer.
func (d *driver) confirmReads(answer raft.ReadState) {
	r := &d.reads
	if len(r.asked) == 0 || !bytes.Equal(answer.RequestCtx, r.name) {
		return
	}
	for _, x := range r.asked {
		x.index = answer.Index
	}
	r.confirmed = append(r.confirmed, r.asked...)
	r.asked = nil
}

// releaseReads lets those read whose index is applied.
func (d *driver) releaseReads() {
	d.reads.confirmed = slices.DeleteFunc(d.reads.confirmed, func(r *read) bool {
		if r.index > d.applied {
			return false
		}
		d.box.answered()
		d.answer(&r.waiter, outcome{index: r.index})
		return true
	})
}

// end tells everybody who waits.
func (d *driver) end(err error) {
	o := outcome{err: err}
	d.resolveAll(o)
	for _, e := range d.errands {
		d.answer(&e.waiter, o)
	}
	for _, list := range [][]*read{d.reads.fresh, d.reads.asked, d.reads.confirmed} {
		for _, r := range list {
			d.answer(&r.waiter, o)
		}
	}
	d.giveAnswers()
	if d.announced.leader != 0 {
		d.o.OnLeader(0, false)
	}
}

// bestVoter is the voter with the most entries that was heard of lately, the lowest
// ID of several; 0 when there is none but the leader.
func (d *driver) bestVoter() topology.PeerID {
	var best topology.PeerID
	var match uint64
	progress := d.node.Status().Progress
	for _, id := range d.members.voters {
		p := progress[uint64(id)]
		if id != d.o.ID && p.RecentActive && (best == 0 || p.Match > match) {
			best, match = id, p.Match
		}
	}
	return best
}

// handOver has another voter lead, and tells whether there is one that can.
func (d *driver) handOver() bool {
	to := d.bestVoter()
	if to != 0 {
		d.node.TransferLeader(uint64(to))
	}
	return to != 0
}

// giveVote has a learner vote that is to lead, once it has what that needs. Another one loses its vote afterwards.
func (d *driver) giveVote(id topology.PeerID) {
	all := d.progress()
	i := slices.IndexFunc(all, func(m Member) bool { return m.ID == id })
	change := Change{Promote, id}
	if d.leads() && i >= 0 && all[i].Ready && Survives(change, all) {
		_ = d.node.ProposeConfChange(change.conf()) // it is tried again
	}
}
