package controller

import (
	"github.com/sextantdb/sextant/cluster/topology"
)

// Viewer makes Views of the topology. It keeps what it made of collections that haven't
// changed since. The zero value is ready; it isn't safe for concurrent use.
type Viewer struct {
	seen map[string]viewed
}

type viewed struct {
	from *topology.Collection
	made Collection
}

// View returns what the controller sees of a state; wall is the time in Unix
// milliseconds.
func (w *Viewer) View(s *topology.State, wall int64) View {
	v := View{Version: s.Index(), Wall: wall}
	for _, p := range s.Peers() {
		v.Peers = append(v.Peers, *p)
	}
	collections := s.Collections()
	seen := make(map[string]viewed, len(collections))
	for _, c := range collections {
		made, ok := w.seen[c.Incarnation]
		if !ok || made.from != c {
			made = viewed{from: c, made: viewCollection(c)}
		}
		seen[c.Incarnation] = made
		v.Collections = append(v.Collections, made.made)
	}
	w.seen = seen
	return v
}

func viewCollection(c *topology.Collection) Collection {
	v := Collection{
		Incarnation: c.Incarnation, Copies: int(c.Config.GetParams().GetReplicationFactor()), Shards: c.Shards, Rules: map[uint32]Rule{},
	}
	for _, t := range c.Transfers {
		v.Transfers = append(v.Transfers, Transfer{
			Shard: t.Shard, From: t.From, To: t.To, Move: t.Move, ByUser: t.ByUser, Points: t.ToShard != nil,
		})
	}
	for _, k := range c.Keys {
		for _, id := range k.Shards {
			if k.ReplicationFactor > 0 {
				v.Rules[id] = Rule{Copies: int(k.ReplicationFactor)}
			}
		}
	}
	for _, sh := range c.Shards {
		if sh.Pin.Until != 0 {
			r := v.Rules[sh.ID]
			r.PinnedUntil, r.Avoid = sh.Pin.Until, sh.Pin.Avoid
			v.Rules[sh.ID] = r
		}
	}
	return v
}

// Command returns the command of an action. ok is false for those that aren't the
// topology's: a Hand goes to the node that leads, a DrainDone to whoever waits for it.
func Command(a Action) (c topology.Command, ok bool) {
	switch a := a.(type) {
	case Fence:
		f := topology.FencePeers{}
		for _, p := range a.Peers {
			f.Sessions = append(f.Sessions, topology.Session{Peer: p.Peer, Incarnation: p.Incarnation})
		}
		return f, true
	case Elect:
		return topology.ElectLeaders{Shards: a.Shards}, true
	case Replicate:
		return topology.StartTransfer{
			Shard: a.Shard, From: a.From, To: a.To, Sync: !a.Move, Move: a.Move, Comment: a.Why(),
		}, true
	case Drop:
		return topology.DropReplica{Shard: a.Shard, Peer: a.Peer}, true
	case Abort:
		return topology.AbortTransfer{Transfer: topology.TransferKey{Shard: a.Shard, From: a.From, To: a.To}, Reason: a.Why()}, true
	default:
		return nil, false
	}
}
