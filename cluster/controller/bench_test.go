package controller_test

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/topology"
)

// processor returns the processor time that was used so far.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f and reports the processor time of a call.
func measure(b *testing.B, f func()) {
	b.Helper()
	start := processor()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64((processor()-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// bigView is a cluster of many nodes in three zones, with 100 shards a collection.
func bigView(tb testing.TB, nodes, shards, copies int) controller.View {
	tb.Helper()
	v := controller.View{Version: 1}
	for i := range nodes {
		v.Peers = append(v.Peers, topology.Peer{ID: topology.PeerID(i + 1), Incarnation: 1, Zone: strconv.Itoa(i % 3)})
	}
	for i := range shards / 100 {
		lists := make([][]topology.PeerID, 100)
		for k := range lists {
			for n := range copies {
				lists[k] = append(lists[k], v.Peers[(i*100+k+n)%nodes].ID)
			}
		}
		w := world{}
		col := w.create(fmt.Sprintf("c%d", i), copies, lists)
		v.Collections = append(v.Collections, controller.Collection{Incarnation: col.name, Copies: copies, Shards: col.shards})
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
			measure(b, func() {
				now += time.Second
				v.Version++
				c.Decide(now, v)
			})
		})
		b.Run(fmt.Sprintf("changed/nodes=%d", nodes), func(b *testing.B) {
			c := start(controller.Options{Session: 1e6 * time.Hour, Paused: 1e6 * time.Hour})
			now := time.Hour
			measure(b, func() {
				now += time.Second
				v.Version++
				for i := range v.Collections { // every list is another one
					v.Collections[i].Shards = slices.Clone(v.Collections[i].Shards)
				}
				c.Decide(now, v)
			})
		})
		b.Run(fmt.Sprintf("gone/nodes=%d", nodes), func(b *testing.B) {
			v := gone(v, 7)
			c := start(controller.Options{Session: 1e6 * time.Hour, Paused: 1e6 * time.Hour})
			c.Decide(0, v)
			now := time.Hour
			measure(b, func() {
				now += time.Minute // what was decided before isn't remembered
				v.Version++
				c.Decide(now, v)
			})
		})
		b.Run(fmt.Sprintf("between/nodes=%d", nodes), func(b *testing.B) {
			c := start(controller.Options{Session: 1e6 * time.Hour})
			c.Decide(0, v)
			now := time.Duration(0)
			measure(b, func() {
				now += time.Nanosecond
				c.Decide(now, v)
			})
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
