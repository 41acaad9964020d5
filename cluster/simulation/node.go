package simulation

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// node is a machine: a disk, and perhaps a process.
type node struct {
	w       *world
	machine int
	id      topology.PeerID
	disk    disk
	proc    *proc
	// joined says that the consensus knows the node, voter that it has a voice in it. gone is
	// for good.
	joined, voter, gone bool
	// paused is until when the process stands still, stalled the disk, and full says that
	// there is no room.
	paused, stalled time.Duration
	stalledSince    time.Duration
	full            bool
	// rate is how fast its clock goes, in thousandths.
	rate int64
	// draining says that an administrator wants it out of the cluster.
	draining bool
}

// proc is a process of a node: a likeness of cluster/member.
type proc struct {
	n          *node
	inc        uint64
	begun      time.Duration
	view       view
	learning   bool
	waits      map[uint64]*proposal
	heardRaft  time.Duration
	registered uint64
	// registering says that a registration is under way, following that copies are being
	// brought in step with the topology, followed the topology that they are in step with.
	registering, following bool
	followed               uint64
	replicas               []*replica // ordered by name
	ops                    map[topology.ShardName]uint64
	boss                   boss
	reach                  reach
}

// addNode makes a machine with an empty disk.
func (w *world) addNode() *node {
	w.nextID++
	n := &node{w: w, machine: len(w.links), id: w.nextID, rate: 1000}
	if w.chance(300) {
		n.rate = 900 + w.rnd.Int64N(200)
	}
	n.disk.copies = map[topology.ShardName]*diskCopy{}
	n.disk.topology.State = &topology.State{}
	w.nodes = append(w.nodes, n)
	for i := range w.links {
		w.links[i] = append(w.links[i], link{})
	}
	w.links = append(w.links, make([]link, len(w.links)+1))
	return n
}

func (n *node) isUp() bool { return n.proc != nil && n.paused <= n.w.now }

func (n *node) uri() string { return fmt.Sprintf("http://machine%d:6335", n.machine) }

// clock is a process's time.
func (p *proc) clock() time.Duration {
	return time.Duration(int64(p.n.w.now-p.begun) * p.n.rate / 1000)
}

// wait is how long it is until its clock says a time.
func (p *proc) wait(until time.Duration) time.Duration {
	return max(0, p.begun+time.Duration((int64(until)*1000+p.n.rate-1)/p.n.rate)-p.n.w.now)
}

// launch starts a process.
func (n *node) launch() {
	if n.proc != nil || n.gone {
		return
	}
	n.disk.incarnation++
	p := &proc{
		n: n, inc: n.disk.incarnation, begun: n.w.now, view: n.disk.topology, heardRaft: n.w.now,
		waits: map[uint64]*proposal{}, ops: map[topology.ShardName]uint64{}, reach: newReach(),
	}
	p.boss = boss{c: controller.New(n.id, n.w.plan.controller()), hands: map[topology.PeerID][]hand{}}
	n.proc, n.paused = p, 0
	n.w.note(2, uint64(n.id), p.inc)
	n.w.trace("%d/%d starts, knows topology %d", n.id, p.inc, p.view.index)
	if !n.joined {
		p.join()
		return
	}
	p.begin()
}

// begin begins to take part.
func (p *proc) begin() {
	p.n.soon(0, func(p *proc) { p.stayRegistered() })
	p.n.soon(p.n.w.around(p.n.w.plan.heartbeat()), (*proc).beat)
	p.n.soon(time.Second, (*proc).tidy)
}

// join asks any node to be taken in, until it is.
func (p *proc) join() {
	w := p.n.w
	if p.n.joined {
		return
	}
	p.n.soon(w.between(500*time.Millisecond, 1500*time.Millisecond), (*proc).join)
	door := w.anyUp()
	if door == nil || door == p.n || !w.linked(door, p.n) {
		return
	}
	door.proc.propose(topology.RegisterPeer{Peer: p.n.id, URI: p.n.uri(), Incarnation: p.inc, Version: 1}, time.Second, func(_ uint64, err error) {
		if err != nil || p.n.proc != p || p.n.joined {
			return
		}
		p.n.joined, p.n.voter = true, true
		w.trace("%d has joined", p.n.id)
		p.begin()
		p.learn()
	})
}

// crash ends a process. Of what it was about to store some is on disk.
func (n *node) crash() {
	p := n.proc
	if p == nil {
		return
	}
	n.w.trace("%d/%d crashes", n.id, p.inc)
	n.w.tally["crashes"]++
	for _, r := range p.replicas {
		r.tear()
	}
	n.proc = nil
	n.w.note(3, uint64(n.id))
	n.w.refuse(n, p.inc)
}

// stayRegistered registers the process, and again whenever the topology has fenced it.
func (p *proc) stayRegistered() {
	w := p.n.w
	if p.view.Removed(p.n.id) {
		w.trace("%d is removed", p.n.id)
		w.tally["removed"]++
		p.n.gone, p.n.proc, p.n.voter = true, nil, false
		return
	}
	me := p.view.Peer(p.n.id)
	if p.registering || me != nil && me.Incarnation == p.inc && !me.Fenced && p.registered > 0 {
		return
	}
	p.registering = true
	c := topology.RegisterPeer{
		Peer: p.n.id, URI: p.n.uri(), Incarnation: p.inc, Version: 1, Held: p.n.disk.held(w.shards),
	}
	p.propose(c, 5*time.Second, func(index uint64, err error) {
		p.registering = false
		if err != nil {
			w.trace("%d/%d isn't registered: %v", p.n.id, p.inc, err)
			p.registering = true
			p.n.soon(200*time.Millisecond, func(p *proc) {
				p.registering = false
				p.stayRegistered()
			})
			return
		}
		if p.registered == 0 {
			p.registered = index
		}
		p.n.soon(0, (*proc).news)
	})
}

// news is when the topology is another one.
func (p *proc) news() {
	p.stayRegistered()
	if p.n.proc != p {
		return
	}
	p.boss.poke(p)
	p.follow()
}

// follow keeps the copies in step with the topology: not with every state of it, and not at
// once.
func (p *proc) follow() {
	if p.following || p.registered == 0 || p.view.index < p.registered || p.followed == p.view.index {
		return
	}
	p.following = true
	p.n.soon(p.n.w.around(p.n.w.plan.Delay/4), (*proc).reconcile)
}

// wantedCopy is a copy that the topology puts on a node.
type wantedCopy struct {
	collection *topology.Collection
	shard      *topology.Shard
	replica    topology.Replica
}

// reconcile removes, opens and tells copies as the topology wants it.
func (p *proc) reconcile() {
	v := p.view
	wanted := map[topology.ShardName]wantedCopy{}
	var order []topology.ShardName
	for _, c := range v.Collections() {
		for _, s := range c.Shards {
			if r, ok := s.Replica(p.n.id); ok {
				name := topology.ShardName{Collection: c.Incarnation, Shard: s.ID}
				wanted[name] = wantedCopy{c, s, r}
				order = append(order, name)
			}
		}
	}
	for _, r := range slices.Clone(p.replicas) {
		if want, ok := wanted[r.name]; !ok || want.replica.Alloc != r.alloc {
			p.remove(r)
		}
	}
	var missing []topology.ShardName
	for _, name := range order {
		if p.replica(name) == nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		p.configureAll(v)
		return
	}
	p.n.soon(p.n.w.around(p.n.w.plan.Sync), func(p *proc) {
		p.open(missing, wanted)
		p.configureAll(v)
	})
}

// remove takes a copy away.
func (p *proc) remove(r *replica) {
	p.n.w.trace("%d removes copy %d of %d", p.n.id, r.alloc, r.name.Shard)
	p.drop(r)
	delete(p.n.disk.copies, r.name)
}

// drop stops a copy.
func (p *proc) drop(r *replica) {
	r.close()
	p.replicas = slices.DeleteFunc(p.replicas, func(o *replica) bool { return o == r })
}

// open opens copies and says which are there now.
func (p *proc) open(missing []topology.ShardName, wanted map[topology.ShardName]wantedCopy) {
	var created []topology.HeldReplica
	for _, name := range missing {
		want := wanted[name]
		d := p.n.disk.copies[name]
		if d == nil || d.alloc != want.replica.Alloc {
			if want.replica.Created {
				p.giveUp(name, fmt.Errorf("copy %d is not on this disk", want.replica.Alloc))
				continue
			}
			d = &diskCopy{alloc: want.replica.Alloc}
			p.n.disk.copies[name] = d
		}
		if err := d.belongsTogether(); err != nil {
			p.giveUp(name, err)
			continue
		}
		r := newReplica(p, name, d)
		p.replicas = append(p.replicas, r)
		p.tellLinks(r)
		if !want.replica.Created {
			created = append(created, topology.HeldReplica{Shard: name, Alloc: d.alloc})
		}
	}
	slices.SortFunc(p.replicas, func(a, b *replica) int { return cmp.Compare(a.name.Shard, b.name.Shard) })
	if len(created) > 0 {
		p.announce(created)
	}
}

// announce tells the topology that copies are there, until it knows.
func (p *proc) announce(created []topology.HeldReplica) {
	p.propose(topology.ReplicasCreated{Peer: p.n.id, Copies: created}, 2*time.Second, func(_ uint64, err error) {
		if err != nil {
			p.n.soon(200*time.Millisecond, func(p *proc) { p.announce(created) })
		}
	})
}

// giveUp has a copy that can't be used taken out of the topology.
func (p *proc) giveUp(name topology.ShardName, cause error) {
	p.n.w.trace("%d gives up its copy of %d: %v", p.n.id, name.Shard, cause)
	p.n.w.tally["given up"]++
	p.propose(topology.DropReplica{Shard: name, Peer: p.n.id}, 2*time.Second, func(_ uint64, err error) {
		if errors.Is(err, errTimeout) {
			p.n.soon(200*time.Millisecond, func(p *proc) { p.giveUp(name, cause) })
		}
	})
}

// configureAll tells all copies what the topology says of them.
func (p *proc) configureAll(v view) {
	for _, r := range slices.Clone(p.replicas) {
		if c := v.Incarnation(r.name.Collection); c != nil {
			if s := c.Shard(r.name.Shard); s != nil {
				r.configure(configOf(v.State, c, s))
			}
		}
	}
	p.following, p.followed = false, v.index
	p.follow()
}

// configOf is what the topology says about a shard, as its copies need it.
func configOf(state *topology.State, c *topology.Collection, s *topology.Shard) replication.Config {
	params := c.Config.GetParams()
	out := replication.Config{
		Shard: s, MinInSync: int(max(1, min(params.GetWriteConsistencyFactor(), params.GetReplicationFactor()))),
		Incarnations: make(map[topology.PeerID]uint64, len(s.Replicas)),
	}
	for _, r := range s.Replicas {
		peer := state.Peer(r.Peer)
		if peer == nil || peer.Fenced {
			out.Fenced = append(out.Fenced, r.Peer)
		}
		if peer != nil {
			out.Incarnations[r.Peer] = peer.Incarnation
		}
	}
	return out
}

// configure gives a copy its record when it is another one than before.
func (r *replica) configure(c replication.Config) {
	old := r.config
	if old.Shard == c.Shard && old.MinInSync == c.MinInSync && slices.Equal(old.Fenced, c.Fenced) && maps.Equal(old.Incarnations, c.Incarnations) {
		return
	}
	r.config = c
	r.step(replication.ConfigChanged{Config: c})
}

func (p *proc) replica(name topology.ShardName) *replica {
	for _, r := range p.replicas {
		if r.name == name {
			return r
		}
	}
	return nil
}

// tidy lets go of log that nobody needs any more.
func (p *proc) tidy() {
	for _, r := range slices.Clone(p.replicas) {
		r.release()
	}
	p.n.soon(time.Second, (*proc).tidy)
}
