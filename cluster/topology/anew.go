package topology

// generation is what epochs and numbers are raised by when a cluster begins anew: the state that it
// begins with may be old, and what the cluster has given out since must not be given out again.
const generation = 1 << 32

// BeginAnew makes the state that of another cluster, which has one peer so far. The other peers are
// left behind: they count as gone, at no address, until they register with this cluster. What they
// hold stays theirs. A shard of which the one peer has a copy in sync goes on with it alone.
func (s *State) BeginAnew(first PeerID, cluster string) error {
	s.clusterID = cluster
	s.lastAlloc += generation
	s.lastHistory += generation
	for _, p := range s.Peers() {
		if p.ID == first {
			continue
		}
		behind := *p
		behind.Fenced, behind.URI = true, ""
		s.putPeer(behind)
	}
	for _, col := range s.Collections() {
		s.abortTransfers(col, func(t *Transfer) bool { return t.From != first || t.To != first })
	}
	s.editAll(func(sh *Shard) bool { return len(sh.Replicas) > 0 }, func(_ *Collection, sh *Shard) {
		if sh.IsInSync(first) {
			sh.InSync = []PeerID{first}
		}
		s.settle(sh)
		sh.Epoch = (sh.Epoch/generation + 1) * generation
	})
	return s.Check()
}

// IsOlder tells whether a copy was made before the cluster has begun anew: by a topology that knew more, or
// other things, than the one with which it began.
func (s *State) IsOlder(a AllocID) bool { return a/generation < s.lastAlloc/generation }

// IsBehind tells whether the peer was left behind by a cluster that began anew.
func (p *Peer) IsBehind() bool { return p.URI == "" }
