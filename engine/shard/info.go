package shard

import (
	pb "github.com/qdrant/go-client/qdrant"
)

// Info describes a shard at one moment.
type Info struct {
	// Status is what clients poll: Yellow while operations or the optimizer have
	// work, Grey when there is work that nothing has started (after a restart, or
	// because optimizing is switched off), Red when the shard is quarantined or
	// its optimizer failed, else Green.
	Status pb.CollectionStatus
	// OptimizerError is the last failure of the optimizer, "" when there is none.
	OptimizerError string
	// Points is the number of live points.
	Points uint64
	// Vectors is the number of points that have a vector, for each vector name.
	Vectors map[string]uint64
	// IndexedVectors is the number of vectors in graphs, of all names together.
	IndexedVectors uint64
	// Segments is the number of parts of the document store.
	Segments uint64
	// Queue is the number of operations appended, but not applied.
	Queue uint64
	// Seq is the position of the last applied operation.
	Seq uint64
	// Config is the current configuration. It must not be changed.
	Config *pb.CollectionConfig
	// Indexes are the payload indexes by field name.
	Indexes map[string]*pb.PayloadSchemaInfo
}

// Info describes the shard.
func (s *Shard) Info() Info {
	st := s.state.Load()
	info := Info{Config: st.config, Seq: s.applied.Load(), Queue: uint64(max(0, s.queued.Load()))}
	if err := s.Err(); err != nil {
		info.Status, info.OptimizerError = pb.CollectionStatus_Red, err.Error()
	}
	leave, err := s.enter()
	if err != nil {
		return info
	}
	defer leave()
	st = s.state.Load() // again: now its indexes stay open
	info.Points, info.Segments = uint64(s.docs.Len()), uint64(s.docs.Parts())
	info.Indexes = st.payloadSchema(true)
	info.Vectors = make(map[string]uint64, len(st.dense)+len(st.sparse))
	for name, x := range st.dense {
		info.Vectors[name] = uint64(x.Len())
		info.IndexedVectors += uint64(x.Indexed())
	}
	for name, x := range st.sparse {
		info.Vectors[name] = uint64(x.Len())
	}
	info.Status, info.OptimizerError = s.status(st, info.Queue)
	return info
}

func (s *Shard) status(st *state, queue uint64) (pb.CollectionStatus, string) {
	if err := s.optimizer.failure.Load(); err != nil {
		return pb.CollectionStatus_Red, (*err).Error()
	}
	pending := false
	for _, x := range st.tended() {
		pending = pending || x.Pending()
	}
	switch {
	case queue > 0:
		return pb.CollectionStatus_Yellow, ""
	case pending && (!st.optimizing() || !s.optimizer.started.Load()):
		return pb.CollectionStatus_Grey, ""
	case pending:
		return pb.CollectionStatus_Yellow, ""
	default:
		return pb.CollectionStatus_Green, ""
	}
}

// Schema returns the shard's vector names.
func (s *Shard) Schema() *Schema { return s.state.Load().schema }
