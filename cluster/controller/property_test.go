package controller_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/topology"
)

// quickly are options with which little virtual time has to pass.
func quickly() controller.Options {
	return controller.Options{
		ReplicaGrace: 20 * time.Second, TransferGrace: 5 * time.Second, TransferStall: 30 * time.Second,
		Backoff: time.Second, MaxBackoff: 20 * time.Second, LeaderQuiet: 5 * time.Second, ReplicaQuiet: 10 * time.Second,
	}
}

// drawWorld makes a cluster whose shards are anywhere.
func drawWorld(t *rapid.T) *world {
	w := newWorld(quickly())
	// Some transfers are over before the controller sees them.
	w.fill = time.Duration(rapid.IntRange(0, 10).Draw(t, "fill")) * step
	zones := rapid.IntRange(1, 3).Draw(t, "zones")
	n := rapid.IntRange(1, 7).Draw(t, "nodes")
	ids := make([]topology.PeerID, n)
	for i := range ids {
		ids[i] = topology.PeerID(i + 1)
		w.addNode(ids[i], fmt.Sprintf("z%d", rapid.IntRange(1, zones).Draw(t, "zone")))
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "collections") {
		copies := rapid.IntRange(1, 3).Draw(t, "copies")
		lists := make([][]topology.PeerID, rapid.IntRange(1, 12).Draw(t, "shards"))
		for k := range lists {
			held := min(n, rapid.IntRange(1, 3).Draw(t, "held"))
			lists[k] = rapid.Permutation(ids).Draw(t, "peers")[:held]
		}
		w.create(fmt.Sprintf("c%d", i), copies, lists)
	}
	return w
}

// trouble does something to the cluster.
func (w *world) trouble(t *rapid.T) {
	n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
	own := n.ID == 1 // the controller's own node stays, or nobody would decide
	switch kind := rapid.IntRange(0, 10).Draw(t, "trouble"); {
	case kind == 0 && !own:
		n.up = false
	case kind == 1 && !own:
		w.restart(n)
	case kind == 2 && !own:
		n.deaf = !n.deaf
	case kind == 3:
		n.Draining = !n.Draining
	case kind == 4 && len(w.nodes) < 9:
		w.addNode(w.nodes[len(w.nodes)-1].ID+1, n.Zone)
	case kind == 5:
		col := w.cols[rapid.IntRange(0, len(w.cols)-1).Draw(t, "collection")]
		col.copies = rapid.IntRange(1, 4).Draw(t, "copies")
	case kind == 6:
		w.failing[n.ID] = !w.failing[n.ID]
	case kind == 7 && !own && !n.up:
		w.observe(controller.Refused{By: 1, Process: controller.Process{Peer: n.ID, Incarnation: n.Incarnation}})
	case kind == 8 && !own && !n.up && n.Fenced:
		w.remove(n)
	case kind == 9:
		w.fill = time.Duration(rapid.IntRange(0, 100).Draw(t, "fill")) * step
	case kind == 10:
		w.loseDisk(n)
	}
	w.version++
}

func (w *world) restart(n *toyNode) {
	n.up, n.Fenced = true, false
	n.Incarnation++
	w.version++
}

// remove takes a node out by force.
func (w *world) remove(n *toyNode) {
	w.nodes = slices.DeleteFunc(w.nodes, func(o *toyNode) bool { return o == n })
	for _, col := range w.cols {
		for _, sh := range slices.Clone(col.shards) {
			if _, ok := sh.Replica(n.ID); ok {
				w.edit(col, sh.ID, func(sh *topology.Shard) { leave(sh, n.ID) })
			}
		}
	}
}

// loseDisk makes a node's copies new ones (R14), but not the last ones in sync.
func (w *world) loseDisk(n *toyNode) {
	for _, col := range w.cols {
		for _, sh := range slices.Clone(col.shards) {
			if !sh.IsInSync(n.ID) || len(sh.InSync) == 1 {
				continue
			}
			preferred := sh.Preferred
			w.edit(col, sh.ID, func(sh *topology.Shard) {
				leave(sh, n.ID)
				sh.Preferred = preferred
				sh.Replicas = append(sh.Replicas, topology.Replica{Peer: n.ID, Kind: topology.Joining, Created: true})
				slices.SortFunc(sh.Replicas, func(a, b topology.Replica) int { return int(a.Peer) - int(b.Peer) })
			})
		}
	}
}

func (w *world) heal() {
	w.failing = map[topology.PeerID]bool{}
	for _, n := range w.nodes {
		n.deaf = false
		if !n.up {
			w.restart(n)
		}
	}
	w.fill = min(w.fill, time.Second)
	w.version++
}

// Whatever happens, no action breaks a promise (world.apply checks each); and when it is
// over, every shard becomes what it should be and then nothing is done any more.
func TestEverythingComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.fault = t.Fatalf
		w.observe(controller.BecameLeader{})
		for range rapid.IntRange(0, 15).Draw(t, "troubles") {
			w.run(time.Duration(rapid.IntRange(1, 300).Draw(t, "steps")) * step)
			w.trouble(t)
		}
		w.heal()
		w.run(4 * time.Minute)
		var late []string
		w.log = func(a controller.Action) { late = append(late, a.String()) }
		w.run(2 * time.Minute)
		require.Empty(t, late, "%v", w)
		w.mustBeWhole(t)
	})
}

func (w *world) mustBeWhole(t *rapid.T) {
	stays := map[topology.PeerID]bool{}
	zones := map[topology.PeerID]string{}
	for _, n := range w.nodes {
		zones[n.ID] = n.Zone
		if !n.Draining {
			stays[n.ID] = true
		}
	}
	for _, col := range w.cols {
		require.Empty(t, col.transfers)
		for _, sh := range col.shards {
			if len(sh.InSync) == 0 {
				continue // lost with a node that was removed by force
			}
			require.NotZero(t, sh.Leader, "%v", w)
			if len(stays) == 0 {
				continue // there is nowhere to go
			}
			require.Len(t, sh.Replicas, min(col.copies, len(stays)), "%s/%d\n%v", col.name, sh.ID, w)
			require.Len(t, sh.InSync, len(sh.Replicas), "%s/%d\n%v", col.name, sh.ID, w)
			for _, p := range sh.InSync {
				require.True(t, stays[p], "%s/%d is on draining peer %d\n%v", col.name, sh.ID, p, w)
			}
		}
	}
	w.mustBeEven(t, stays, zones)
}

// mustBeEven: with one zone and one collection nothing stands in the way of even counts.
func (w *world) mustBeEven(t *rapid.T, stays map[topology.PeerID]bool, zones map[topology.PeerID]string) {
	one := map[string]bool{}
	for p := range stays {
		one[zones[p]] = true
	}
	if len(w.cols) > 1 || len(one) > 1 || len(stays) == 0 {
		return
	}
	copies, leads := map[topology.PeerID]int{}, map[topology.PeerID]int{}
	for _, sh := range w.cols[0].shards {
		leads[sh.Leader]++
		for _, r := range sh.Replicas {
			copies[r.Peer]++
		}
	}
	least, most := 1000, 0
	for p := range stays {
		least, most = min(least, copies[p]), max(most, copies[p])
	}
	require.LessOrEqual(t, most-least, 2, "%v", w)
}

// The same calls give the same actions.
func TestDecisionsDependOnNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.fault = t.Fatalf
		twin := controller.New(1, quickly())
		w.twin = twin
		w.observe(controller.BecameLeader{})
		for range 30 {
			w.now += step * time.Duration(rapid.IntRange(1, 9).Draw(t, "steps"))
			v := w.view()
			a, b := w.c.Decide(w.now, v), twin.Decide(w.now, v)
			require.Equal(t, fmt.Sprint(a), fmt.Sprint(b))
			require.Equal(t, w.c.NextDecision(), twin.NextDecision())
			for _, a := range a {
				w.apply(a)
			}
			if rapid.IntRange(0, 4).Draw(t, "more") == 0 {
				w.trouble(t)
			}
			w.progress()
		}
	})
}

// What Place says needs no repair and no move.
func TestNewCollectionsAreBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(quickly())
		w.fault = t.Fatalf
		zones := rapid.IntRange(1, 3).Draw(t, "zones")
		n := zones * rapid.IntRange(1, 3).Draw(t, "nodes in each")
		var peers []placement.Peer
		for i := range n {
			w.addNode(topology.PeerID(i+1), strconv.Itoa(i%zones))
			peers = append(peers, placement.Peer{ID: topology.PeerID(i + 1), Zone: strconv.Itoa(i % zones)})
		}
		copies := rapid.IntRange(1, 3).Draw(t, "copies")
		lists, err := placement.Place(placement.Request{Shards: rapid.IntRange(1, 20).Draw(t, "shards"), Copies: copies, Seed: "c"}, peers)
		require.NoError(t, err)
		w.create("c", min(copies, n), lists)
		w.observe(controller.BecameLeader{})
		w.log = func(a controller.Action) {
			if _, ok := a.(controller.Replicate); ok && zones == 1 {
				t.Fatalf("%v\n%v", a, w)
			}
		}
		w.run(2 * time.Minute)
		require.Empty(t, w.c.Status().Blocked)
	})
}
