package controller

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Viewer makes Views of the topology. It keeps what it made of collections that haven't changed since.
// The zero value is ready; it isn't safe for concurrent use.
type Viewer struct {
	from []*topology.Collection
	made []Collection
}

// View returns what the controller sees of a state; wall is the time in Unix
// milliseconds.
func (w *Viewer) View(s *topology.State, wall int64) View {
	if from := s.Collections(); !slices.Equal(from, w.from) {
		w.look(from)
	}
	return View{Version: s.Index(), Wall: wall, Peers: PeersOf(s), Collections: w.made}
}

func (w *Viewer) look(from []*topology.Collection) {
	made := make([]Collection, 0, len(from))
	old := 0 // both are ordered by name
	for _, c := range from {
		for old < len(w.from) && w.from[old].Name < c.Name {
			old++
		}
		if old < len(w.from) && w.from[old] == c {
			made = append(made, w.made[old])
		} else {
			made = append(made, viewCollection(c))
		}
	}
	w.from, w.made = from, made
}

// PeersOf returns the nodes that the controller sees; without leadership it looks at nothing else.
func PeersOf(s *topology.State) (out []topology.Peer) {
	for _, p := range s.Peers() {
		out = append(out, *p)
	}
	return out
}

func viewCollection(c *topology.Collection) Collection {
	v := Collection{
		Incarnation: c.Incarnation, Copies: int(c.Config.GetParams().GetReplicationFactor()), MinInSync: c.MinInSync(),
		Shards: c.Shards, Rules: map[uint32]Rule{},
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
		return topology.FencePeers{Sessions: sessions(a.Peers)}, true
	case Relieve:
		return topology.RelievePeers{Sessions: sessions(a.Peers)}, true
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

func sessions(list []Process) []topology.Session {
	out := make([]topology.Session, 0, len(list))
	for _, p := range list {
		out = append(out, topology.Session(p))
	}
	return out
}
