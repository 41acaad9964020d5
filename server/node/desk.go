package node

import (
	"context"
	"runtime"
	"strings"
	"time"

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

// newBudget makes the processor budget of background work.
func newBudget(p *config.Performance) *budget.Budget {
	slots := p.OptimizerCPUBudget
	if slots < 0 { // leave that many processors free
		slots = max(runtime.GOMAXPROCS(0)+slots, 1)
	}
	if n := p.MaxOptimizationThreads; n > 0 && (slots == 0 || n < slots) {
		slots = n
	}
	return budget.New(budget.Options{Slots: slots})
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
