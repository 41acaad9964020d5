package placement

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/dchest/siphash"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Peer is a node as far as placing needs to know it.
type Peer struct {
	// ID names it, Zone is where the copies of a shard should not all be.
	ID   topology.PeerID
	Zone string
	// Replicas are the copies that it has (of all collections), Leads those that lead.
	Replicas, Leads int
	// Closed says that it gets no new copies: it is fenced, being drained, or full.
	Closed bool
}

// Request says what is to be placed.
type Request struct {
	// Shards are how many shards, Copies how many copies of each.
	Shards, Copies int
	// Pool, when it isn't empty, are the only peers to use: a user's explicit placement.
	Pool []topology.PeerID
	// Seed makes different collections use equal peers in different order.
	Seed string
}

// Place says which peers are to hold each shard. The first peer of a list is the one
// that should lead.
//
// A shard has at most one copy a peer, in as many zones as there are; the collection's
// copies and leaders are spread evenly, on those peers first that have the fewest. With
// many peers the copies of a shard are neighbours in a fixed order (see Near), so that
// few different sets of peers hold a shard together: fewer failures of several peers
// lose a whole set.
//
// Fewer peers than copies is no error, as with Qdrant: each shard gets what there is,
// and the controller adds the rest when more peers join. No peer at all is one, and so
// is a pool that names a peer which doesn't exist or is closed.
func Place(r Request, peers []Peer) ([][]topology.PeerID, error) {
	if r.Shards < 1 || r.Copies < 1 {
		return nil, apierror.New(apierror.BadInput, "Can't place %d shards with %d copies each", r.Shards, r.Copies)
	}
	open, err := usable(r, peers)
	if err != nil {
		return nil, err
	}
	p := placer{peers: open, order: NewOrder(open), seed: r.Seed, placed: make([]int, len(open)), leads: make([]int, len(open))}
	lists := make([][]topology.PeerID, r.Shards)
	for shard := range lists {
		lists[shard] = p.shard(uint32(shard), min(r.Copies, len(open)))
	}
	leads := make(map[topology.PeerID]int, len(open))
	for i := range open {
		leads[open[i].ID] = p.leads[i]
	}
	evenLeaders(lists, leads)
	return lists, nil
}

// usable returns the peers that may hold the shards, ordered by ID.
func usable(r Request, peers []Peer) ([]Peer, error) {
	byID := make(map[topology.PeerID]Peer, len(peers))
	for _, p := range peers {
		byID[p.ID] = p
	}
	var open []Peer
	if len(r.Pool) == 0 {
		open = slices.DeleteFunc(slices.Clone(peers), func(p Peer) bool { return p.Closed })
	}
	for i, id := range r.Pool {
		p, ok := byID[id]
		switch {
		case !ok:
			return nil, apierror.New(apierror.BadInput, "Peer %d does not exist", id)
		case p.Closed:
			return nil, apierror.New(apierror.BadInput, "Peer %d takes no shards: it is gone, full or being drained", id)
		case slices.Contains(r.Pool[:i], id):
			return nil, apierror.New(apierror.BadInput, "Peer %d is named twice in the placement", id)
		}
		open = append(open, p)
	}
	if len(open) == 0 {
		return nil, apierror.New(apierror.Unavailable, "No peer can take shards: all are gone, full or being drained")
	}
	slices.SortFunc(open, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return open, nil
}

// placer places one collection. Lists run parallel to peers.
type placer struct {
	peers []Peer
	order *Order
	seed  string
	// placed and leads count what was placed so far.
	placed, leads []int
	// chosen are the places in peers of the copies of the shard at hand.
	chosen []int
}

// shard places the copies of one shard.
func (p *placer) shard(shard uint32, copies int) []topology.PeerID {
	p.chosen = p.chosen[:0]
	list := make([]topology.PeerID, 0, copies)
	for len(list) < copies {
		best, score := -1, rank{}
		for i := range p.peers {
			if slices.Contains(p.chosen, i) {
				continue
			}
			if s := p.rank(i, shard); best < 0 || s.less(&score) {
				best, score = i, s
			}
		}
		p.placed[best]++
		p.chosen = append(p.chosen, best)
		list = append(list, p.peers[best].ID)
	}
	p.leads[p.chosen[0]]++
	return list
}

// rank orders candidates: the lowest is the best.
type rank [8]uint64

func (r *rank) less(o *rank) bool { return slices.Compare(r[:], o[:]) < 0 }

func (p *placer) rank(i int, shard uint32) rank {
	peer := &p.peers[i]
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], uint64(peer.ID))
	binary.LittleEndian.PutUint32(key[8:], shard)
	tie := siphash.Hash(0, siphash.Hash(0, 0, []byte(p.seed)), key[:])
	sameZone, far := 0, 0
	for _, c := range p.chosen {
		if p.peers[c].Zone == peer.Zone {
			sameZone++
		}
		if !p.order.Near(p.peers[c].ID, peer.ID) {
			far++
		}
	}
	return rank{
		uint64(sameZone), uint64(far), uint64(p.placed[i]), uint64(p.leads[i]),
		uint64(peer.Replicas), uint64(peer.Leads), tie, uint64(peer.ID),
	}
}
