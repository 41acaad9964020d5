package topology

import "github.com/sextantdb/sextant/internal/apierror"

// elect returns who should lead a shard (R9): a peer in sync that is registered and not
// fenced; first the preferred one, then who leads least, then the lowest ID. 0 is nobody.
func (s *State) elect(sh *Shard, preferred PeerID) PeerID {
	var best PeerID
	least := 0
	for _, p := range sh.InSync { // ascending
		if !s.alive(p) {
			continue
		}
		if p == preferred {
			return p
		}
		led := s.Led(p)
		if p == sh.Leader {
			led-- // this shard is what is decided about
		}
		if best == 0 || led < least {
			best, least = p, led
		}
	}
	return best
}

// lead makes a peer (or nobody) the leader; another one means another epoch.
func (sh *Shard) lead(p PeerID) {
	if sh.Leader != p {
		sh.Leader = p
		sh.Epoch++
	}
}

// settle elects a leader if the shard's isn't one (any more).
func (s *State) settle(sh *Shard) {
	if sh.Leader == 0 || !sh.IsInSync(sh.Leader) || !s.alive(sh.Leader) {
		sh.lead(s.elect(sh, sh.Preferred))
	}
}

// ElectLeader elects a shard's leader: when there is none, or in favour of another one.
type ElectLeader struct {
	// Shard is the shard.
	Shard ShardName
	// Epoch is the leadership that is to end.
	Epoch uint64
	// Preferred must be in sync and not fenced. 0 is whoever the rules name; then a
	// leader that can lead stays.
	Preferred PeerID
}

func (c ElectLeader) apply(s *State) error {
	_, sh, err := s.shardOf(c.Shard)
	if err != nil {
		return err
	}
	if sh.Epoch != c.Epoch {
		return apierror.New(apierror.Precondition, "Shard %d is in epoch %d, not %d", sh.ID, sh.Epoch, c.Epoch)
	}
	if c.Preferred == 0 {
		s.editShard(c.Shard, s.settle)
		return nil
	}
	if !sh.IsInSync(c.Preferred) || !s.alive(c.Preferred) {
		return apierror.New(apierror.Precondition, "Peer %d can't lead shard %d: it isn't in sync, or gone", c.Preferred, sh.ID)
	}
	s.editShard(c.Shard, func(sh *Shard) { sh.lead(c.Preferred) })
	return nil
}

// ElectLeaders elects a leader for each shard that has none, wherever it can.
type ElectLeaders struct {
	// Shards are those to look at; all when it is empty. Unknown ones are left out.
	Shards []ShardName
}

func (c ElectLeaders) apply(s *State) error {
	leaderless := func(sh *Shard) bool { return sh.Leader == 0 && len(sh.InSync) > 0 }
	if len(c.Shards) == 0 {
		s.editAll(leaderless, func(_ *Collection, sh *Shard) { s.settle(sh) })
		return nil
	}
	for _, name := range c.Shards {
		if sh := s.Shard(name); sh != nil && leaderless(sh) {
			s.editShard(name, s.settle)
		}
	}
	return nil
}

// ForceLeader makes a copy lead that isn't known to have everything (R15). What it
// doesn't have is lost; the log begins a new history, and every other copy is filled
// again. It is for a shard without a leader.
type ForceLeader struct {
	// Shard is the shard, Peer who is to lead it.
	Shard ShardName
	Peer  PeerID
	// AcceptDataLoss must be true: somebody has understood what this does.
	AcceptDataLoss bool
}

func (c ForceLeader) apply(s *State) error {
	col, sh, err := s.shardOf(c.Shard)
	if err != nil {
		return err
	}
	r, ok := sh.Replica(c.Peer)
	switch {
	case !c.AcceptDataLoss:
		return apierror.New(apierror.BadRequest, "Forcing a leader loses data: accept_data_loss must be true")
	case !ok:
		return noReplica(sh, c.Peer)
	case !s.alive(c.Peer):
		return gone(c.Peer)
	case sh.Leader != 0:
		return apierror.New(apierror.BadRequest, "Shard %d is led by peer %d, which has all data", sh.ID, sh.Leader)
	}
	s.editShard(c.Shard, func(sh *Shard) {
		sh.History = s.newHistory()
		r.Kind = Voter
		sh.setReplica(r)
		sh.InSync = []PeerID{c.Peer}
		sh.Leader = c.Peer
		sh.Epoch++
	})
	s.event(col, sh.ID, c.Peer, "peer %d was forced to lead; what it didn't have is lost", c.Peer)
	s.forgetTransfers(c.Shard)
	return nil
}

// SetPreferred says who should lead a shard if it can. It changes no leader.
type SetPreferred struct {
	// Shard is the shard, Peer one that has a copy; 0 is anybody.
	Shard ShardName
	Peer  PeerID
}

func (c SetPreferred) apply(s *State) error {
	_, sh, err := s.shardOf(c.Shard)
	if err != nil {
		return err
	}
	if _, ok := sh.Replica(c.Peer); !ok && c.Peer != 0 {
		return noReplica(sh, c.Peer)
	}
	s.editShard(c.Shard, func(sh *Shard) { sh.Preferred = c.Peer })
	return nil
}

func noPeer(p PeerID) error { return apierror.New(apierror.BadRequest, "Peer %d does not exist", p) }

func gone(p PeerID) error {
	return apierror.New(apierror.BadRequest, "Peer %d is not available", p)
}

func noReplica(sh *Shard, p PeerID) error {
	return apierror.New(apierror.BadRequest, "Shard %d has no replica on peer %d", sh.ID, p)
}
