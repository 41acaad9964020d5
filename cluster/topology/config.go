package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/internal/apierror"
)

// The limits of the public API.
const (
	maxDimension       = 65536
	maxCollectionName  = 255
	maxVectorName      = 200
	maxShards          = 1024 // a request must not make a node open more files than it has
	minEfConstruct     = 4
	minVacuumVectors   = 100
	forbiddenNameChars = "<>:\"/\\|?*\x00\x1f"
)

// MostShards returns n, or the most shards that a new collection may have.
func MostShards(n uint64) uint32 { return uint32(min(n, maxShards)) } //nolint:gosec // bounded

// Defaults are what a node's configuration file says about collections that
// leave something out. Unset fields get the built-in value.
type Defaults struct {
	// ShardNumber, ReplicationFactor and WriteConsistencyFactor default to 1.
	ShardNumber, ReplicationFactor, WriteConsistencyFactor uint32
	// VectorsOnDisk and VectorsMemory place vectors that have no placement.
	VectorsOnDisk *bool
	// VectorsMemory supersedes VectorsOnDisk.
	VectorsMemory *pb.Memory
	// OnDiskPayload is the payload placement that collection info reports.
	OnDiskPayload bool
	// HNSW, Optimizers and WAL override single built-in values.
	HNSW *pb.HnswConfigDiff
	// Optimizers overrides single built-in values.
	Optimizers *pb.OptimizersConfigDiff
	// WAL overrides single built-in values.
	WAL *pb.WalConfigDiff
}

// builtin returns the values that hold when neither request nor node say
// anything.
func builtin() *pb.CollectionConfig {
	return &pb.CollectionConfig{
		Params: &pb.CollectionParams{},
		HnswConfig: &pb.HnswConfigDiff{
			M: proto.Uint64(16), EfConstruct: proto.Uint64(100), FullScanThreshold: proto.Uint64(10_000),
			MaxIndexingThreads: proto.Uint64(0), OnDisk: new(bool), //nolint:staticcheck // clients expect the old spelling in collection info
		},
		OptimizerConfig: &pb.OptimizersConfigDiff{
			DeletedThreshold: new(0.2), VacuumMinVectorNumber: proto.Uint64(1000),
			DefaultSegmentNumber: proto.Uint64(0), IndexingThreshold: proto.Uint64(10_000),
			FlushIntervalSec: proto.Uint64(5),
		},
		WalConfig: &pb.WalConfigDiff{
			WalCapacityMb: proto.Uint64(32), WalSegmentsAhead: proto.Uint64(0), WalRetainClosed: proto.Uint64(1),
		},
	}
}

// NewConfig returns the complete configuration of a collection that is to be
// created, or says everything that is wrong with the request.
func NewConfig(req *pb.CreateCollection, d Defaults) (*pb.CollectionConfig, error) {
	c := builtin()
	proto.Merge(c.HnswConfig, orEmpty(d.HNSW))
	proto.Merge(c.HnswConfig, orEmpty(req.GetHnswConfig()))
	proto.Merge(c.OptimizerConfig, orEmpty(d.Optimizers))
	proto.Merge(c.OptimizerConfig, orEmpty(req.GetOptimizersConfig()))
	proto.Merge(c.WalConfig, orEmpty(d.WAL))
	proto.Merge(c.WalConfig, orEmpty(req.GetWalConfig()))
	onDisk := d.OnDiskPayload
	if req.OnDiskPayload != nil { //nolint:staticcheck // deprecated by the API, still sent by clients
		onDisk = req.GetOnDiskPayload() //nolint:staticcheck // as above
	}
	c.Params = &pb.CollectionParams{
		ShardNumber:            firstNonZero(req.GetShardNumber(), d.ShardNumber, 1),
		ReplicationFactor:      new(firstNonZero(req.GetReplicationFactor(), d.ReplicationFactor, 1)),
		WriteConsistencyFactor: new(firstNonZero(req.GetWriteConsistencyFactor(), d.WriteConsistencyFactor, 1)),
		OnDiskPayload:          onDisk, //nolint:staticcheck // clients expect the old spelling in collection info
		VectorsConfig:          proto.CloneOf(req.GetVectorsConfig()),
		SparseVectorsConfig:    proto.CloneOf(req.GetSparseVectorsConfig()),
		ShardingMethod:         req.ShardingMethod,
		Payload:                proto.CloneOf(req.GetPayload()),
	}
	for _, v := range DenseVectors(c.GetParams()) {
		if v.OnDisk == nil && v.Memory == nil { //nolint:staticcheck // deprecated by the API, still sent by clients
			v.OnDisk, v.Memory = d.VectorsOnDisk, d.VectorsMemory //nolint:staticcheck // as above
		}
	}
	c.QuantizationConfig = proto.CloneOf(req.GetQuantizationConfig())
	c.StrictModeConfig = proto.CloneOf(req.GetStrictModeConfig())
	if c.StrictModeConfig == nil {
		c.StrictModeConfig = &pb.StrictModeConfig{Enabled: new(bool)}
	}
	c.Metadata = maps.Clone(req.GetMetadata())

	var v faults
	v.zero("shard_number", req.ShardNumber)
	if n := c.GetParams().GetShardNumber(); n > maxShards {
		v.add("shard_number", "value %d invalid, must be from 1 to %d", n, maxShards)
	}
	v.zero("replication_factor", req.ReplicationFactor)
	v.zero("write_consistency_factor", req.WriteConsistencyFactor)
	if err := v.config(c); err != nil {
		return nil, err
	}
	return c, nil
}

// MergeConfig returns old with the changes of an update request applied, or says
// everything that is wrong with them. old stays as it is.
func MergeConfig(old *pb.CollectionConfig, req *pb.UpdateCollection) (*pb.CollectionConfig, error) {
	c := proto.CloneOf(old)
	var v faults
	proto.Merge(c.HnswConfig, orEmpty(req.GetHnswConfig()))
	proto.Merge(c.OptimizerConfig, orEmpty(req.GetOptimizersConfig()))
	if s := req.GetStrictModeConfig(); s != nil {
		proto.Merge(c.StrictModeConfig, s)
	}
	mergeParams(c.Params, req.GetParams())
	c.QuantizationConfig = mergeQuantization(c.QuantizationConfig, req.GetQuantizationConfig())
	v.mergeVectors(c.Params, req.GetVectorsConfig())
	for name, p := range req.GetSparseVectorsConfig().GetMap() {
		have, ok := c.Params.GetSparseVectorsConfig().GetMap()[name]
		if !ok {
			v.add("sparse_vectors", "Not existing vector name: %s", name)
			continue
		}
		proto.Merge(have, p)
	}
	if len(req.GetMetadata()) > 0 {
		c.Metadata = maps.Clone(c.Metadata)
		if c.Metadata == nil {
			c.Metadata = map[string]*pb.Value{}
		}
		maps.Copy(c.Metadata, req.GetMetadata())
		maps.DeleteFunc(c.Metadata, func(_ string, v *pb.Value) bool {
			_, null := v.GetKind().(*pb.Value_NullValue)
			return null
		})
	}
	if err := v.config(c); err != nil {
		return nil, err
	}
	return c, nil
}

func mergeParams(p *pb.CollectionParams, d *pb.CollectionParamsDiff) {
	if d == nil {
		return
	}
	if d.ReplicationFactor != nil {
		p.ReplicationFactor = new(d.GetReplicationFactor())
	}
	if d.WriteConsistencyFactor != nil {
		p.WriteConsistencyFactor = new(d.GetWriteConsistencyFactor())
	}
	if d.OnDiskPayload != nil { //nolint:staticcheck // deprecated by the API, still sent by clients
		p.OnDiskPayload = d.GetOnDiskPayload() //nolint:staticcheck // as above
	}
	if d.ReadFanOutFactor != nil {
		p.ReadFanOutFactor = new(d.GetReadFanOutFactor())
	}
	if d.ReadFanOutDelayMs != nil {
		p.ReadFanOutDelayMs = new(d.GetReadFanOutDelayMs())
	}
	if d.Payload != nil {
		p.Payload = proto.CloneOf(d.GetPayload())
	}
}

// mergeQuantization replaces the whole method: parts of different methods don't
// mix.
func mergeQuantization(old *pb.QuantizationConfig, d *pb.QuantizationConfigDiff) *pb.QuantizationConfig {
	switch q := d.GetQuantization().(type) {
	case *pb.QuantizationConfigDiff_Disabled:
		return nil
	case *pb.QuantizationConfigDiff_Scalar:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Scalar{Scalar: q.Scalar}}
	case *pb.QuantizationConfigDiff_Product:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Product{Product: q.Product}}
	case *pb.QuantizationConfigDiff_Binary:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Binary{Binary: q.Binary}}
	case *pb.QuantizationConfigDiff_Turboquant:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Turboquant{Turboquant: q.Turboquant}}
	default:
		return old
	}
}

// faults gathers everything that is wrong, so that a client sees it at once.
type faults struct {
	invalid []string // breaks a limit: 422
	missing []string // asks for what isn't built
	wrong   []string // makes no sense: 400
}

func (v *faults) add(field, format string, args ...any) {
	v.invalid = append(v.invalid, field+": "+fmt.Sprintf(format, args...))
}

func (v *faults) unbuilt(what string) { v.missing = append(v.missing, what) }

func (v *faults) zero(field string, n *uint32) {
	if n != nil && *n == 0 {
		v.add(field, "value 0 invalid, must be 1 or larger")
	}
}

func (v *faults) err() error {
	switch {
	case len(v.invalid) > 0:
		slices.Sort(v.invalid)
		return apierror.New(apierror.Validation, "[%s]", strings.Join(v.invalid, "; "))
	case len(v.wrong) > 0:
		slices.Sort(v.wrong)
		return apierror.New(apierror.BadInput, "%s", strings.Join(v.wrong, "; "))
	case len(v.missing) > 0:
		slices.Sort(v.missing)
		return apierror.New(apierror.NotImplemented, "%s: not implemented yet", strings.Join(v.missing, ", "))
	default:
		return nil
	}
}

func (v *faults) config(c *pb.CollectionConfig) error {
	v.enums("", c.ProtoReflect())
	v.hnsw("hnsw_config", c.GetHnswConfig())
	v.quantization("quantization_config", c.GetQuantizationConfig())
	o := c.GetOptimizerConfig()
	if t := o.GetDeletedThreshold(); !(t >= 0 && t <= 1) {
		v.add("optimizers_config.deleted_threshold", "value %v invalid, must be from 0 to 1", t)
	}
	if n := o.GetVacuumMinVectorNumber(); n < minVacuumVectors {
		v.add("optimizers_config.vacuum_min_vector_number", "value %d invalid, must be %d or larger", n, minVacuumVectors)
	}
	if c.GetWalConfig().GetWalCapacityMb() == 0 {
		v.add("wal_config.wal_capacity_mb", "value 0 invalid, must be 1 or larger")
	}
	p := c.GetParams()
	v.zero("params.replication_factor", p.ReplicationFactor)
	v.zero("params.write_consistency_factor", p.WriteConsistencyFactor)
	if c.GetStrictModeConfig().GetEnabled() {
		v.unbuilt("strict_mode_config")
	}
	if p.GetPayload().GetMemory() == pb.Memory_Pinned {
		v.add("payload.memory", "`pinned` is not supported for payload storage")
	}
	v.vectors(p)
	return v.err()
}

// enums refuses numbers that no name belongs to, which the binary protocol
// lets through, wherever they are in m. Free-form metadata has no enumerations.
func (v *faults) enums(path string, m protoreflect.Message) {
	for fd, value := range m.Range {
		field := strings.TrimPrefix(path+"."+string(fd.Name()), ".")
		switch {
		case fd.Kind() == protoreflect.EnumKind:
			if n := value.Enum(); fd.Enum().Values().ByNumber(n) == nil {
				v.add(field, "unknown value %d", n)
			}
		case fd.IsMap() && fd.MapValue().Kind() == protoreflect.MessageKind:
			for key, one := range value.Map().Range {
				v.enums(field+"."+key.String(), one.Message())
			}
		case !fd.IsMap() && !fd.IsList() && fd.Kind() == protoreflect.MessageKind:
			v.enums(field, value.Message())
		}
	}
}

// DenseVectors returns the dense vectors of a collection by name; a single
// unnamed one has the name "".
func DenseVectors(p *pb.CollectionParams) map[string]*pb.VectorParams {
	if m := p.GetVectorsConfig().GetParamsMap(); m != nil {
		return m.GetMap()
	}
	if one := p.GetVectorsConfig().GetParams(); one != nil {
		return map[string]*pb.VectorParams{"": one}
	}
	return nil
}

func (v *faults) vectors(p *pb.CollectionParams) {
	dense := DenseVectors(p)
	for name, vp := range dense {
		field := "vectors"
		if p.GetVectorsConfig().GetParamsMap() != nil {
			field += "." + name
			v.vectorName(field, name)
		}
		v.vector(field, vp)
	}
	for name, sp := range p.GetSparseVectorsConfig().GetMap() {
		field := "sparse_vectors." + name
		v.vectorName(field, name)
		if name == "" {
			v.add(field, "Sparse vector name cannot be empty")
		}
		if _, taken := dense[name]; taken {
			v.wrong = append(v.wrong, fmt.Sprintf("Dense and sparse vector names must be unique - duplicate found with '%s'", name))
		}
		if sp.GetIndex().GetDatatype() == pb.Datatype_Turbo4 {
			v.add(field+".index.datatype", "sparse vectors do not support the turbo4 datatype")
		}
	}
}

func (v *faults) vectorName(field, name string) {
	if len(name) > maxVectorName {
		v.add(field, "vector name is longer than %d bytes", maxVectorName)
	}
	if strings.ContainsAny(name, forbiddenNameChars) {
		v.add(field, "vector name cannot contain any of %q", forbiddenNameChars)
	}
}

func (v *faults) vector(field string, p *pb.VectorParams) {
	if s := p.GetSize(); s < 1 || s > maxDimension {
		v.add(field+".size", "value %d invalid, must be from 1 to %d", s, maxDimension)
	}
	if p.GetDistance() == pb.Distance_UnknownDistance {
		v.add(field+".distance", "unknown distance")
	}
	if p.GetMemory() == pb.Memory_Pinned {
		v.add(field+".memory", "pinned is not supported for vectors")
	}
	if p.GetMultivectorConfig() != nil {
		v.unbuilt("multivector_config")
	}
	if p.GetDatatype() == pb.Datatype_Turbo4 {
		v.unbuilt("datatype turbo4")
	}
	v.hnsw(field+".hnsw_config", p.GetHnswConfig())
	v.quantization(field+".quantization_config", p.GetQuantizationConfig())
}

func (v *faults) hnsw(field string, h *pb.HnswConfigDiff) {
	if h == nil {
		return
	}
	if h.EfConstruct != nil && h.GetEfConstruct() < minEfConstruct {
		v.add(field+".ef_construct", "value %d invalid, must be %d or larger", h.GetEfConstruct(), minEfConstruct)
	}
	if m := h.GetM(); m > maxLinks {
		v.add(field+".m", "value %d invalid, must be from 0 to %d", m, maxLinks)
	}
}

// maxLinks bounds hnsw m: a node's links have a fixed width in memory.
const maxLinks = 512

func (v *faults) quantization(field string, q *pb.QuantizationConfig) {
	switch q := q.GetQuantization().(type) {
	case *pb.QuantizationConfig_Scalar:
		if q.Scalar.GetType() != pb.QuantizationType_Int8 {
			v.add(field+".scalar.type", "unknown type")
		}
		if n := q.Scalar.GetQuantile(); q.Scalar.Quantile != nil && !(n >= 0.5 && n <= 1) {
			v.add(field+".scalar.quantile", "value %v invalid, must be from 0.5 to 1", n)
		}
	case *pb.QuantizationConfig_Product:
		v.unbuilt("product quantization")
	case *pb.QuantizationConfig_Turboquant:
		v.unbuilt("turbo quantization")
	}
}

func (v *faults) mergeVectors(p *pb.CollectionParams, d *pb.VectorsConfigDiff) {
	diffs := d.GetParamsMap().GetMap()
	if one := d.GetParams(); one != nil {
		diffs = map[string]*pb.VectorParamsDiff{"": one}
	}
	dense := DenseVectors(p)
	for name, diff := range diffs {
		have, ok := dense[name]
		if !ok {
			v.wrong = append(v.wrong, "Not existing vector name error: "+name)
			continue
		}
		if diff.HnswConfig != nil {
			if have.HnswConfig == nil {
				have.HnswConfig = &pb.HnswConfigDiff{}
			}
			proto.Merge(have.HnswConfig, diff.HnswConfig)
		}
		have.QuantizationConfig = mergeQuantization(have.QuantizationConfig, diff.GetQuantizationConfig())
		if diff.OnDisk != nil { //nolint:staticcheck // deprecated by the API, still sent by clients
			have.OnDisk = diff.OnDisk //nolint:staticcheck // as above
		}
		if diff.Memory != nil {
			have.Memory = diff.Memory
		}
	}
}

// CheckName says what is wrong with the name of a new collection.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > maxCollectionName:
		return apierror.New(apierror.Validation, "[collection_name: length %d invalid, must be from 1 to %d]", len(name), maxCollectionName)
	case strings.ContainsAny(name, forbiddenNameChars):
		return apierror.New(apierror.Validation, "[collection_name: cannot contain any of %q]", forbiddenNameChars)
	case name == "." || name == "..":
		// Legal characters, but the name is also the name of a directory.
		return apierror.New(apierror.Validation, "[collection_name: %q is not allowed]", name)
	default:
		return nil
	}
}

func orEmpty[M any, P interface {
	*M
	proto.Message
}](m P) P {
	if m == nil {
		return new(M)
	}
	return m
}

func firstNonZero(values ...uint32) uint32 {
	for _, v := range values {
		if v != 0 {
			return v
		}
	}
	return 0
}
