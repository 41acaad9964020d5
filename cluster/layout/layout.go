// Package layout says where a node keeps what it has: its topology, and of a shard in which directory
// its files are, and under which IDs its records in the node's operation log. A node alone and a member of a
// cluster use the same places.
//
// Callers: cluster/coordinator, cluster/member.
package layout

import (
	"path"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Topology is the file in which a node alone keeps its topology.
func Topology(storage string) string { return path.Join(storage, "topology") }

// Consensus is the directory with a member's part in the consensus of its cluster.
func Consensus(storage string) string { return path.Join(storage, "consensus") }

// Collections is the directory of all collections in a storage directory.
func Collections(storage string) string { return path.Join(storage, "collections") }

// Collection is where one incarnation of a collection is: a collection that is deleted and created
// again under its name never sees the old data.
func Collection(storage, name, incarnation string) string {
	return path.Join(Collections(storage), name, incarnation)
}

// Shard is where the files of a collection's shard are.
func Shard(storage string, c *topology.Collection, id uint32) string {
	return path.Join(Collection(storage, c.Name, c.Incarnation), number(id))
}

// Log is the ID of the stream with a shard's operations.
func Log(n topology.ShardName) string { return n.Collection + "/" + number(n.Shard) }

// markSuffix makes the ID of the stream that has a shard's marks from that of its log.
const markSuffix = "#mark"

// Marks is the ID of the stream with what a member remembers of its copy besides.
func Marks(n topology.ShardName) string { return Log(n) + markSuffix }

// Parse tells whose stream an ID is, and whether it has marks rather than operations; ok is false when
// it isn't a shard's.
func Parse(stream string) (n topology.ShardName, marks, ok bool) {
	id, marks := strings.CutSuffix(stream, markSuffix)
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return n, marks, false
	}
	shard, err := strconv.ParseUint(id[i+1:], 10, 32)
	if err != nil {
		return n, marks, false
	}
	return topology.ShardName{Collection: id[:i], Shard: uint32(shard)}, marks, true
}

func number(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
