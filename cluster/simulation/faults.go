package simulation

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// beginFaults has bad luck strike until its time is up.
func (w *world) beginFaults() {
	kinds := w.kinds()
	var next func()
	next = func() {
		if w.calm {
			return
		}
		if len(kinds) > 0 {
			kinds[w.rnd.IntN(len(kinds))]()
		}
		w.after(w.around(w.plan.Every)+time.Millisecond, next)
	}
	w.after(w.around(w.plan.Every), next)
	w.after(w.plan.Faults, w.beginHealing)
}

// kinds are the faults of the plan; what is listed more often happens more often.
func (w *world) kinds() (all []func()) {
	add := func(times int, on bool, f func()) {
		for range times {
			if on {
				all = append(all, f)
			}
		}
	}
	p := &w.plan
	add(6, p.Crashes, w.crashOne)
	add(1, p.Crashes, w.crashAll)
	add(3, p.Crashes, w.pauseOne)
	add(5, p.Partitions, w.cutOff)
	add(3, p.Partitions, w.cutLink)
	add(4, p.Partitions, w.mend)
	add(2, p.Partitions, w.slowLink)
	add(3, p.Disks, w.stall)
	add(3, p.Disks, w.fill)
	add(3, p.Wrong, w.fenceWrongly)
	add(2, true, w.handOver)
	add(1, true, w.moveRaft)
	add(3, p.Members, w.moveCopy)
	add(1, p.Members, w.dropCopy)
	add(2, p.Members, w.newNode)
	add(2, p.Members, w.drainOne)
	add(2, p.Wipes, w.loseCopy)
	add(2, p.Wipes, w.wipe)
	add(4, p.Loss, w.giveUpData)
	add(1, p.Loss, w.crashAll)
	return all
}

// some returns a node that isn't gone.
func (w *world) some() *node {
	all := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n.gone })
	return all[w.rnd.IntN(len(all))]
}

func (w *world) crashOne() { w.crashNode(w.some()) }

func (w *world) crashNode(n *node) {
	if n.proc == nil {
		return
	}
	n.crash()
	w.after(w.around(400*time.Millisecond), n.launch)
}

func (w *world) crashAll() {
	if w.chance(700) {
		return
	}
	for _, n := range w.nodes {
		w.crashNode(n)
	}
}

func (w *world) pauseOne() {
	n := w.some()
	n.paused = w.now + w.around(700*time.Millisecond)
	w.trace("%d is paused until %s", n.id, n.paused)
	w.tally["pauses"]++
}

// cutOff cuts a node off from all others, or some from some.
func (w *world) cutOff() {
	w.tally["partitions"]++
	side := map[*node]bool{w.some(): true}
	if w.chance(300) {
		side[w.some()] = true
	}
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if side[a] != side[b] {
				w.link(a, b).cut = true
			}
		}
	}
	w.trace("partition")
	if w.chance(700) {
		w.after(w.around(time.Second), w.mend)
	}
}

// cutLink cuts one way between two nodes, or both.
func (w *world) cutLink() {
	a, b := w.some(), w.some()
	if a == b {
		return
	}
	w.tally["cut links"]++
	w.link(a, b).cut = true
	if w.chance(500) {
		w.link(b, a).cut = true
	}
	w.trace("no way from %d to %d", a.id, b.id)
	lasts := w.around(800 * time.Millisecond)
	if w.chance(300) {
		lasts += 2 * w.plan.silence() // so long that both notice
	}
	w.after(lasts, func() { w.link(a, b).cut, w.link(b, a).cut = false, false })
}

func (w *world) mend() {
	w.trace("links are mended")
	for i := range w.links {
		for k := range w.links[i] {
			w.links[i][k].cut, w.links[i][k].slow = false, 0
		}
	}
}

func (w *world) slowLink() {
	w.link(w.some(), w.some()).slow = w.between(20*time.Millisecond, 400*time.Millisecond)
}

func (w *world) stall() {
	n := w.some()
	n.stalled, n.stalledSince = w.now+w.around(600*time.Millisecond), w.now
	w.tally["stalls"]++
	w.trace("disk of %d stalls until %s", n.id, n.stalled)
}

func (w *world) fill() {
	n := w.some()
	n.full = true
	w.tally["full disks"]++
	w.trace("disk of %d is full", n.id)
	w.after(w.around(800*time.Millisecond), func() { n.full = false })
}

// fenceWrongly declares a node gone that isn't.
func (w *world) fenceWrongly() {
	if p := w.raft.master.Peer(w.some().id); p != nil {
		w.admin(topology.FencePeers{Sessions: []topology.Session{{Peer: p.ID, Incarnation: p.Incarnation}}}, func(error) {})
	}
}

// handOver asks a leader to hand over.
func (w *world) handOver() {
	n := w.some()
	n.soon(0, func(p *proc) {
		for _, r := range slices.Clone(p.replicas) {
			r.step(replication.Transfer{})
		}
	})
}

// moveRaft has another node lead the consensus.
func (w *world) moveRaft() { w.raft.leader = nil }

// anyShard returns a record.
func (w *world) anyShard() (*shardTruth, *topology.Shard) {
	s := w.shards[w.rnd.IntN(len(w.shards))]
	return s, w.record(s)
}

// moveCopy has a user move a copy, or make another one.
func (w *world) moveCopy() {
	s, rec := w.anyShard()
	if len(rec.InSync) == 0 {
		return
	}
	from, to := rec.InSync[w.rnd.IntN(len(rec.InSync))], w.some().id
	w.admin(topology.StartTransfer{Shard: s.name, From: from, To: to, Move: w.chance(700), ByUser: true}, func(error) {})
}

func (w *world) dropCopy() {
	s, rec := w.anyShard()
	if len(rec.Replicas) > 1 {
		w.admin(topology.DropReplica{Shard: s.name, Peer: rec.Replicas[w.rnd.IntN(len(rec.Replicas))].Peer}, func(error) {})
	}
}

// newNode has another node join.
func (w *world) newNode() {
	there := 0
	for _, n := range w.nodes {
		if !n.gone {
			there++
		}
	}
	if there < w.plan.Nodes+2 {
		w.tally["new nodes"]++
		n := w.addNode()
		w.trace("%d is new", n.id)
		n.launch()
	}
}

// drainOne has a node taken out of the cluster, if enough are left.
func (w *world) drainOne() {
	left := 0
	for _, n := range w.nodes {
		if !n.gone && n.joined && !n.draining {
			left++
		}
	}
	n := w.some()
	if left > w.plan.Copies && left > 2 && n.joined && !n.draining {
		n.draining = true
		w.tally["drains"]++
		w.drain(n)
	}
}

func (w *world) drain(n *node) {
	w.admin(topology.DrainPeer{Peer: n.id, Draining: true}, func(err error) {
		if err != nil && !n.gone {
			w.after(200*time.Millisecond, func() { w.drain(n) })
		}
	})
}

// drained removes a node that holds nothing any more.
func (w *world) drained(id topology.PeerID) {
	if n := w.node(id); n != nil && n.draining && !n.gone {
		w.after(w.around(50*time.Millisecond), func() { w.removeNode(n) })
	}
}

func (w *world) removeNode(n *node) {
	if n.gone {
		return
	}
	if w.raft.master.Removed(n.id) {
		n.gone, n.voter, n.proc = true, false, nil
		w.tally["removed"]++
		return
	}
	again := func() { w.after(200*time.Millisecond, func() { w.removeNode(n) }) }
	if !w.most(n, (*node).isUp) { // the consensus waits until most of those that would be left answer
		again()
		return
	}
	w.admin(topology.RemovePeer{Peer: n.id}, func(error) { again() })
}

// mayLose tells whether a shard has another copy with everything whose disk is there.
func (w *world) mayLose(s *shardTruth, n *node) bool {
	rec := w.record(s)
	if rec == nil || !rec.IsInSync(n.id) {
		return true
	}
	for _, id := range rec.InSync {
		rep, _ := rec.Replica(id)
		if o := w.node(id); o != nil && o != n && o.disk.copies[s.name] != nil && o.disk.copies[s.name].alloc == rep.Alloc {
			return true
		}
	}
	return false
}

// loseCopy loses the directory of one copy.
func (w *world) loseCopy() {
	n, s := w.some(), w.shards[w.rnd.IntN(len(w.shards))]
	if n.disk.copies[s.name] == nil || !w.mayLose(s, n) {
		return
	}
	w.crashNode(n)
	w.tally["lost copies"]++
	w.trace("%d loses its copy of %d", n.id, s.name.Shard)
	s.hurt = true
	delete(n.disk.copies, s.name)
}

// wipe loses a disk. The machine comes back as another node. Nodes that drain may be removed at any moment, and don't count
// as votes that are left.
func (w *world) wipe() {
	n := w.some()
	all, stay := 1, 0
	for _, o := range w.nodes {
		if !o.voter || o.gone || o == n {
			continue
		}
		all++
		if !o.draining {
			stay++
		}
	}
	if !n.joined || 2*stay <= all || len(w.raft.ghosts) > 0 {
		return
	}
	for _, s := range w.shards {
		if !w.mayLose(s, n) {
			return
		}
	}
	for _, s := range w.shards {
		s.hurt = true
	}
	w.trace("%d loses its disk", n.id)
	w.tally["lost disks"]++
	n.crash()
	w.raft.ghosts[n.id] = true
	if w.raft.leader == n {
		w.raft.leader = nil
	}
	w.nextID++
	n.id, n.joined, n.voter, n.draining = w.nextID, false, false, false
	n.disk = disk{copies: map[topology.ShardName]*diskCopy{}, topology: view{State: &topology.State{}}}
	w.after(w.around(time.Second), n.launch)
}

// giveUpData has a copy lead that may not have everything, where nobody leads.
func (w *world) giveUpData() {
	s, rec := w.anyShard()
	if rec.Leader == 0 && len(rec.Replicas) > 0 {
		s.hurt = true
		to := rec.Replicas[w.rnd.IntN(len(rec.Replicas))].Peer
		w.admin(topology.ForceLeader{Shard: s.name, Peer: to, AcceptDataLoss: true}, func(error) {})
	}
}
