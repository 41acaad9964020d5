package shard

import (
	"fmt"
	"math"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/sparse"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vectorindex"
)

// encodeConfig returns what the manifest keeps of a shard besides files: a
// CollectionInfo with configuration and payload schema.
func encodeConfig(st *state) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.CollectionInfo{
		Config: st.config, PayloadSchema: st.payloadSchema(false),
	})
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return b, nil
}

// decodeConfig is the inverse of encodeConfig. The manifest's checksum was right, so
// bytes that don't parse were damaged before it was made.
func decodeConfig(b []byte) (*pb.CollectionInfo, error) {
	var info pb.CollectionInfo
	if err := proto.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("decode configuration: %w: %w", err, segment.ErrCorrupted)
	}
	if info.Config == nil {
		info.Config = &pb.CollectionConfig{}
	}
	return &info, nil
}

// denseConfig returns what the index of a dense vector name is configured to:
// the name's own settings over those of the collection. Settings of the graph are
// taken one by one, a quantization as a whole. The public API writes 0 both for
// "off" and for "choose yourself", by the setting: see orNever and orDefault.
func denseConfig(c *pb.CollectionConfig, p *pb.VectorParams) vectorindex.Config {
	layers := []*pb.HnswConfigDiff{p.GetHnswConfig(), c.GetHnswConfig()}
	quant, opt := p.GetQuantizationConfig(), c.GetOptimizerConfig()
	if quant == nil {
		quant = c.GetQuantizationConfig()
	}
	out := vectorindex.Config{
		Dim: int(p.GetSize()), Distance: distances[p.GetDistance()], Datatype: datatype(p.GetDatatype()),
		M:                   orNever(pick(layers, func(h *pb.HnswConfigDiff) *uint64 { return h.M })),
		EfConstruct:         orDefault(pick(layers, func(h *pb.HnswConfigDiff) *uint64 { return h.EfConstruct })),
		FullScanThresholdKB: orNever(pick(layers, func(h *pb.HnswConfigDiff) *uint64 { return h.FullScanThreshold })),
		MaxIndexingThreads:  orDefault(pick(layers, func(h *pb.HnswConfigDiff) *uint64 { return h.MaxIndexingThreads })),
		OnDisk:              onDisk(p.Memory, p.OnDisk), //nolint:staticcheck // clients still send the deprecated flag
		Quantization:        quantizationConfig(quant),
		DeletedThreshold:    opt.GetDeletedThreshold(),
	}
	if opt != nil {
		out.IndexingThresholdKB = orNever(opt.IndexingThreshold)
		out.VacuumMin = orDefault(opt.VacuumMinVectorNumber)
	}
	// Placement has two fields, of which the newer one wins within a layer. So the
	// first layer that has either decides alone.
	for _, h := range layers {
		if h != nil && (h.Memory != nil || h.OnDisk != nil) { //nolint:staticcheck // as above
			out.HNSWOnDisk = onDisk(h.Memory, h.OnDisk) //nolint:staticcheck // as above
			break
		}
	}
	return out
}

// pick returns the first value that is set.
func pick(layers []*pb.HnswConfigDiff, field func(*pb.HnswConfigDiff) *uint64) *uint64 {
	for _, h := range layers {
		if h != nil && field(h) != nil {
			return field(h)
		}
	}
	return nil
}

// orDefault turns a setting into an index's: 0 is the default there.
func orDefault(v *uint64) int {
	if v == nil {
		return 0
	}
	return int(min(*v, math.MaxInt32))
}

// orNever is orDefault for a setting whose 0 means off, which is −1 there.
func orNever(v *uint64) int {
	if v != nil && *v == 0 {
		return -1
	}
	return orDefault(v)
}

// onDisk reads the placement of memory, and the flag that it supersedes.
func onDisk(m *pb.Memory, flag *bool) bool {
	if m != nil && *m != pb.Memory_MemoryUnknown {
		return *m == pb.Memory_Cold
	}
	return flag != nil && *flag
}

// datatype reads the type of elements; one that isn't given is float32.
func datatype(d pb.Datatype) vector.Datatype {
	switch d {
	case pb.Datatype_Float16:
		return vector.Float16
	case pb.Datatype_Uint8:
		return vector.Uint8
	default:
		return vector.Float32
	}
}

// sparseConfig returns what the index of a sparse vector name is configured to.
func sparseConfig(p *pb.SparseVectorParams) sparse.Config {
	return sparse.Config{
		IDF:               p.GetModifier() == pb.Modifier_Idf,
		FullScanThreshold: int(min(p.GetIndex().GetFullScanThreshold(), math.MaxInt32)),
		Datatype:          datatype(p.GetIndex().GetDatatype()),
	}
}

// quantizationConfig reads one of the API's four methods; none is the zero value,
// with which the index chooses its own codes. Compression ratios are powers of two
// from ×4, the enumeration's 0.
func quantizationConfig(q *pb.QuantizationConfig) quantization.Config {
	switch x := q.GetQuantization().(type) {
	case *pb.QuantizationConfig_Scalar:
		return quantization.Config{
			Method: quantization.Scalar, Quantile: x.Scalar.GetQuantile(),
			AlwaysRAM: x.Scalar.GetAlwaysRam(), //nolint:staticcheck // clients still send the deprecated flag
		}
	case *pb.QuantizationConfig_Binary:
		return quantization.Config{
			Method: quantization.Binary, Encoding: binaryBits[x.Binary.GetEncoding()],
			QueryEncoding: queryEncodings[x.Binary.GetQueryEncoding().GetSetting()],
			AlwaysRAM:     x.Binary.GetAlwaysRam(), //nolint:staticcheck // as above
		}
	case *pb.QuantizationConfig_Product:
		return quantization.Config{
			Method: quantization.Product, Compression: 4 << min(x.Product.GetCompression(), pb.CompressionRatio_x64),
			AlwaysRAM: x.Product.GetAlwaysRam(), //nolint:staticcheck // as above
		}
	case *pb.QuantizationConfig_Turboquant:
		bits := quantization.FourBits
		if x.Turboquant.Bits != nil {
			bits = turboBits[x.Turboquant.GetBits()]
		}
		return quantization.Config{
			Method: quantization.Turbo, Bits: bits,
			AlwaysRAM: x.Turboquant.GetAlwaysRam(), //nolint:staticcheck // as above
		}
	default:
		return quantization.Config{}
	}
}

var (
	binaryBits = map[pb.BinaryQuantizationEncoding]quantization.Bits{
		pb.BinaryQuantizationEncoding_OneBit:         quantization.OneBit,
		pb.BinaryQuantizationEncoding_OneAndHalfBits: quantization.OneAndHalfBits,
		pb.BinaryQuantizationEncoding_TwoBits:        quantization.TwoBits,
	}
	queryEncodings = map[pb.BinaryQuantizationQueryEncoding_Setting]quantization.QueryEncoding{
		pb.BinaryQuantizationQueryEncoding_Default:     quantization.QueryDefault,
		pb.BinaryQuantizationQueryEncoding_Binary:      quantization.QueryBinary,
		pb.BinaryQuantizationQueryEncoding_Scalar4Bits: quantization.QueryScalar4Bits,
		pb.BinaryQuantizationQueryEncoding_Scalar8Bits: quantization.QueryScalar8Bits,
	}
	turboBits = map[pb.TurboQuantBitSize]quantization.Bits{
		pb.TurboQuantBitSize_Bits1:   quantization.OneBit,
		pb.TurboQuantBitSize_Bits1_5: quantization.OneAndHalfBits,
		pb.TurboQuantBitSize_Bits2:   quantization.TwoBits,
		pb.TurboQuantBitSize_Bits4:   quantization.FourBits,
	}
)
