package controller_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/topology"
)

const step = 100 * time.Millisecond

// world is a toy cluster: records as the topology keeps them, nodes that beat or don't,
// transfers that take a while. Node 1 is the controller's own.
type world struct {
	now     time.Duration
	version uint64
	nodes   []*toyNode
	cols    []*toyCollection
	c       *controller.Controller
	// twin, if any, is told what c is told.
	twin *controller.Controller
	// fill is how long a transfer takes; failing are nodes to which every transfer fails.
	fill    time.Duration
	failing map[topology.PeerID]bool
	limit   int
	// asked is the version when Decide was last called.
	asked uint64
	// log gets a line for each action, fault the first broken promise.
	log   func(controller.Action)
	fault func(format string, args ...any)
}

type toyNode struct {
	topology.Peer
	up, deaf bool
	digest   controller.Digest
	beat     time.Duration
}

type toyCollection struct {
	name      string
	copies    int
	shards    []*topology.Shard
	transfers []toyTransfer
	rules     map[uint32]controller.Rule
}

type toyTransfer struct {
	controller.Transfer
	done  time.Duration
	added bool
}

func newWorld(opt controller.Options) *world {
	w := &world{c: controller.New(1, opt), fill: time.Second, failing: map[topology.PeerID]bool{}, limit: 2, version: 1}
	if opt.TransfersIn > 0 {
		w.limit = opt.TransfersIn
	}
	return w
}

func (w *world) observe(e controller.Event) {
	w.c.Observe(w.now, e)
	if w.twin != nil {
		w.twin.Observe(w.now, e)
	}
}

func (w *world) node(id topology.PeerID) *toyNode {
	for _, n := range w.nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

func (w *world) addNode(id topology.PeerID, zone string) {
	w.nodes = append(w.nodes, &toyNode{Peer: topology.Peer{ID: id, Incarnation: 1, Zone: zone}, up: true})
	slices.SortFunc(w.nodes, func(a, b *toyNode) int { return cmp.Compare(a.ID, b.ID) })
	w.version++
}

// create adds a collection; lists name the peers of each shard, the leader first.
func (w *world) create(name string, copies int, lists [][]topology.PeerID) *toyCollection {
	col := &toyCollection{name: name, copies: copies, rules: map[uint32]controller.Rule{}}
	for i, list := range lists {
		sh := &topology.Shard{ID: uint32(i), Epoch: 1, Version: 1, Leader: list[0], Preferred: list[0]}
		for _, p := range list {
			sh.Replicas = append(sh.Replicas, topology.Replica{Peer: p, Created: true})
			sh.InSync = append(sh.InSync, p)
		}
		slices.SortFunc(sh.Replicas, func(a, b topology.Replica) int { return cmp.Compare(a.Peer, b.Peer) })
		slices.Sort(sh.InSync)
		col.shards = append(col.shards, sh)
	}
	w.cols = append(w.cols, col)
	w.version++
	return col
}

func (w *world) view() controller.View {
	v := controller.View{Version: w.version, Wall: w.now.Milliseconds()}
	for _, n := range w.nodes {
		v.Peers = append(v.Peers, n.Peer)
	}
	for _, col := range w.cols {
		vc := controller.Collection{Incarnation: col.name, Copies: col.copies, Shards: col.shards, Rules: col.rules}
		for _, t := range col.transfers {
			vc.Transfers = append(vc.Transfers, t.Transfer)
		}
		slices.SortFunc(vc.Transfers, func(a, b controller.Transfer) int { return cmp.Compare(a.Shard, b.Shard) })
		v.Collections = append(v.Collections, vc)
	}
	return v
}

// alive tells whether the topology counts a node as there.
func (w *world) alive(p topology.PeerID) bool {
	n := w.node(p)
	return n != nil && !n.Fenced
}

// edit replaces a record, as the topology does.
func (w *world) edit(col *toyCollection, id uint32, f func(*topology.Shard)) {
	for i, sh := range col.shards {
		if sh.ID == id {
			next := *sh
			next.Replicas, next.InSync = slices.Clone(sh.Replicas), slices.Clone(sh.InSync)
			f(&next)
			w.settle(&next)
			next.Version++
			col.shards = slices.Clone(col.shards)
			col.shards[i] = &next
			w.version++
			return
		}
	}
}

func (w *world) settle(sh *topology.Shard) {
	if sh.Leader != 0 && sh.IsInSync(sh.Leader) && w.alive(sh.Leader) {
		return
	}
	leader := topology.PeerID(0)
	for _, p := range sh.InSync {
		if w.alive(p) && (leader == 0 || p == sh.Preferred) {
			leader = p
		}
	}
	if leader != sh.Leader {
		sh.Leader, sh.Epoch = leader, sh.Epoch+1
	}
}

func (w *world) find(s topology.ShardName) (*toyCollection, *topology.Shard) {
	for _, col := range w.cols {
		if col.name == s.Collection {
			for _, sh := range col.shards {
				if sh.ID == s.Shard {
					return col, sh
				}
			}
		}
	}
	return nil, nil
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += step
		for _, n := range w.nodes {
			if n.up && !n.deaf && n.ID != 1 && w.now >= n.beat {
				n.beat = w.now + 3*step
				w.observe(controller.Heartbeat{Process: controller.Process{Peer: n.ID, Incarnation: n.Incarnation}, Digest: n.digest})
				if n.Fenced { // it registers again, as the same process
					n.Fenced = false
					w.version++
				}
			}
		}
		w.progress()
		w.decide(false)
	}
}

// decide calls the controller when it is due or something has changed.
func (w *world) decide(always bool) {
	if !always && w.asked == w.version && w.now < w.c.NextDecision() {
		return
	}
	w.asked = w.version
	for _, a := range w.c.Decide(w.now, w.view()) {
		if w.log != nil {
			w.log(a)
		}
		w.apply(a)
	}
}

// progress ends transfers and lets copies join.
func (w *world) progress() {
	for _, col := range w.cols {
		for _, t := range slices.Clone(col.transfers) {
			from, to := w.node(t.From), w.node(t.To)
			if from == nil || to == nil {
				w.end(col, t)
				continue
			}
			if w.now < t.done || !from.up || !to.up {
				continue
			}
			w.end(col, t)
			if w.failing[t.To] {
				continue
			}
			w.edit(col, t.Shard, func(sh *topology.Shard) {
				join(sh, t.To)
				if t.Move {
					leave(sh, t.From)
					if sh.Preferred == t.From {
						sh.Preferred = t.To
					}
				}
			})
		}
		for _, sh := range slices.Clone(col.shards) {
			for _, r := range sh.Replicas {
				// A node that is back reads on in the log.
				if n := w.node(r.Peer); r.Kind == topology.Voter && !sh.IsInSync(r.Peer) && n != nil && n.up && !n.Fenced && sh.Leader != 0 && w.node(sh.Leader).up {
					w.edit(col, sh.ID, func(sh *topology.Shard) { join(sh, r.Peer) })
				}
			}
			if sh.Leader == 0 && slices.ContainsFunc(sh.InSync, w.alive) && sh.ID%2 == 0 {
				w.edit(col, sh.ID, func(*topology.Shard) {}) // a registration settles; odd ones are left to the controller
			}
		}
	}
}

func join(sh *topology.Shard, p topology.PeerID) {
	for i := range sh.Replicas {
		if sh.Replicas[i].Peer == p {
			sh.Replicas[i].Kind = topology.Voter
			sh.InSync = append(sh.InSync, p)
			slices.Sort(sh.InSync)
		}
	}
}

func leave(sh *topology.Shard, p topology.PeerID) {
	sh.Replicas = slices.DeleteFunc(sh.Replicas, func(r topology.Replica) bool { return r.Peer == p })
	sh.InSync = slices.DeleteFunc(sh.InSync, func(q topology.PeerID) bool { return q == p })
	if sh.Preferred == p {
		sh.Preferred = 0
	}
}

func (w *world) end(col *toyCollection, t toyTransfer) {
	col.transfers = slices.DeleteFunc(col.transfers, func(o toyTransfer) bool { return o.Transfer == t.Transfer })
	w.version++
}

// apply carries an action out and checks what must hold of every one.
func (w *world) apply(a controller.Action) {
	if a.Why() == "" {
		w.fault("%v has no reason", a)
	}
	switch a := a.(type) {
	case controller.Fence:
		w.fence(a)
	case controller.Relieve:
		w.relieve(a)
	case controller.Elect:
		for _, s := range a.Shards {
			col, sh := w.find(s)
			w.edit(col, sh.ID, func(*topology.Shard) {})
		}
	case controller.Hand:
		col, sh := w.find(a.Shard)
		if sh.Leader != a.From || !sh.IsInSync(a.To) || a.From == a.To {
			w.fault("%v: leader %d, in sync %v", a, sh.Leader, sh.InSync)
		}
		if w.node(a.From).up && w.node(a.To).up {
			w.edit(col, sh.ID, func(sh *topology.Shard) { sh.Leader, sh.Epoch = a.To, sh.Epoch+1 })
		}
	case controller.Replicate:
		w.replicate(a)
	case controller.Drop:
		col, sh := w.find(a.Shard)
		left := slices.DeleteFunc(slices.Clone(sh.InSync), func(p topology.PeerID) bool { return p == a.Peer })
		if sh.IsInSync(a.Peer) && !slices.ContainsFunc(left, w.alive) {
			w.fault("%v takes the last copy in sync", a)
		}
		w.edit(col, sh.ID, func(sh *topology.Shard) { leave(sh, a.Peer) })
	case controller.Abort:
		w.abort(a)
	case controller.DrainDone:
		for _, col := range w.cols {
			for _, sh := range col.shards {
				if _, ok := sh.Replica(a.Peer); ok {
					w.fault("%v: shard %d is there", a, sh.ID)
				}
			}
		}
	}
}

func (w *world) relieve(a controller.Relieve) {
	named := func(p topology.PeerID) bool {
		return slices.ContainsFunc(a.Peers, func(e controller.Process) bool { return e.Peer == p })
	}
	changed := false
	for _, col := range w.cols {
		for _, sh := range slices.Clone(col.shards) {
			left := slices.DeleteFunc(slices.Clone(sh.InSync), named)
			if len(left) == len(sh.InSync) || !slices.ContainsFunc(left, w.alive) {
				continue
			}
			changed = true
			w.edit(col, sh.ID, func(sh *topology.Shard) {
				sh.InSync = left
				if named(sh.Leader) {
					sh.Leader, sh.Epoch = left[0], sh.Epoch+1
				}
			})
		}
	}
	if !changed {
		w.fault("%v changes nothing", a)
	}
}

func (w *world) fence(a controller.Fence) {
	fenced := func(p topology.PeerID) bool {
		return slices.ContainsFunc(a.Peers, func(q controller.Process) bool { return q.Peer == p })
	}
	for _, n := range w.nodes {
		n.Fenced = n.Fenced || fenced(n.ID)
	}
	for _, col := range w.cols {
		for _, sh := range slices.Clone(col.shards) {
			w.edit(col, sh.ID, func(sh *topology.Shard) {
				if slices.ContainsFunc(sh.InSync, w.alive) {
					sh.InSync = slices.DeleteFunc(sh.InSync, fenced)
				}
			})
		}
	}
	w.version++
}

func (w *world) replicate(a controller.Replicate) {
	col, sh := w.find(a.Shard)
	if !sh.IsInSync(a.From) || sh.IsInSync(a.To) || !w.alive(a.From) || !w.alive(a.To) || w.node(a.To).Draining {
		w.fault("%v: in sync %v", a, sh.InSync)
	}
	if rule := col.rules[sh.ID]; w.now.Milliseconds() < rule.PinnedUntil && rule.Avoid == a.To {
		w.fault("%v goes back to where the user took it from", a)
	}
	_, has := sh.Replica(a.To)
	col.transfers = append(col.transfers, toyTransfer{
		Transfer: controller.Transfer{Shard: sh.ID, From: a.From, To: a.To, Move: a.Move}, done: w.now + w.fill, added: !has,
	})
	if !has {
		w.edit(col, sh.ID, func(sh *topology.Shard) {
			sh.Replicas = append(sh.Replicas, topology.Replica{Peer: a.To, Kind: topology.Joining, Created: true})
			slices.SortFunc(sh.Replicas, func(a, b topology.Replica) int { return cmp.Compare(a.Peer, b.Peer) })
		})
	}
	w.version++
	in, out, pairs := map[topology.PeerID]int{}, map[topology.PeerID]int{}, 0
	for _, col := range w.cols {
		for _, t := range col.transfers {
			in[t.To]++
			out[t.From]++
			if pairs++; t.Shard == sh.ID && col.name == a.Shard.Collection && (t.From != a.From || t.To != a.To) {
				w.fault("%v: there is a transfer from %d to %d", a, t.From, t.To)
			}
		}
	}
	if in[a.To] > w.limit || out[a.From] > w.limit {
		w.fault("%v: too many transfers: %d in, %d out", a, in[a.To], out[a.From])
	}
}

func (w *world) abort(a controller.Abort) {
	col, sh := w.find(a.Shard)
	for _, t := range slices.Clone(col.transfers) {
		if t.Shard == sh.ID && t.From == a.From && t.To == a.To {
			w.end(col, t)
			if t.added && !sh.IsInSync(t.To) {
				w.edit(col, sh.ID, func(sh *topology.Shard) { leave(sh, t.To) })
			}
			return
		}
	}
	w.fault("%v: there is none", a)
}

// String is how everything stands.
func (w *world) String() string {
	var b strings.Builder
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "node %d/%d", n.ID, n.Incarnation)
		for _, f := range []struct {
			on   bool
			name string
		}{{!n.up, "down"}, {n.Fenced, "fenced"}, {n.Draining, "draining"}} {
			if f.on {
				b.WriteString(" " + f.name)
			}
		}
		b.WriteByte('\n')
	}
	for _, col := range w.cols {
		for _, sh := range col.shards {
			fmt.Fprintf(&b, "%s/%d leader %d in sync %v", col.name, sh.ID, sh.Leader, sh.InSync)
			for _, r := range sh.Replicas {
				if !sh.IsInSync(r.Peer) {
					fmt.Fprintf(&b, " +%d%s", r.Peer, map[topology.ReplicaKind]string{topology.Joining: "(joining)"}[r.Kind])
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
