// Package quantization turns vectors into short codes by which a graph is walked
// and a scan is made, before the best candidates are rescored from the raw vectors.
//
// Callers: engine/vectorindex trains a [Codec] on a sample, encodes rows into a
// [Store], and gives [Query] values to engine/hnsw as scorers.
//
// A code is made in three steps. The vector is rotated at random, so that every
// component carries the same share of the information whatever the data looks like
// (without it real text vectors had recall 0.10 instead of 0.98). The mean is
// subtracted. Then every component becomes a small integer. The kinds differ in the
// last step; see [Kind].
//
// # Invariants
//
//   - A Codec is immutable and may be used from any goroutine. Codes are
//     comparable only within one Codec: retraining means encoding all rows again.
//   - Every score is a distance: smaller is nearer. For Euclid it estimates the
//     squared distance, for Dot minus the inner product, for Cosine one of the two.
//     Scores of one Query are comparable with each other, not with those of another
//     codec, nor with raw scores.
//   - A score is never NaN, whatever was encoded.
package quantization

import (
	"errors"
	"fmt"
)

// Method is what a user may ask for.
type Method uint8

// The methods. The names other than Auto are those of the public API.
const (
	Auto    Method = iota // the engine's choice, 7 bits
	Scalar                // 7 bits
	Product               // bits by Compression
	Binary                // bits by Encoding
	Turbo                 // bits by Bits
)

// Bits is the number of bits that a component takes.
type Bits uint8

// The sizes of codes, ascending.
const (
	OneBit Bits = iota + 1
	OneAndHalfBits
	TwoBits
	FourBits
	SevenBits
)

// QueryEncoding is the precision of queries against codes of one or two bits.
type QueryEncoding uint8

// The query encodings.
const (
	QueryDefault     QueryEncoding = iota // as QueryScalar4Bits
	QueryBinary                           // a bit
	QueryScalar4Bits                      // 4 bits
	QueryScalar8Bits                      // 8 bits
)

// Config is what a user configured. The zero value leaves the choice to the
// engine. Product quantization means its rate of compression here: the same bytes
// per vector, by the codec that is best at that size.
type Config struct {
	Method Method
	// Quantile is the share of components that scalar codes must represent without
	// clipping, 0 = all. It is a lower bound: after rotation, clipping more than a
	// ten-thousandth only loses precision.
	Quantile float32
	// Encoding is the size of codes of Binary: OneBit (also when zero),
	// OneAndHalfBits or TwoBits.
	Encoding Bits
	// QueryEncoding is the precision of queries of Binary.
	QueryEncoding QueryEncoding
	// Compression is the rate of Product: 4, 8, 16, 32 or 64.
	Compression int
	// Bits is the size of codes of Turbo: OneBit … FourBits (when zero).
	Bits Bits
	// AlwaysRAM asks to keep codes in memory when vectors are on disk.
	AlwaysRAM bool
}

// fourBitsFrom is the dimension from which four bits are as precise as they need to
// be: the error of a distance relative to it falls with the root of the dimension,
// while the cost of a row, which is that of its cache lines, grows with it.
const fourBitsFrom = 512

// bits returns the size of codes that the configuration means for vectors of a
// dimension.
func (c Config) bits(dim int) (Bits, error) {
	switch c.Method {
	case Auto:
		if dim >= fourBitsFrom {
			return FourBits, nil
		}
		return SevenBits, nil
	case Scalar:
		return SevenBits, nil
	case Binary:
		if c.Encoding == 0 {
			return OneBit, nil
		}
		if c.Encoding <= TwoBits {
			return c.Encoding, nil
		}
	case Turbo:
		if c.Bits == 0 {
			return FourBits, nil
		}
		if c.Bits <= FourBits {
			return c.Bits, nil
		}
	case Product:
		switch c.Compression {
		case 0, 4:
			return SevenBits, nil
		case 8:
			return FourBits, nil
		case 16:
			return TwoBits, nil
		case 32, 64:
			return OneBit, nil
		}
	}
	return 0, fmt.Errorf("choose codec for %+v: %w", c, ErrConfig)
}

// planes returns the number of bits of a component of a query.
func (e QueryEncoding) planes() int {
	switch e {
	case QueryBinary:
		return 1
	case QueryScalar8Bits:
		return 8
	case QueryDefault, QueryScalar4Bits:
	}
	return 4
}

// Kind is a form of codes.
type Kind uint8

// The kinds.
const (
	// Uniform7 codes a component in 7 bits with one step for all rows. Distances
	// are integer arithmetic on the codes alone and exact between codes, with no
	// factors to fetch. For rows of similar length, and for unit vectors.
	Uniform7 Kind = iota + 1
	// Scaled7 codes a component in 7 bits with a step per row. For rows of very
	// different lengths, and inner products.
	Scaled7
	// Scaled4 codes a component in 4 bits with a step per row.
	Scaled4
	// Bits1 keeps the signs, with factors per row.
	Bits1
	// Bits15 codes half of the components in 2 bits and half in 1: after rotation
	// all components are alike, so it doesn't matter which.
	Bits15
	// Bits2 codes a component in 2 bits, with factors per row.
	Bits2
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Uniform7:
		return "uniform7"
	case Scaled7:
		return "scaled7"
	case Scaled4:
		return "scaled4"
	case Bits1:
		return "bits1"
	case Bits15:
		return "bits1.5"
	case Bits2:
		return "bits2"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// The errors of the package.
var (
	// ErrNoCodec: the distance has no codec. A rotation doesn't keep Manhattan
	// distances, so such an index is searched on the raw vectors.
	ErrNoCodec = errors.New("distance has no codec")
	// ErrConfig: the configuration isn't valid.
	ErrConfig = errors.New("quantization configuration is not valid")
	// ErrSample: the sample doesn't fit the dimension or is empty.
	ErrSample = errors.New("sample is not valid")
	// ErrCorrupted: bytes are not those of a codec, or don't fit it.
	ErrCorrupted = errors.New("codec is corrupted")
)
