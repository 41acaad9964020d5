package node

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/internal/observe"
	"github.com/sextantdb/sextant/server/config"
)

// openDesk opens the data of the configured storage directory, as a node alone or, with a listener
// for other nodes, as a member of a cluster.
func openDesk(ctx context.Context, o Options) (*Desk, error) {
	s := &o.Config.Storage
	options := coordinator.Options{
		FS: o.FS, StoragePath: s.Path, Defaults: collectionDefaults(s), Budget: newBudget(&s.Performance),
		Logger: observe.Component(o.Logger, "coordinator"), MaxAnswerBytes: int64(o.Config.Service.MaxResponseSizeMB) << 20,
	}
	if t := s.Performance.SearchTimeoutSec; t != nil {
		options.SearchTimeout = time.Duration(*t) * time.Second
	}
	if n := s.MaxCollections; n != nil {
		options.MaxCollections = *n
	}
	if n := s.Collection.ShardNumberPerNode; n != nil {
		options.ShardsPerNode = uint32(*n)
	}
	if o.peers != nil {
		return openMember(ctx, o, options)
	}
	front, err := coordinator.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	return &Desk{Points: front.Points(), Collections: front.Collections(), Cluster: front.Admin(), Close: front.Close}, nil
}

// unsavedShare is one by the part of the process's memory that operations may take which no checkpoint has yet. While a
// checkpoint is written the next ones come together, and the collector lets half as much again lie about.
const unsavedShare, leastUnsaved = 8, 32 << 20

// memoryForUnsaved is how much memory shards may have together for what isn't saved yet, given the soft limit of the
// heap and the machine's memory, 0 is unknown.
func memoryForUnsaved(limit int64, machine uint64) int64 {
	if limit == math.MaxInt64 { // there is none
		limit = int64(min(machine, math.MaxInt64))
	}
	if limit == 0 {
		return 0
	}
	return max(limit/unsavedShare, leastUnsaved)
}

// newBudget makes the budget of background work.
func newBudget(p *config.Performance) *budget.Budget {
	slots := p.OptimizerCPUBudget
	if slots < 0 { // leave that many processors free
		slots = max(runtime.GOMAXPROCS(0)+slots, 1)
	}
	if n := p.MaxOptimizationThreads; n > 0 && (slots == 0 || n < slots) {
		slots = n
	}
	machine, err := memlimit.FromSystem()
	if err != nil {
		machine = 0 // each shard decides for itself
	}
	return budget.New(budget.Options{Slots: slots, Unsaved: memoryForUnsaved(debug.SetMemoryLimit(-1), machine)})
}

// collectionDefaults turns the configuration's view of new collections into the
// topology's.
func collectionDefaults(s *config.Storage) topology.Defaults {
	h, o, w := &s.HNSW, &s.Optimizers, &s.WAL
	optimizers := &pb.OptimizersConfigDiff{
		DeletedThreshold:      &o.DeletedThreshold,
		VacuumMinVectorNumber: number(&o.VacuumMinVectorNumber),
		DefaultSegmentNumber:  number(&o.DefaultSegmentNumber),
		MaxSegmentSize:        number(o.MaxSegmentSizeKB),
		MemmapThreshold:       number(o.MemmapThresholdKB),
		IndexingThreshold:     number(o.IndexingThresholdKB),
		FlushIntervalSec:      number(&o.FlushIntervalSec),
	}
	if t := o.MaxOptimizationThreads; t != nil {
		optimizers.MaxOptimizationThreads = threads(*t)
	}
	d := topology.Defaults{
		ReplicationFactor:      uint32(s.Collection.ReplicationFactor),
		WriteConsistencyFactor: uint32(s.Collection.WriteConsistencyFactor),
		OnDiskPayload:          s.OnDiskPayload,
		HNSW: &pb.HnswConfigDiff{
			M: number(&h.M), EfConstruct: number(&h.EfConstruct), FullScanThreshold: number(&h.FullScanThresholdKB),
			MaxIndexingThreads: number(&h.MaxIndexingThreads), PayloadM: number(h.PayloadM),
			OnDisk: &h.OnDisk, //nolint:staticcheck // the configuration's key is the older one, too
		},
		Optimizers: optimizers,
		WAL: &pb.WalConfigDiff{
			WalCapacityMb: number(&w.CapacityMB), WalSegmentsAhead: number(&w.SegmentsAhead), WalRetainClosed: number(w.RetainClosed),
		},
		VectorsOnDisk: s.Collection.Vectors.OnDisk,
	}
	if n := s.Collection.ShardNumber; n != nil {
		d.ShardNumber = uint32(*n)
	}
	if m := s.Collection.Vectors.Memory; m != nil {
		d.VectorsMemory = pb.Memory_Cached.Enum()
		if strings.EqualFold(*m, "cold") {
			d.VectorsMemory = pb.Memory_Cold.Enum()
		}
	}
	return d
}

// number turns a checked, hence not negative, value into the messages' type.
func number(n *int) *uint64 {
	if n == nil {
		return nil
	}
	return new(uint64(*n))
}

func threads(t config.Threads) *pb.MaxOptimizationThreads {
	if t == config.AutoThreads {
		return &pb.MaxOptimizationThreads{Variant: &pb.MaxOptimizationThreads_Setting_{Setting: pb.MaxOptimizationThreads_Auto}}
	}
	return &pb.MaxOptimizationThreads{Variant: &pb.MaxOptimizationThreads_Value{Value: uint64(t)}}
}
