package topology

import (
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
)

// HeldReplica is a copy that a node has on its disk.
type HeldReplica struct {
	// Shard is what it is a copy of, Alloc which copy.
	Shard ShardName
	Alloc AllocID
}

// RegisterPeer adds a peer, or says that it is back: with a new process (a higher
// incarnation) or the same one after it was fenced (an equal one, which changes nothing
// else).
//
// A new process loses its leaderships and keeps its seats (R12). Copies that it should
// have and doesn't hold are lost (R14). A peer that takes the address of a fenced one, or
// of one that has no replicas, takes its place: a node whose disk was lost comes back under
// another ID. An ID that was removed doesn't come back.
type RegisterPeer struct {
	// Peer, URI, Incarnation, Zone and Version are as in Peer.
	Peer        PeerID
	URI         string
	Incarnation uint64
	Zone        string
	Version     uint32
	// Held are the copies on its disk.
	Held []HeldReplica
}

func (c RegisterPeer) apply(s *State) error {
	other, err := c.check(s)
	if err != nil {
		return err
	}
	old := s.Peer(c.Peer)
	if old != nil && old.Incarnation == c.Incarnation {
		if old.Fenced {
			back := *old
			back.Fenced = false
			s.putPeer(back)
			s.editAll(func(sh *Shard) bool { return sh.Leader == 0 && sh.IsInSync(c.Peer) },
				func(_ *Collection, sh *Shard) { s.settle(sh) })
		}
		return nil
	}
	p := Peer{ID: c.Peer, URI: c.URI, Incarnation: c.Incarnation, Zone: c.Zone, Version: c.Version}
	if old != nil {
		p.Draining = old.Draining
	}
	s.putPeer(p)
	if other != 0 {
		s.replacePeer(other, c.Peer)
	}
	c.judgeCopies(s)
	return nil
}

// check returns the peer whose place the command's takes, 0 when there is none.
func (c RegisterPeer) check(s *State) (other PeerID, err error) {
	if c.Peer == 0 || c.Incarnation == 0 || c.URI == "" {
		return 0, apierror.New(apierror.BadRequest, "A peer registers with its ID, its address and its incarnation")
	}
	if old := s.Peer(c.Peer); old != nil && c.Incarnation < old.Incarnation {
		return 0, apierror.New(apierror.Precondition, "Peer %d is registered with incarnation %d, this is %d", c.Peer, old.Incarnation, c.Incarnation)
	}
	if s.Removed(c.Peer) {
		return 0, apierror.New(apierror.Precondition, "Peer %d was removed from the cluster; its node may join with an empty storage, as another peer", c.Peer)
	}
	if c.Version < s.clusterVersion {
		return 0, apierror.New(apierror.Precondition, "Peer %d speaks version %d of the cluster's protocol, the cluster speaks %d", c.Peer, c.Version, s.clusterVersion)
	}
	for _, p := range s.Peers() {
		if p.URI != c.URI || p.ID == c.Peer {
			continue
		}
		if !p.Fenced && s.holdsReplicas(p.ID) {
			return 0, apierror.New(apierror.BadRequest, "Peer URI %s already used by peer %d, remove it first", c.URI, p.ID)
		}
		other = p.ID
	}
	return other, nil
}

// judgeCopies compares the copies of a new process with those that it should have, and
// elects new leaders where it led, or where it is awaited.
func (c RegisterPeer) judgeCopies(s *State) {
	held := make(map[HeldReplica]bool, len(c.Held))
	for _, h := range c.Held {
		held[h] = true
	}
	missing := func(col *Collection, sh *Shard) bool {
		r, ok := sh.Replica(c.Peer)
		return ok && r.Created && !held[HeldReplica{Shard: col.name(sh.ID), Alloc: r.Alloc}]
	}
	for _, col := range s.Collections() {
		s.abortTransfers(col, func(t *Transfer) bool { return t.From == c.Peer && missing(col, col.Shard(t.Shard)) })
	}
	mine := func(sh *Shard) bool {
		_, ok := sh.Replica(c.Peer)
		return ok
	}
	s.editAll(mine, func(col *Collection, sh *Shard) {
		led := sh.Leader == c.Peer
		if missing(col, sh) {
			s.lose(col, sh, c.Peer)
		}
		if led {
			// Another process is another leadership, even if the same peer is elected.
			sh.Leader, sh.Epoch = s.elect(sh, sh.Preferred), sh.Epoch+1
			return
		}
		s.settle(sh)
	})
	for _, col := range s.Collections() {
		s.followAllocs(col, c.Peer)
	}
}

// lose replaces a peer's copy, which is lost, by one that is to be made and filled.
func (s *State) lose(col *Collection, sh *Shard, p PeerID) {
	r, _ := sh.Replica(p)
	r.Alloc, r.Created = s.newAlloc(), false
	if r.Kind == Voter {
		r.Kind = Joining
	}
	sh.setReplica(r)
	had := sh.IsInSync(p)
	sh.unseat(p)
	if had && len(sh.InSync) == 0 {
		s.event(col, sh.ID, p, "peer %d has lost the last copy in sync: the shard is lost", p)
	} else {
		s.event(col, sh.ID, p, "peer %d has lost its copy", p)
	}
}

// replacePeer gives the replicas of a fenced peer to another one, as copies that are to
// be made and filled, and removes the fenced one.
func (s *State) replacePeer(old, next PeerID) {
	s.event(nil, 0, old, "peer %d takes the place of peer %d, which had the same address", next, old)
	for _, col := range s.Collections() {
		s.abortTransfers(col, func(t *Transfer) bool { return t.From == old || t.To == old })
	}
	s.editAll(func(sh *Shard) bool { _, ok := sh.Replica(old); return ok }, func(col *Collection, sh *Shard) {
		r, _ := sh.Replica(old)
		last := slices.Equal(sh.InSync, []PeerID{old})
		preferred := sh.Preferred == old
		sh.dropReplica(old)
		if last {
			s.event(col, sh.ID, old, "peer %d had the last copy in sync: the shard is lost", old)
		}
		if _, have := sh.Replica(next); have {
			return
		}
		r.Peer, r.Alloc, r.Created = next, s.newAlloc(), false
		if r.Kind == Voter {
			r.Kind = Joining
		}
		sh.setReplica(r)
		if preferred {
			sh.Preferred = next
		}
	})
	s.replaceInPools(old, next)
	s.removePeer(old)
}

func (s *State) removePeer(p PeerID) {
	s.peers.Delete(p)
	s.removed.Set(p, struct{}{})
	s.changes.Peers = append(s.changes.Peers, p)
}

// Session is one process of a peer.
type Session struct {
	// Peer is the node, Incarnation its process.
	Peer        PeerID
	Incarnation uint64
}

// FencePeers says that processes count as gone: their sessions ran out. They lead
// nothing any more, and lose their seats while somebody else is left (R12). A process
// that isn't the registered one, or is fenced, is left out.
type FencePeers struct {
	// Sessions are the processes.
	Sessions []Session
}

func (c FencePeers) apply(s *State) error {
	fenced := map[PeerID]bool{}
	for _, e := range c.Sessions {
		p := s.Peer(e.Peer)
		if p == nil || p.Fenced || p.Incarnation != e.Incarnation {
			continue
		}
		out := *p
		out.Fenced = true
		s.putPeer(out)
		fenced[p.ID] = true
	}
	if len(fenced) == 0 {
		return nil
	}
	touched := func(sh *Shard) bool {
		return slices.ContainsFunc(sh.InSync, func(p PeerID) bool { return fenced[p] })
	}
	s.editAll(touched, func(_ *Collection, sh *Shard) {
		if slices.ContainsFunc(sh.InSync, s.alive) {
			sh.InSync = slices.DeleteFunc(sh.InSync, func(p PeerID) bool { return fenced[p] })
		}
		s.settle(sh)
	})
	return nil
}

// RelievePeers takes the load off processes that live but hold others up: their disks stall or have no room, or most
// nodes can't reach them. Where as many other copies are in sync as the collection demands, on nodes that aren't
// named, they lose leaderships and seats; elsewhere nothing changes. A process that isn't the registered one is left
// out.
type RelievePeers struct {
	// Sessions are the processes.
	Sessions []Session
}

func (c RelievePeers) apply(s *State) error {
	named := map[PeerID]bool{}
	for _, e := range c.Sessions {
		if p := s.Peer(e.Peer); p != nil && p.Incarnation == e.Incarnation {
			named[p.ID] = true
		}
	}
	relieved := func(p PeerID) bool { return named[p] }
	s.editAll(func(sh *Shard) bool { return slices.ContainsFunc(sh.InSync, relieved) }, func(col *Collection, sh *Shard) {
		able := 0
		for _, p := range sh.InSync {
			if !named[p] && s.alive(p) {
				able++
			}
		}
		if able >= col.MinInSync() {
			sh.InSync = slices.DeleteFunc(sh.InSync, relieved)
			s.settle(sh)
		}
	})
	return nil
}

// MinInSync is how many copies of a shard must be in sync for writes: at least 1.
func (c *Collection) MinInSync() int {
	p := c.Config.GetParams()
	return int(max(1, min(p.GetWriteConsistencyFactor(), p.GetReplicationFactor())))
}

// heldBy selects the shards of which a peer has, or is to have, a replica.
func heldBy(p PeerID) func(*Shard) bool {
	return func(sh *Shard) bool { _, ok := sh.Replica(p); return ok }
}

func (s *State) holdsReplicas(p PeerID) bool {
	return slices.ContainsFunc(s.Collections(), func(col *Collection) bool { return slices.ContainsFunc(col.Shards, heldBy(p)) })
}

// RemovePeer takes a peer out of the cluster for good.
type RemovePeer struct {
	// Peer is the node.
	Peer PeerID
	// Force drops the replicas that it still has, the last ones of a shard too.
	Force bool
}

func (c RemovePeer) apply(s *State) error {
	if s.Peer(c.Peer) == nil {
		return noPeer(c.Peer)
	}
	if !c.Force && s.holdsReplicas(c.Peer) {
		return apierror.New(apierror.BadRequest, "Cannot remove peer %d as there are shards on it", c.Peer)
	}
	for _, col := range s.Collections() {
		s.abortTransfers(col, func(t *Transfer) bool { return t.From == c.Peer || t.To == c.Peer })
	}
	s.removePeer(c.Peer)
	s.editAll(heldBy(c.Peer), func(col *Collection, sh *Shard) {
		if slices.Equal(sh.InSync, []PeerID{c.Peer}) {
			s.event(col, sh.ID, c.Peer, "peer %d was removed with the last copy in sync: the shard is lost", c.Peer)
		}
		sh.dropReplica(c.Peer)
		s.settle(sh)
	})
	return nil
}

// DrainPeer says that a peer is to lose its replicas and gets no new ones, or that it may
// have some again.
type DrainPeer struct {
	// Peer is the node.
	Peer PeerID
	// Draining is what it is to be.
	Draining bool
}

func (c DrainPeer) apply(s *State) error {
	p := s.Peer(c.Peer)
	if p == nil {
		return noPeer(c.Peer)
	}
	if p.Draining != c.Draining {
		next := *p
		next.Draining = c.Draining
		s.putPeer(next)
	}
	return nil
}
