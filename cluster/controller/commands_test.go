package controller_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/topology"
)

// real is a cluster whose topology is the real one: actions become commands, and none may
// be refused. Nodes do their part at once.
type cluster struct {
	t      *rapid.T
	now    time.Duration
	index  uint64
	state  topology.State
	viewer controller.Viewer
	c      *controller.Controller
	up     map[topology.PeerID]uint64
	acted  []string
}

func (r *cluster) apply(c topology.Command) {
	r.index++
	r.state.SetIndex(r.index)
	_, err := r.state.Apply(c)
	require.NoError(r.t, err, "%#v", c)
}

func (r *cluster) held(p topology.PeerID) (list []topology.HeldReplica) {
	for _, c := range r.state.Collections() {
		for _, sh := range c.Shards {
			if rep, ok := sh.Replica(p); ok && rep.Created {
				list = append(list, topology.HeldReplica{Shard: topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}, Alloc: rep.Alloc})
			}
		}
	}
	return list
}

func (r *cluster) register(p topology.PeerID) {
	incarnation := uint64(1)
	if old := r.state.Peer(p); old != nil {
		incarnation = old.Incarnation + 1
	}
	r.up[p] = incarnation
	r.apply(topology.RegisterPeer{Peer: p, URI: fmt.Sprint("http://n", p), Incarnation: incarnation, Version: 1, Held: r.held(p)})
}

// run lets time pass: nodes beat, make copies, fill them and let them join.
func (r *cluster) run(d time.Duration) {
	for end := r.now + d; r.now < end; r.now += 300 * time.Millisecond {
		for _, p := range r.state.Peers() {
			if inc := r.up[p.ID]; inc > 0 && !p.Fenced {
				r.c.Observe(r.now, controller.Heartbeat{Process: controller.Process{Peer: p.ID, Incarnation: inc}})
			}
		}
		r.fill()
		for _, a := range r.c.Decide(r.now, r.viewer.View(&r.state, r.now.Milliseconds())) {
			r.acted = append(r.acted, fmt.Sprint(r.now, " ", a))
			if h, ok := a.(controller.Hand); ok {
				r.alter(h.Shard, 0, h.To)
			} else if c, ok := controller.Command(a); ok {
				r.apply(c)
			}
		}
	}
}

// fill makes copies and lets one of each shard join.
func (r *cluster) fill() {
	for _, c := range r.state.Collections() {
		for _, sh := range c.Shards {
			name := topology.ShardName{Collection: c.Incarnation, Shard: sh.ID}
			for _, rep := range sh.Replicas {
				if r.up[rep.Peer] == 0 || r.state.Peer(rep.Peer).Fenced {
					continue
				}
				if !rep.Created {
					r.apply(topology.ReplicasCreated{Peer: rep.Peer, Copies: []topology.HeldReplica{{Shard: name, Alloc: rep.Alloc}}})
				}
				if !sh.IsInSync(rep.Peer) {
					r.alter(name, rep.Peer, 0)
					break
				}
			}
		}
	}
}

// alter lets the leader add a copy or hand over.
func (r *cluster) alter(name topology.ShardName, add, lead topology.PeerID) {
	sh := r.state.Shard(name)
	if sh == nil || sh.Leader == 0 || r.up[sh.Leader] == 0 {
		return
	}
	a := topology.AlterInSync{Shard: name, Proposer: sh.Leader, Epoch: sh.Epoch, Version: sh.Version, InSync: slices.Clone(sh.InSync), Leader: lead}
	if add != 0 {
		rep, _ := sh.Replica(add)
		a.InSync = append(a.InSync, add)
		a.Allocs = map[topology.PeerID]topology.AllocID{add: rep.Alloc}
	}
	r.apply(a)
}

func (r *cluster) create(name string, shards, copies int, on []topology.PeerID) {
	config, err := topology.NewConfig(&pb.CreateCollection{
		CollectionName: name, ReplicationFactor: new(uint32(copies)),
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}),
	}, topology.Defaults{})
	require.NoError(r.t, err)
	col := &topology.Collection{Name: name, Incarnation: name + "-1", Config: config}
	var lists [][]topology.PeerID
	for id := range shards {
		col.Shards = append(col.Shards, &topology.Shard{ID: uint32(id)})
		lists = append(lists, []topology.PeerID{on[id%len(on)]})
	}
	r.apply(topology.CreateCollection{Collection: col, Placement: lists})
}

// The topology takes every command, and the cluster becomes what it should be.
func TestTheTopologyTakesEveryCommand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &cluster{t: t, c: controller.New(1, quickly()), up: map[topology.PeerID]uint64{}}
		r.c.Observe(0, controller.BecameLeader{})
		n := rapid.IntRange(2, 6).Draw(t, "nodes")
		var ids []topology.PeerID
		for i := range n {
			ids = append(ids, topology.PeerID(i+1))
			r.register(ids[i])
		}
		copies := rapid.IntRange(1, 3).Draw(t, "copies")
		r.create("c", rapid.IntRange(1, 8).Draw(t, "shards"), copies, ids[:rapid.IntRange(1, n).Draw(t, "on")])
		for range rapid.IntRange(0, 8).Draw(t, "troubles") {
			r.run(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			p := ids[rapid.IntRange(1, n-1).Draw(t, "node")]
			switch rapid.IntRange(0, 3).Draw(t, "trouble") {
			case 0:
				r.up[p] = 0
			case 1:
				r.register(p)
			case 2:
				r.apply(topology.DrainPeer{Peer: p, Draining: true})
			case 3:
				r.apply(topology.DrainPeer{Peer: p})
			}
		}
		stays := 0
		for _, p := range ids {
			if r.up[p] == 0 {
				r.register(p)
			}
			if !r.state.Peer(p).Draining {
				stays++
			}
		}
		r.run(2 * time.Minute)
		r.acted = nil
		r.run(time.Minute)
		require.Empty(t, r.acted)
		for _, sh := range r.state.Collections()[0].Shards {
			require.Len(t, sh.InSync, min(copies, stays))
			require.Len(t, sh.Replicas, min(copies, stays))
			require.NotZero(t, sh.Leader)
		}
	})
}
