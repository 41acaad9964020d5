package controller_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/placement"
	"github.com/sextantdb/sextant/cluster/topology"
)

// bigView is a cluster of many nodes in three zones, with 100 shards a collection.
func bigView(tb testing.TB, nodes, shards, copies int) controller.View {
	tb.Helper()
	v := controller.View{Version: 1}
	var peers []placement.Peer
	for i := range nodes {
		zone := fmt.Sprint(i % 3)
		v.Peers = append(v.Peers, topology.Peer{ID: topology.PeerID(i + 1), Incarnation: 1, Zone: zone})
		peers = append(peers, placement.Peer{ID: topology.PeerID(i + 1), Zone: zone})
	}
	for i := range shards / 100 {
		name := fmt.Sprintf("c%d", i)
		lists, err := placement.Place(placement.Request{Shards: 100, Copies: copies, Seed: name}, peers)
		require.NoError(tb, err)
		w := world{}
		for _, list := range lists {
			for _, p := range list {
				peers[p-1].Replicas++
			}
			peers[list[0]-1].Leads++
		}
		col := w.create(name, copies, lists)
		v.Collections = append(v.Collections, controller.Collection{Incarnation: name, Copies: copies, Shards: col.shards})
	}
	return v
}

// BenchmarkDecide is a look at 100,000 shards with 3 copies each.
func BenchmarkDecide(b *testing.B) {
	for _, nodes := range []int{10, 1000} {
		v := bigView(b, nodes, 100_000, 3)
		start := func(opt controller.Options) *controller.Controller {
			c := controller.New(1, opt)
			c.Decide(0, v)
			c.Observe(0, controller.BecameLeader{})
			return c
		}
		b.Run(fmt.Sprintf("calm/nodes=%d", nodes), func(b *testing.B) {
			c := start(controller.Options{Session: 1e6 * time.Hour, Paused: 1e6 * time.Hour})
			now := time.Hour
			for b.Loop() {
				now += time.Second
				v.Version++
				c.Decide(now, v)
			}
		})
		b.Run(fmt.Sprintf("gone/nodes=%d", nodes), func(b *testing.B) {
			v := gone(v, 7)
			c := start(controller.Options{Session: 1e6 * time.Hour, Paused: 1e6 * time.Hour})
			c.Decide(0, v)
			now := time.Hour
			for b.Loop() {
				now += time.Minute // what was decided before isn't remembered
				v.Version++
				c.Decide(now, v)
			}
		})
		b.Run(fmt.Sprintf("between/nodes=%d", nodes), func(b *testing.B) {
			c := start(controller.Options{Session: 1e6 * time.Hour})
			c.Decide(0, v)
			now := time.Duration(0)
			for b.Loop() {
				now += time.Nanosecond
				c.Decide(now, v)
			}
		})
	}
}

// gone is the view with one node fenced.
func gone(v controller.View, id topology.PeerID) controller.View {
	w := world{}
	for _, p := range v.Peers {
		w.nodes = append(w.nodes, &toyNode{Peer: p})
	}
	for _, col := range v.Collections {
		w.cols = append(w.cols, &toyCollection{name: col.Incarnation, copies: col.Copies, shards: col.Shards})
	}
	w.fence(controller.Fence{Peers: []controller.Process{{Peer: id, Incarnation: 1}}})
	return w.view()
}
