package topology

// TakeOver makes the state of a node alone that of a cluster which has this node as its only peer: it
// holds the only copy of each shard. The copies are not said to be there (ReplicasCreated): the node
// has yet to mark them as the ones that the records name.
func (s *State) TakeOver(p RegisterPeer) error {
	if s.peers.Len() > 0 {
		return errClustered
	}
	if _, err := s.Apply(p); err != nil {
		return err
	}
	s.editAll(func(*Shard) bool { return true }, func(_ *Collection, sh *Shard) {
		sh.History, sh.Epoch = s.newHistory(), 1
		sh.Replicas = []Replica{{Peer: p.Peer, Alloc: s.newAlloc(), Kind: Voter}}
		sh.InSync, sh.Leader = []PeerID{p.Peer}, p.Peer
	})
	return s.Check()
}
