package placement

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

// evenLeaders reorders the lists so that no peer comes first much more often than another:
// as long as there is a chain of shards along which leaderships can be handed from a peer
// to one that leads at least two less, it is used. leads counts who comes first.
func evenLeaders(lists [][]topology.PeerID, leads map[topology.PeerID]int) {
	led := map[topology.PeerID][]int{}
	var peers []topology.PeerID
	for i, list := range lists {
		led[list[0]] = append(led[list[0]], i)
		peers = append(peers, list...)
	}
	slices.Sort(peers)
	peers = slices.Compact(peers)
	for again := true; again; {
		again = false
		for _, p := range peers {
			if path := relief(lists, led, leads, p); path != nil {
				handAlong(lists, led, leads, path)
				again = true
			}
		}
	}
}

// hop is a step of a chain: shard passes from its first peer to another one.
type hop struct {
	shard    int
	from, to topology.PeerID
}

// relief searches, nearest first, for a peer that leads at least two less than from.
func relief(lists [][]topology.PeerID, led map[topology.PeerID][]int, leads map[topology.PeerID]int, from topology.PeerID) []hop {
	came := map[topology.PeerID]hop{from: {}}
	for queue := []topology.PeerID{from}; len(queue) > 0; queue = queue[1:] {
		for _, shard := range led[queue[0]] {
			for _, to := range lists[shard][1:] {
				if _, seen := came[to]; seen {
					continue
				}
				came[to] = hop{shard: shard, from: queue[0], to: to}
				if leads[to] <= leads[from]-2 {
					return trail(came, from, to)
				}
				queue = append(queue, to)
			}
		}
	}
	return nil
}

func trail(came map[topology.PeerID]hop, from, to topology.PeerID) []hop {
	var path []hop
	for to != from {
		path = append(path, came[to])
		to = came[to].from
	}
	return path
}

func handAlong(lists [][]topology.PeerID, led map[topology.PeerID][]int, leads map[topology.PeerID]int, path []hop) {
	for _, h := range path {
		list := lists[h.shard]
		k := slices.Index(list, h.to)
		list[0], list[k] = list[k], list[0]
		led[h.from] = slices.DeleteFunc(led[h.from], func(s int) bool { return s == h.shard })
		led[h.to] = append(led[h.to], h.shard)
		leads[h.from]--
		leads[h.to]++
	}
}
