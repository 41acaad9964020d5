package node

import (
	"math"
	"runtime"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/server/config"
)

func load(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	cfg, _, err := config.Load(config.Options{Dir: t.TempDir(), Environ: append([]string{}, environ...)})
	require.NoError(t, err)
	return cfg
}

// TestUnconfiguredNodeAddsNothing: the compiled-in defaults of the configuration
// are the built-in values of the topology.
func TestUnconfiguredNodeAddsNothing(t *testing.T) {
	req := &pb.CreateCollection{CollectionName: "c", VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot})}
	want, err := topology.NewConfig(req, topology.Defaults{OnDiskPayload: true})
	require.NoError(t, err)
	got, err := topology.NewConfig(req, collectionDefaults(&load(t).Storage))
	require.NoError(t, err)
	require.Equal(t, want.String(), got.String())
}

func TestConfiguredDefaultsReachNewCollections(t *testing.T) {
	cfg := load(t,
		"QDRANT__STORAGE__HNSW_INDEX__M=24", "QDRANT__STORAGE__HNSW_INDEX__PAYLOAD_M=8", "QDRANT__STORAGE__ON_DISK_PAYLOAD=false",
		"QDRANT__STORAGE__OPTIMIZERS__MAX_SEGMENT_SIZE_KB=77", "QDRANT__STORAGE__OPTIMIZERS__INDEXING_THRESHOLD=5",
		"QDRANT__STORAGE__OPTIMIZERS__MAX_OPTIMIZATION_THREADS=auto", "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=8",
		"QDRANT__STORAGE__COLLECTION__REPLICATION_FACTOR=3")
	d := collectionDefaults(&cfg.Storage)
	require.Equal(t, uint64(24), d.HNSW.GetM())
	require.Equal(t, uint64(8), d.HNSW.GetPayloadM())
	require.False(t, d.OnDiskPayload)
	require.Equal(t, uint64(77), d.Optimizers.GetMaxSegmentSize())
	require.Equal(t, uint64(5), d.Optimizers.GetIndexingThreshold())
	require.Nil(t, d.Optimizers.MemmapThreshold)
	require.Equal(t, pb.MaxOptimizationThreads_Auto, d.Optimizers.GetMaxOptimizationThreads().GetSetting())
	require.Equal(t, uint64(8), d.WAL.GetWalCapacityMb())
	require.Equal(t, uint32(3), d.ReplicationFactor)

	cfg = load(t, "QDRANT__STORAGE__OPTIMIZERS__MAX_OPTIMIZATION_THREADS=2")
	require.Equal(t, uint64(2), collectionDefaults(&cfg.Storage).Optimizers.GetMaxOptimizationThreads().GetValue())
}

func TestConfiguredShardsAndPlacement(t *testing.T) {
	f := func(shards uint32, vectors string, env ...string) {
		t.Helper()
		cfg := load(t, env...)
		config, err := topology.NewConfig(&pb.CreateCollection{VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{
			"own": {Size: 2, Distance: pb.Distance_Dot, OnDisk: new(false)}, "silent": {Size: 2, Distance: pb.Distance_Dot},
		})}, collectionDefaults(&cfg.Storage))
		require.NoError(t, err)
		require.Equal(t, shards, config.GetParams().GetShardNumber())
		m := config.GetParams().GetVectorsConfig().GetParamsMap().GetMap()
		require.Equal(t, "size:2 distance:Dot on_disk:false", strings.Join(strings.Fields(m["own"].String()), " "))
		require.Equal(t, "size:2 distance:Dot"+vectors, strings.Join(strings.Fields(m["silent"].String()), " "))
	}
	f(1, "")
	f(3, " on_disk:true", "QDRANT__STORAGE__COLLECTION__SHARD_NUMBER=3", "QDRANT__STORAGE__COLLECTION__SHARD_NUMBER_PER_NODE=2",
		"QDRANT__STORAGE__COLLECTION__VECTORS__ON_DISK=true")
	f(1, " memory:Cold", "QDRANT__STORAGE__COLLECTION__VECTORS__MEMORY=cold")
}

func TestPartThatFailsEndsTheNode(t *testing.T) {
	n, err := Start(t.Context(), Options{Config: load(t, "QDRANT__SERVICE__HOST=127.0.0.1", "QDRANT__SERVICE__HTTP_PORT=0",
		"QDRANT__SERVICE__GRPC_PORT=0", "QDRANT__STORAGE__STORAGE_PATH="+t.TempDir())})
	require.NoError(t, err)
	require.NoError(t, n.listeners.http.Close())
	n.Wait(t.Context())
	require.ErrorContains(t, n.Stop(t.Context()), "serve REST: ")
}

func TestBudget(t *testing.T) {
	cpus := runtime.GOMAXPROCS(0)
	f := func(cpu, threads, want int) {
		t.Helper()
		require.Equal(t, want, newBudget(&config.Performance{OptimizerCPUBudget: cpu, MaxOptimizationThreads: threads}).Slots())
	}
	f(0, 0, cpus)
	f(3, 0, 3)
	f(-1000, 0, 1)
	f(0, 5, 5)
	f(3, 5, 3)
	f(5, 3, 3)
}

func TestMemoryForWhatIsNotSaved(t *testing.T) {
	const gib = 1 << 30
	require.EqualValues(t, gib/8, memoryForUnsaved(gib, 64*gib), "the container's limit")
	require.EqualValues(t, 8*gib, memoryForUnsaved(math.MaxInt64, 64*gib), "the machine's memory")
	require.EqualValues(t, 32<<20, memoryForUnsaved(100<<20, 64*gib), "less would be checkpoints all the time")
	require.Zero(t, memoryForUnsaved(math.MaxInt64, 0))
}
