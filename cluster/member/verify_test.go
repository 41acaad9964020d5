package member

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
)

func TestWhichCopiesDiffer(t *testing.T) {
	sum := func(n uint64) shard.Checksum { return shard.Checksum{Sum: n} }
	for name, tc := range map[string]struct {
		own    uint64
		theirs map[topology.PeerID]shard.Checksum
		want   []topology.PeerID
	}{
		"equal":                      {7, map[topology.PeerID]shard.Checksum{2: sum(7), 3: sum(7)}, nil},
		"one of three":               {7, map[topology.PeerID]shard.Checksum{2: sum(7), 3: sum(8)}, []topology.PeerID{3}},
		"the leader, of three":       {7, map[topology.PeerID]shard.Checksum{2: sum(8), 3: sum(8)}, []topology.PeerID{1}},
		"of two the leader's counts": {7, map[topology.PeerID]shard.Checksum{2: sum(8)}, []topology.PeerID{2}},
		"all":                        {7, map[topology.PeerID]shard.Checksum{2: sum(8), 3: sum(9)}, []topology.PeerID{2, 3}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tc.want, differing(1, sum(tc.own), tc.theirs)) })
	}
}
