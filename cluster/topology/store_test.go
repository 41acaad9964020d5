package topology_test

import (
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestStoreReadsOlderFiles: nodes wrote nothing but the numbers of shards.
func TestStoreReadsOlderFiles(t *testing.T) {
	body := `{"collections":[{"name":"a","incarnation":"1","config":{"params":{"shardNumber":3}},` +
		`"schema":{"f":{"dataType":"Keyword"}},"shards":[0,2,1]}],"aliases":{"x":"a"},"dropped":{"0":"b"}}`
	fs := fsx.NewMem()
	require.NoError(t, fs.MkdirAll("/data"))
	sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	require.NoError(t, fsx.WriteAtomic(fs, "/data/topology", fmt.Appendf(nil, "sextant-topology 1 %08x\n%s", sum, body)))

	s, found, err := topology.Store{FS: fs, Path: "/data/topology"}.Load()
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, s.Check())
	c, err := s.Collection("x")
	require.NoError(t, err)
	require.Equal(t, []uint32{0, 1, 2}, c.ShardIDs())
	require.Equal(t, uint32(3), c.NextShard)
	require.Equal(t, pb.PayloadSchemaType_Keyword, c.Schema["f"].GetDataType())
	require.Equal(t, map[string]string{"0": "b"}, s.Dropped())
}

func custom(tb testing.TB) *topology.State {
	tb.Helper()
	s := &topology.State{}
	c := collection(tb, "a", "1")
	c.Config.Params.ShardingMethod = pb.ShardingMethod_Custom.Enum()
	c.Shards = nil
	apply(tb, s, topology.CreateCollection{Collection: c})
	for i, key := range []*pb.ShardKey{pb.NewShardKeyNum(5), pb.NewShardKey("5"), pb.NewShardKey("gone")} {
		apply(tb, s, topology.CreateShardKey{
			Collection: "a", Key: key, Placement: make([][]topology.PeerID, i+1), ReplicationFactor: uint32(i), InitialState: []string{"", "Partial", "Active"}[i],
		})
	}
	apply(tb, s, topology.DropShardKey{Collection: "a", Key: pb.NewShardKey("gone")})
	apply(tb, s, topology.SetField{Name: "a", Field: "f", Schema: &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType_Uuid}})
	return s
}

func TestStoreKeepsShardKeysAndNumbers(t *testing.T) {
	fs := fsx.NewMem()
	require.NoError(t, fs.MkdirAll("/data"))
	store := topology.Store{FS: fs, Path: "/data/topology"}
	s := custom(t)
	require.NoError(t, store.Save(s))
	got, _, err := store.Load()
	require.NoError(t, err)
	require.NoError(t, got.Check())
	require.Empty(t, cmp.Diff(picture(s), picture(got), protocmp.Transform(), cmpopts.EquateEmpty()))
	require.Equal(t, hash(t, s), hash(t, got))
}

// TestStoreTakesNoClusters: the file has no place for what only a cluster's state has.
func TestStoreTakesNoClusters(t *testing.T) {
	fs := fsx.NewMem()
	require.NoError(t, fs.MkdirAll("/data"))
	var s topology.State
	apply(t, &s, topology.RegisterPeer{Peer: 1, URI: "x", Incarnation: 1})
	require.Error(t, topology.Store{FS: fs, Path: "/data/topology"}.Save(&s))
}
