package topology_test

import (
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

func TestConfigSpellsOutDefaults(t *testing.T) {
	c, err := topology.NewConfig(&pb.CreateCollection{}, topology.Defaults{
		ShardNumber: 3, HNSW: &pb.HnswConfigDiff{M: proto.Uint64(32)},
	})
	require.NoError(t, err)
	require.EqualValues(t, 3, c.GetParams().GetShardNumber())
	require.EqualValues(t, 1, c.GetParams().GetReplicationFactor())
	require.EqualValues(t, 32, c.GetHnswConfig().GetM())
	require.EqualValues(t, 100, c.GetHnswConfig().GetEfConstruct())
	require.NotNil(t, c.GetOptimizerConfig().IndexingThreshold)
	require.NotNil(t, c.GetWalConfig().WalCapacityMb)
	require.Nil(t, c.GetQuantizationConfig())
}

func TestConfigRefusals(t *testing.T) {
	vectors := func(p *pb.VectorParams) *pb.CreateCollection {
		return &pb.CreateCollection{VectorsConfig: pb.NewVectorsConfig(p)}
	}
	good := func(change func(*pb.VectorParams)) *pb.CreateCollection {
		p := &pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}
		change(p)
		return vectors(p)
	}
	for name, tc := range map[string]struct {
		req  *pb.CreateCollection
		kind apierror.Kind
		text string
	}{
		"size 0":           {good(func(p *pb.VectorParams) { p.Size = 0 }), apierror.Validation, "vectors.size"},
		"size too large":   {good(func(p *pb.VectorParams) { p.Size = 65537 }), apierror.Validation, "65536"},
		"no distance":      {good(func(p *pb.VectorParams) { p.Distance = 0 }), apierror.Validation, "distance"},
		"pinned":           {good(func(p *pb.VectorParams) { p.Memory = pb.Memory_Pinned.Enum() }), apierror.Validation, "pinned"},
		"ef_construct":     {good(func(p *pb.VectorParams) { p.HnswConfig = &pb.HnswConfigDiff{EfConstruct: proto.Uint64(3)} }), apierror.Validation, "ef_construct"},
		"multivector":      {good(func(p *pb.VectorParams) { p.MultivectorConfig = &pb.MultiVectorConfig{} }), apierror.NotImplemented, "multivector"},
		"no shards":        {&pb.CreateCollection{ShardNumber: proto.Uint32(0)}, apierror.Validation, "shard_number"},
		"too many shards":  {&pb.CreateCollection{ShardNumber: proto.Uint32(4_000_000_000)}, apierror.Validation, "must be from 1 to 1024"},
		"unknown distance": {good(func(p *pb.VectorParams) { p.Distance = 99 }), apierror.Validation, "vectors_config.params.distance: unknown value 99"},
		"unknown datatype": {good(func(p *pb.VectorParams) { p.Datatype = pb.Datatype(99).Enum() }), apierror.Validation, "datatype: unknown value 99"},
		"unknown modifier": {&pb.CreateCollection{
			SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"a": {Modifier: pb.Modifier(9).Enum()}}),
		}, apierror.Validation, "map.a.modifier: unknown value 9"},
		"no replicas":      {&pb.CreateCollection{ReplicationFactor: proto.Uint32(0)}, apierror.Validation, "replication_factor"},
		"vacuum too small": {&pb.CreateCollection{OptimizersConfig: &pb.OptimizersConfigDiff{VacuumMinVectorNumber: proto.Uint64(1)}}, apierror.Validation, "vacuum_min_vector_number"},
		"quantile": {&pb.CreateCollection{QuantizationConfig: pb.NewQuantizationScalar(&pb.ScalarQuantization{
			Type: pb.QuantizationType_Int8, Quantile: proto.Float32(0.2),
		})}, apierror.Validation, "quantile"},
		"shared name": {&pb.CreateCollection{
			VectorsConfig:       pb.NewVectorsConfigMap(map[string]*pb.VectorParams{"a": {Size: 4, Distance: pb.Distance_Dot}}),
			SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"a": {}}),
		}, apierror.BadInput, "must be unique"},
		"empty sparse name": {&pb.CreateCollection{
			SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"": {}}),
		}, apierror.Validation, "name cannot be empty"},
		"pinned payload": {&pb.CreateCollection{Payload: &pb.PayloadStorageParams{Memory: pb.Memory_Pinned.Enum()}}, apierror.Validation, "pinned"},
		"sparse turbo4": {&pb.CreateCollection{
			SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{"a": {Index: &pb.SparseIndexConfig{Datatype: pb.Datatype_Turbo4.Enum()}}}),
		}, apierror.Validation, "sparse vectors do not support"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := topology.NewConfig(tc.req, topology.Defaults{})
			require.ErrorContains(t, err, tc.text)
			require.Equal(t, tc.kind, apierror.KindOf(err))
		})
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	_, err := topology.NewConfig(&pb.CreateCollection{
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{}), ShardNumber: proto.Uint32(0),
	}, topology.Defaults{})
	require.ErrorContains(t, err, "vectors.size")
	require.ErrorContains(t, err, "vectors.distance")
	require.ErrorContains(t, err, "shard_number")
}

func TestMergeConfig(t *testing.T) {
	old, err := topology.NewConfig(&pb.CreateCollection{
		VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{"a": {Size: 4, Distance: pb.Distance_Dot}}),
		Metadata:      map[string]*pb.Value{"a": pb.NewValueInt(1), "b": pb.NewValueInt(2)},
	}, topology.Defaults{})
	require.NoError(t, err)
	before := proto.CloneOf(old)
	got, err := topology.MergeConfig(old, &pb.UpdateCollection{
		HnswConfig:         &pb.HnswConfigDiff{M: proto.Uint64(8)},
		VectorsConfig:      pb.NewVectorsConfigDiffMap(map[string]*pb.VectorParamsDiff{"a": {HnswConfig: &pb.HnswConfigDiff{M: proto.Uint64(64)}}}),
		QuantizationConfig: pb.NewQuantizationDiffBinary(&pb.BinaryQuantization{}),
		Metadata:           map[string]*pb.Value{"b": pb.NewValueInt(3)},
	})
	require.NoError(t, err)
	require.True(t, proto.Equal(before, old), "the old configuration was changed")
	require.EqualValues(t, 8, got.GetHnswConfig().GetM())
	require.EqualValues(t, 100, got.GetHnswConfig().GetEfConstruct())
	require.EqualValues(t, 64, topology.DenseVectors(got.GetParams())["a"].GetHnswConfig().GetM())
	require.NotNil(t, got.GetQuantizationConfig().GetBinary())
	require.EqualValues(t, 1, got.GetMetadata()["a"].GetIntegerValue())
	require.EqualValues(t, 3, got.GetMetadata()["b"].GetIntegerValue())

	got, err = topology.MergeConfig(got, &pb.UpdateCollection{Metadata: map[string]*pb.Value{"a": pb.NewValueNull()}})
	require.NoError(t, err)
	require.NotContains(t, got.GetMetadata(), "a")
	require.Contains(t, got.GetMetadata(), "b")

	off, err := topology.MergeConfig(got, &pb.UpdateCollection{QuantizationConfig: pb.NewQuantizationDiffDisabled()})
	require.NoError(t, err)
	require.Nil(t, off.GetQuantizationConfig())

	_, err = topology.MergeConfig(old, &pb.UpdateCollection{
		VectorsConfig: pb.NewVectorsConfigDiffMap(map[string]*pb.VectorParamsDiff{"nope": {}}),
	})
	require.ErrorContains(t, err, "nope")
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "with space", "emoji-🙂", strings.Repeat("x", 255), "..."} {
		require.NoError(t, topology.CheckName(good), good)
	}
	for _, bad := range []string{"", ".", "..", "a/b", `a\b`, "a:b", "a*", "a\x00", strings.Repeat("x", 256)} {
		require.Error(t, topology.CheckName(bad), bad)
	}
}
