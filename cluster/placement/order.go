package placement

import (
	"cmp"
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// nearby is how far from each other in the order two peers may be to hold one shard
// together: with 10 a peer shares shards with about 20 others, enough hands to rebuild
// a lost peer quickly.
const nearby = 10

// Order is a circle of peers on which the copies of a shard are to be neighbours. It
// takes turns between zones, so that neighbours are in different ones. An Order is
// immutable and safe for concurrent use.
type Order struct {
	at map[topology.PeerID]int
}

// NewOrder returns the order of the given peers.
func NewOrder(peers []Peer) *Order {
	sorted := slices.Clone(peers)
	slices.SortFunc(sorted, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	size := map[string]int{}
	for _, p := range sorted {
		size[p.Zone]++
	}
	// A peer's place in its zone, as a fraction, spreads zones of different sizes evenly.
	seen := map[string]int{}
	turn := make(map[topology.PeerID]float64, len(sorted))
	for _, p := range sorted {
		turn[p.ID] = (float64(seen[p.Zone]) + 0.5) / float64(size[p.Zone])
		seen[p.Zone]++
	}
	slices.SortFunc(sorted, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(turn[a.ID], turn[b.ID]), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.ID, b.ID))
	})
	o := &Order{at: make(map[topology.PeerID]int, len(sorted))}
	for i, p := range sorted {
		o.at[p.ID] = i
	}
	return o
}

// Near tells whether two peers should share shards. Peers that aren't in the order are
// near to nobody.
func (o *Order) Near(a, b topology.PeerID) bool {
	i, ok := o.at[a]
	j, ok2 := o.at[b]
	if !ok || !ok2 {
		return false
	}
	d := max(i-j, j-i)
	return min(d, len(o.at)-d) <= nearby
}

// Everywhere says that all peers are near to each other: there are few.
func (o *Order) Everywhere() bool { return len(o.at) <= 2*nearby+1 }
