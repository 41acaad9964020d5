package dialect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// place is where a value stands in a body, written only when it is complained
// about. Places live on the stack of the functions that walk a message.
type place struct {
	up   *place
	name string
	i    int // of a list's element, when name is ""
}

// root is the body itself.
var root = &place{}

func (p *place) member(name string) *place { return &place{up: p, name: name} }

func (p *place) index(i int) *place { return &place{up: p, i: i} }

func (p *place) String() string {
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *place) write(b *strings.Builder) {
	if p == nil || p.up == nil && p.name == "" {
		return
	}
	p.up.write(b)
	if p.name == "" {
		b.WriteString("[" + strconv.Itoa(p.i) + "]")
		return
	}
	if b.Len() > 0 {
		b.WriteByte('.')
	}
	b.WriteString(p.name)
}

// checks gathers complaints about values outside the limits of the text form.
// What needs a collection to be judged is not checked here.
type checks struct{ complaints []string }

// maxComplaints is how many are told; a body may have a million faulty points.
const maxComplaints = 20

func (c *checks) fail(p *place, format string, args ...any) {
	if len(c.complaints) < maxComplaints {
		c.complaints = append(c.complaints, p.String()+": "+fmt.Sprintf(format, args...))
	}
}

func (c *checks) err() error {
	if len(c.complaints) == 0 {
		return nil
	}
	// Named vectors are looked at in no order.
	slices.Sort(c.complaints)
	return &apierror.Error{Kind: apierror.Validation, Msg: "[" + strings.Join(c.complaints, "; ") + "]"}
}

// validation is a complaint found while reading.
func validation(path, format string, args ...any) error {
	var c checks
	c.fail(root.member(path), format, args...)
	return c.err()
}

// atLeast1 complains of an optional number that is there and 0.
func (c *checks) atLeast1(p *place, has bool, n uint64) {
	if has && n == 0 {
		c.fail(p, "value 0 invalid, must be 1 or larger")
	}
}

func (c *checks) filter(p *place, f *pb.Filter) {
	if f == nil {
		return
	}
	c.conditions(p.member("must"), f.Must)
	c.conditions(p.member("should"), f.Should)
	c.conditions(p.member("must_not"), f.MustNot)
	if m := f.MinShould; m != nil {
		at := p.member("min_should")
		c.conditions(at.member("conditions"), m.Conditions)
		c.atLeast1(at.member("min_count"), true, m.MinCount)
	}
}

func (c *checks) conditions(p *place, conds []*pb.Condition) {
	for i, cond := range conds {
		switch v := cond.GetConditionOneOf().(type) {
		case *pb.Condition_Field:
			if !tests(v.Field) {
				c.fail(p.index(i), "At least one field condition must be specified")
			}
		case *pb.Condition_Nested:
			c.filter(p.index(i).member("nested").member("filter"), v.Nested.Filter)
		case *pb.Condition_Filter:
			c.filter(p.index(i), v.Filter)
		default: // has no limits
		}
	}
}

// tests reports whether a field condition has anything besides its key.
func tests(f *pb.FieldCondition) bool {
	return f.Match != nil || f.Range != nil || f.GeoBoundingBox != nil || f.GeoRadius != nil || f.ValuesCount != nil ||
		f.GeoPolygon != nil || f.DatetimeRange != nil || f.IsEmpty != nil || f.IsNull != nil
}

func (c *checks) selector(p *place, s *pb.PointsSelector) {
	c.filter(p.member("filter"), s.GetFilter())
}

func (c *checks) upsert(p *place, points []*pb.PointStruct, update *pb.Filter) {
	all := p.member("points")
	for i, point := range points {
		one := place{up: all, i: i}
		c.vectors(&one, point.Vectors)
	}
	c.filter(p.member("update_filter"), update)
}

func (c *checks) updateVectors(p *place, points []*pb.PointVectors, update *pb.Filter) {
	all := p.member("points")
	for i, point := range points {
		one := place{up: all, i: i}
		if named := point.GetVectors().GetVectors(); named != nil && len(named.Vectors) == 0 {
			c.fail(one.member("vector"), "must specify vectors to update for point")
		}
		c.vectors(&one, point.Vectors)
	}
	c.filter(p.member("update_filter"), update)
}

func (c *checks) deleteVectors(p *place, s *pb.PointsSelector, v *pb.VectorsSelector) {
	c.selector(p, s)
	if len(v.GetNames()) == 0 {
		c.fail(p.member("vector"), "value invalid, must specify vector names to delete")
	}
}

// vectors checks what the point at p has.
func (c *checks) vectors(p *place, v *pb.Vectors) {
	at := place{up: p, name: "vector"}
	switch v := v.GetVectorsOptions().(type) {
	case *pb.Vectors_Vector:
		c.vector(&at, v.Vector)
	case *pb.Vectors_Vectors:
		each := place{up: &at, name: "?"}
		for _, one := range v.Vectors.Vectors {
			c.vector(&each, one)
		}
	}
}

func (c *checks) vector(p *place, v *pb.Vector) {
	switch v := v.GetVector().(type) {
	case *pb.Vector_Sparse:
		c.sparse(p, v.Sparse)
	case *pb.Vector_MultiDense:
		c.multi(p, v.MultiDense)
	default: // lengths are the collection's matter
	}
}

func (c *checks) input(p *place, v *pb.VectorInput) {
	switch v := v.GetVariant().(type) {
	case *pb.VectorInput_Sparse:
		c.sparse(p, v.Sparse)
	case *pb.VectorInput_MultiDense:
		c.multi(p, v.MultiDense)
	default: // lengths are the collection's matter
	}
}

func (c *checks) sparse(p *place, v *pb.SparseVector) {
	if len(v.Indices) != len(v.Values) {
		c.fail(p.member("values"), "Validation error: must be the same length as indices [{}]")
	}
	if hasDuplicates(v.Indices) {
		c.fail(p.member("indices"), "Validation error: must be unique [{}]")
	}
}

// hasDuplicates looks for equal numbers; lists in order, the usual ones, are
// looked through without copying.
func hasDuplicates(ns []uint32) bool {
	rising := true
	for i := 1; i < len(ns) && rising; i++ {
		rising = ns[i-1] < ns[i]
	}
	if rising {
		return false
	}
	sorted := slices.Clone(ns)
	slices.Sort(sorted)
	return len(slices.Compact(sorted)) < len(ns)
}

func (c *checks) multi(p *place, v *pb.MultiDenseVector) {
	for _, row := range v.Vectors {
		if len(row.Data) == 0 {
			c.fail(p.member("data"), "all vectors must be non-empty")
			return
		}
		if len(row.Data) != len(v.Vectors[0].Data) {
			c.fail(p.member("data"), "all vectors must have the same dimension, found vector with dimension %d", len(row.Data))
			return
		}
	}
}

func (c *checks) updateBatch(m *pb.UpdateBatchPoints) {
	all := root.member("operations")
	for i, op := range m.Operations {
		p := all.index(i)
		switch op := op.Operation.(type) {
		case *pb.PointsUpdateOperation_Upsert:
			c.upsert(p.member("upsert"), op.Upsert.Points, op.Upsert.UpdateFilter)
		case *pb.PointsUpdateOperation_DeletePoints_:
			c.selector(p.member("delete"), op.DeletePoints.Points)
		case *pb.PointsUpdateOperation_SetPayload_:
			c.selector(p.member("set_payload"), op.SetPayload.PointsSelector)
		case *pb.PointsUpdateOperation_OverwritePayload_:
			c.selector(p.member("overwrite_payload"), op.OverwritePayload.PointsSelector)
		case *pb.PointsUpdateOperation_DeletePayload_:
			c.selector(p.member("delete_payload"), op.DeletePayload.PointsSelector)
		case *pb.PointsUpdateOperation_ClearPayload_:
			c.selector(p.member("clear_payload"), op.ClearPayload.Points)
		case *pb.PointsUpdateOperation_UpdateVectors_:
			c.updateVectors(p.member("update_vectors"), op.UpdateVectors.Points, op.UpdateVectors.UpdateFilter)
		case *pb.PointsUpdateOperation_DeleteVectors_:
			c.deleteVectors(p.member("delete_vectors"), op.DeleteVectors.PointsSelector, op.DeleteVectors.Vectors)
		}
	}
}

func (c *checks) params(p *place, s *pb.SearchParams) {
	if s == nil {
		return
	}
	c.atLeast1(p.member("hnsw_ef"), s.HnswEf != nil, s.GetHnswEf())
	if q := s.Quantization; q != nil && q.Oversampling != nil && *q.Oversampling < 1 {
		c.fail(p.member("quantization").member("oversampling"), "value %g invalid, must be 1 or larger", *q.Oversampling)
	}
	if a := s.GetAcorn(); a != nil && a.MaxSelectivity != nil && (*a.MaxSelectivity < 0 || *a.MaxSelectivity > 1) {
		c.fail(p.member("acorn").member("max_selectivity"), "value %g invalid, must be from 0 to 1", *a.MaxSelectivity)
	}
	c.filter(p.member("idf").member("corpus"), s.GetIdf().GetCorpus())
}

func (c *checks) query(p *place, m *pb.QueryPoints) {
	c.prefetches(p.member("prefetch"), m.Prefetch)
	c.queryOf(p.member("query"), m.Query)
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.atLeast1(p.member("limit"), m.Limit != nil, m.GetLimit())
}

func (c *checks) prefetches(p *place, list []*pb.PrefetchQuery) {
	for i, m := range list {
		one := p.index(i)
		c.prefetches(one.member("prefetch"), m.Prefetch)
		c.queryOf(one.member("query"), m.Query)
		c.filter(one.member("filter"), m.Filter)
		c.params(one.member("params"), m.Params)
		c.atLeast1(one.member("limit"), m.Limit != nil, m.GetLimit())
	}
}

func (c *checks) queryOf(p *place, q *pb.Query) {
	switch v := q.GetVariant().(type) {
	case *pb.Query_Nearest:
		c.input(p, v.Nearest)
	case *pb.Query_NearestWithMmr:
		c.input(p.member("nearest"), v.NearestWithMmr.Nearest)
		c.mmr(p.member("mmr"), v.NearestWithMmr.Mmr)
	case *pb.Query_Recommend:
		c.inputs(p.member("recommend").member("positive"), v.Recommend.Positive)
		c.inputs(p.member("recommend").member("negative"), v.Recommend.Negative)
	case *pb.Query_Discover:
		c.input(p.member("discover").member("target"), v.Discover.Target)
	case *pb.Query_Rrf:
		if v.Rrf.K != nil {
			c.atLeast1(p.member("rrf").member("k"), true, uint64(*v.Rrf.K))
		}
	default: // has no limits
	}
}

func (c *checks) inputs(p *place, list []*pb.VectorInput) {
	for i, v := range list {
		c.input(p.index(i), v)
	}
}

// maxCandidates is the most points among which MMR may choose.
const maxCandidates = 16384

func (c *checks) mmr(p *place, m *pb.Mmr) {
	if d := m.GetDiversity(); d < 0 || d > 1 {
		c.fail(p.member("diversity"), "value %g invalid, must be from 0 to 1", d)
	}
	if n := m.GetCandidatesLimit(); n > maxCandidates {
		c.fail(p.member("candidates_limit"), "value %d invalid, must be from 0 to %d", n, maxCandidates)
	}
}

func (c *checks) queryGroups(m *pb.QueryPointGroups) {
	p := root.member("search_group_request")
	c.prefetches(p.member("prefetch"), m.Prefetch)
	c.queryOf(p.member("query"), m.Query)
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.group(p, m.GroupBy, m.Limit != nil, m.GetLimit(), m.GroupSize != nil, m.GetGroupSize())
}

func (c *checks) group(p *place, by string, hasLimit bool, limit uint64, hasSize bool, size uint64) {
	g := p.member("group_request")
	if by == "" {
		c.fail(g.member("group_by"), "value invalid, must be at least 1 characters")
	}
	c.atLeast1(g.member("group_size"), hasSize, size)
	c.atLeast1(g.member("limit"), hasLimit, limit)
}

func (c *checks) search(p *place, m *pb.SearchPoints) {
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.atLeast1(p.member("limit"), true, m.Limit)
	c.searchVector(p, m.Vector, m.SparseIndices)
}

func (c *checks) searchVector(p *place, values []float32, indices *pb.SparseIndices) {
	if indices != nil {
		c.sparse(p.member("vector"), &pb.SparseVector{Indices: indices.Data, Values: values})
	}
}

func (c *checks) searchGroups(m *pb.SearchPointGroups) {
	p := root.member("search_group_request")
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.group(p, m.GroupBy, true, uint64(m.Limit), true, uint64(m.GroupSize))
	c.searchVector(p, m.Vector, m.SparseIndices)
}

func (c *checks) recommend(p *place, m *pb.RecommendPoints) {
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.atLeast1(p.member("limit"), true, m.Limit)
	c.examples(p, m.PositiveVectors, m.NegativeVectors)
}

func (c *checks) examples(p *place, lists ...[]*pb.Vector) {
	for _, list := range lists {
		for _, v := range list {
			c.vector(p.member("?"), v)
		}
	}
}

func (c *checks) recommendGroups(m *pb.RecommendPointGroups) {
	p := root.member("recommend_group_request")
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.group(p, m.GroupBy, true, uint64(m.Limit), true, uint64(m.GroupSize))
	c.examples(p, m.PositiveVectors, m.NegativeVectors)
}

func (c *checks) discover(p *place, m *pb.DiscoverPoints) {
	c.filter(p.member("filter"), m.Filter)
	c.params(p.member("params"), m.Params)
	c.atLeast1(p.member("limit"), true, m.Limit)
}

// sizes of dense vectors.
const (
	minSize = 1
	maxSize = 65536
)

func (c *checks) between(p *place, has bool, n, low, high uint64) {
	if has && (n < low || n > high) {
		c.fail(p, "value %d invalid, must be from %d to %d", n, low, high)
	}
}

func (c *checks) larger(p *place, has bool, n, low uint64) {
	if has && n < low {
		c.fail(p, "value %d invalid, must be %d or larger", n, low)
	}
}

func (c *checks) createCollection(m *pb.CreateCollection) {
	vectors := root.member("vectors")
	switch v := m.VectorsConfig.GetConfig().(type) {
	case *pb.VectorsConfig_Params:
		c.vectorParams(vectors, v.Params)
	case *pb.VectorsConfig_ParamsMap:
		for name, p := range v.ParamsMap.Map {
			c.vectorParams(vectors.member(name), p)
		}
	}
	c.hnsw(root.member("hnsw_config"), m.HnswConfig)
	c.wal(root.member("wal_config"), m.WalConfig)
	c.optimizers(root.member("optimizers_config"), m.OptimizersConfig)
	c.quantization(root.member("quantization_config"), m.QuantizationConfig.GetScalar())
	c.quantizationKind("quantization_config", m.QuantizationConfig)
	c.atLeast1(root.member("shard_number"), m.ShardNumber != nil, uint64(m.GetShardNumber()))
	c.atLeast1(root.member("replication_factor"), m.ReplicationFactor != nil, uint64(m.GetReplicationFactor()))
	c.atLeast1(root.member("write_consistency_factor"), m.WriteConsistencyFactor != nil, uint64(m.GetWriteConsistencyFactor()))
	c.strict(root.member("strict_mode_config"), m.StrictModeConfig)
}

func (c *checks) vectorParams(p *place, v *pb.VectorParams) {
	c.between(p.member("size"), true, v.Size, minSize, maxSize)
	c.hnsw(p.member("hnsw_config"), v.HnswConfig)
	c.quantization(p.member("quantization_config"), v.QuantizationConfig.GetScalar())
	c.quantizationKind("quantization_config", v.QuantizationConfig)
	if v.GetMemory() == pb.Memory_Pinned {
		c.fail(p.member("memory"), "`pinned` is not supported for dense vector storage")
	}
}

// quantizationKind complains of a configuration that names no kind.
func (c *checks) quantizationKind(name string, q *pb.QuantizationConfig) {
	if q != nil && q.Quantization == nil {
		c.fail(root.member(name), "value invalid, must be one of scalar, product, binary, turbo")
	}
}

func (c *checks) hnsw(p *place, h *pb.HnswConfigDiff) {
	if h == nil {
		return
	}
	c.between(p.member("m"), h.M != nil, h.GetM(), 0, 10000)
	c.larger(p.member("ef_construct"), h.EfConstruct != nil, h.GetEfConstruct(), 4)
	c.between(p.member("payload_m"), h.PayloadM != nil, h.GetPayloadM(), 0, 10000)
}

func (c *checks) wal(p *place, w *pb.WalConfigDiff) {
	c.atLeast1(p.member("wal_capacity_mb"), w != nil && w.WalCapacityMb != nil, w.GetWalCapacityMb())
	c.atLeast1(p.member("wal_retain_closed"), w != nil && w.WalRetainClosed != nil, w.GetWalRetainClosed())
}

func (c *checks) optimizers(p *place, o *pb.OptimizersConfigDiff) {
	if o == nil {
		return
	}
	if t := o.DeletedThreshold; t != nil && (*t < 0 || *t > 1) {
		c.fail(p.member("deleted_threshold"), "value %g invalid, must be from 0 to 1", *t)
	}
	c.larger(p.member("vacuum_min_vector_number"), o.VacuumMinVectorNumber != nil, o.GetVacuumMinVectorNumber(), 100)
	c.atLeast1(p.member("max_segment_size"), o.MaxSegmentSize != nil, o.GetMaxSegmentSize())
}

func (c *checks) quantization(p *place, s *pb.ScalarQuantization) {
	if s != nil && s.Quantile != nil && (*s.Quantile < 0.5 || *s.Quantile > 1) {
		c.fail(p.member("scalar").member("quantile"), "value %g invalid, must be from 0.5 to 1", *s.Quantile)
	}
}

func (c *checks) strict(p *place, s *pb.StrictModeConfig) {
	if s == nil {
		return
	}
	c.atLeast1(p.member("max_query_limit"), s.MaxQueryLimit != nil, uint64(s.GetMaxQueryLimit()))
	c.atLeast1(p.member("max_timeout"), s.MaxTimeout != nil, uint64(s.GetMaxTimeout()))
	c.atLeast1(p.member("read_rate_limit"), s.ReadRateLimit != nil, uint64(s.GetReadRateLimit()))
	c.atLeast1(p.member("write_rate_limit"), s.WriteRateLimit != nil, uint64(s.GetWriteRateLimit()))
	c.atLeast1(p.member("max_points_count"), s.MaxPointsCount != nil, s.GetMaxPointsCount())
}

func (c *checks) updateCollection(m *pb.UpdateCollection) {
	c.hnsw(root.member("hnsw_config"), m.HnswConfig)
	c.optimizers(root.member("optimizers_config"), m.OptimizersConfig)
	c.quantization(root.member("quantization_config"), m.QuantizationConfig.GetScalar())
	for name, v := range m.VectorsConfig.GetParamsMap().GetMap() {
		p := root.member("vectors").member(name)
		c.hnsw(p.member("hnsw_config"), v.HnswConfig)
		c.quantization(p.member("quantization_config"), v.QuantizationConfig.GetScalar())
	}
	if p := m.Params; p != nil {
		at := root.member("params")
		c.atLeast1(at.member("replication_factor"), p.ReplicationFactor != nil, uint64(p.GetReplicationFactor()))
		c.atLeast1(at.member("write_consistency_factor"), p.WriteConsistencyFactor != nil, uint64(p.GetWriteConsistencyFactor()))
	}
	c.strict(root.member("strict_mode_config"), m.StrictModeConfig)
}

func (c *checks) createFieldIndex(m *pb.CreateFieldIndexCollection) {
	if p := m.FieldIndexParams.GetIntegerIndexParams(); p != nil && p.Lookup != nil && p.Range != nil && !*p.Lookup && !*p.Range {
		c.fail(root.member("field_schema"), "Validation error: the 'lookup' and 'range' capabilities can't be both disabled [{}]")
	}
}
