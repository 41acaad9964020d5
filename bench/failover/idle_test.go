package main

import (
	"testing"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

// standing is what is known of two collections; every call makes new values.
func standing(change func(*clusterbed.Copy)) [][]clusterbed.Copy {
	lag := uint64(0)
	one := clusterbed.Copy{Shard: 1, Peer: 2, State: "Active", Leader: 2, InSync: []uint64{2, 3}, Lag: &lag}
	other := clusterbed.Copy{Shard: 1, Peer: 3, State: "Active", Leader: 2, InSync: []uint64{2, 3}}
	change(&one)
	return [][]clusterbed.Copy{{one, other}, {other}}
}

// TestAtRest: a cluster is at rest when all copies are active and what is known of them stays.
func TestAtRest(t *testing.T) {
	same := func(*clusterbed.Copy) {}
	for _, tc := range []struct {
		name        string
		before, now func(*clusterbed.Copy)
		want        bool
	}{
		{"the same", same, same, true},
		{"another leader", same, func(c *clusterbed.Copy) { c.Leader = 3 }, false},
		{"fewer in sync", same, func(c *clusterbed.Copy) { c.InSync = c.InSync[:1] }, false},
		{"another lag", same, func(c *clusterbed.Copy) { *c.Lag = 7 }, false},
		{"a copy that isn't active", func(c *clusterbed.Copy) { c.State = "Partial" }, func(c *clusterbed.Copy) { c.State = "Partial" }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := atRest(standing(tc.before), standing(tc.now)); got != tc.want {
				t.Errorf("at rest: %t, want %t", got, tc.want)
			}
		})
	}
	if atRest(nil, standing(same)) {
		t.Error("at rest after one look")
	}
}
