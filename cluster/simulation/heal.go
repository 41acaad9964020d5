package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// healing is how the end goes: when all is well for a while, clients write and read once
// more, and then everything must come to rest.
type healing struct {
	begun, until time.Duration
	// well is since when nothing is wrong, commands how many there were then.
	well     time.Duration
	commands int
	// last are the last writes and reads.
	lastWrites []*write
	lastReads  []*read
	tested     bool
}

const (
	// restFor is for how long nothing may happen in the end.
	restFor = 8 * time.Second
	// look is how often somebody looks.
	look = 250 * time.Millisecond
)

// beginHealing ends all faults.
func (w *world) beginHealing() {
	w.trace("faults end")
	w.calm = true
	w.mend()
	for _, n := range w.nodes {
		n.paused, n.stalled, n.full = min(n.paused, w.now), min(n.stalled, w.now), false
		if n.proc == nil && !n.gone {
			w.after(w.around(200*time.Millisecond), n.launch)
		}
	}
	h := &w.heal
	h.begun, h.until, h.well = w.now, w.now+15*time.Minute, w.now
	if w.plan.Quick {
		h.until = w.now + 2*time.Minute
	}
	w.after(look, w.lookAfter)
}

// lookAfter waits until all is well and stays so.
func (w *world) lookAfter() {
	h := &w.heal
	why := w.unwell()
	if why == "" && h.commands == len(w.raft.log) && !h.tested && w.now-h.well > time.Second {
		w.tally["healed"]++
		w.tally["healing ms"] += int((w.now - h.begun) / time.Millisecond)
		w.lastTest()
		why = "the last writes aren't answered"
	}
	if why != "" || h.commands != len(w.raft.log) {
		h.well, h.commands = w.now, len(w.raft.log)
	}
	switch {
	case w.now > h.until:
		if why == "" {
			why = "there is no rest"
		}
		w.violate("%s after the last fault: %s", w.now-h.begun, why)
	case h.tested && w.now-h.well >= restFor:
		w.checkRest()
		w.done = true
		return
	}
	for _, s := range w.shards {
		w.rescue(s)
	}
	for i, x := range h.lastWrites {
		if x.over && !x.acked { // Too much was under way.
			h.lastWrites[i] = w.beginWrite(w.anyUp().proc, x.shard, true)
		}
	}
	w.after(look, w.lookAfter)
}

// rescue gives up what is lost of a shard of which every copy in sync is lost.
func (w *world) rescue(s *shardTruth) {
	rec := w.record(s)
	if rec == nil || len(rec.InSync) > 0 || !s.hurt || len(rec.Replicas) == 0 {
		return
	}
	rep := rec.Replicas[w.rnd.IntN(len(rec.Replicas))]
	if rep.Created && w.chance(200) {
		w.admin(topology.ForceLeader{Shard: s.name, Peer: rep.Peer, AcceptDataLoss: true}, func(error) {})
	}
}

// lastTest has clients write and read at a healthy cluster.
func (w *world) lastTest() {
	h := &w.heal
	h.tested = true
	for _, s := range w.shards {
		n := w.anyUp()
		h.lastWrites = append(h.lastWrites, w.beginWrite(n.proc, s, true))
		h.lastReads = append(h.lastReads, w.beginRead(n.proc, s, true), w.beginRead(n.proc, s, false))
	}
}

// unwell tells what isn't as it should be, "" when all is well.
func (w *world) unwell() string {
	usable := 0
	for _, p := range w.raft.master.Peers() {
		n := w.node(p.ID)
		if n == nil || n.proc == nil || p.Fenced || p.Incarnation != n.proc.inc {
			return fmt.Sprintf("node %d isn't registered", p.ID)
		}
		if !p.Draining {
			usable++
		}
	}
	for _, n := range w.nodes {
		if !n.gone && (!n.joined || n.proc == nil || n.proc.view.index != uint64(len(w.raft.log))) {
			return fmt.Sprintf("node %d is behind", n.id)
		}
		if n.draining && !n.gone {
			return fmt.Sprintf("node %d isn't drained", n.id)
		}
	}
	for _, s := range w.shards {
		if why := w.unwellShard(s, min(usable, w.plan.Copies)); why != "" {
			return why
		}
	}
	for i, x := range w.heal.lastWrites {
		if !x.acked {
			return fmt.Sprintf("last write %d isn't done", i)
		}
	}
	for i, x := range w.heal.lastReads {
		if !x.answered {
			return fmt.Sprintf("last read %d isn't answered", i)
		}
	}
	return ""
}

func (w *world) unwellShard(s *shardTruth, copies int) string {
	rec := w.record(s)
	if rec == nil {
		return "a shard isn't there"
	}
	if rec.Leader == 0 || len(rec.InSync) != copies || len(rec.Replicas) != copies {
		return fmt.Sprintf("shard %d has leader %d, copies %v, in sync are %v, of %d", rec.ID, rec.Leader, rec.Replicas, rec.InSync, copies)
	}
	t := s.now()
	for _, rep := range rec.Replicas {
		n := w.node(rep.Peer)
		if n == nil || n.proc == nil || n.proc.replica(s.name) == nil {
			return fmt.Sprintf("shard %d: node %d has no copy", rec.ID, rep.Peer)
		}
		switch r := n.proc.replica(s.name); {
		case !r.sm.Readable():
			return fmt.Sprintf("shard %d: node %d can't be read", rec.ID, rep.Peer)
		case r.applied != t.end():
			return fmt.Sprintf("shard %d: node %d has applied %d of %d", rec.ID, rep.Peer, r.applied, t.end())
		case r.log.last().Seq != t.end():
			return fmt.Sprintf("shard %d: node %d has %d entries, %d are committed", rec.ID, rep.Peer, r.log.last().Seq, t.end())
		case !r.sm.IsIdle():
			return fmt.Sprintf("shard %d: node %d isn't idle", rec.ID, rep.Peer)
		}
	}
	return ""
}

// checkRest: nothing was said for a while, all copies are equal, and everything that was
// acknowledged is there.
func (w *world) checkRest() {
	if w.now-w.silence < restFor/2 {
		w.violate("copies still talk")
	}
	for _, s := range w.shards {
		t, rec := s.now(), w.record(s)
		var want []byte
		for i, rep := range rec.Replicas {
			r := w.node(rep.Peer).proc.replica(s.name)
			if r.points != t.states[t.end()] {
				w.violate("node %d has another state of shard %d in the end", rep.Peer, rec.ID)
			}
			got := r.recent.AppendTo(nil)
			if i > 0 && !slices.Equal(got, want) {
				w.violate("node %d remembers other operations of shard %d", rep.Peer, rec.ID)
			}
			want = got
		}
	}
	master := w.hashOf(w.raft.master)
	for _, n := range w.nodes {
		if !n.gone && w.hashOf(n.proc.view.State) != master {
			w.violate("node %d has another topology in the end", n.id)
		}
	}
}
