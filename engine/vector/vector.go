// Package vector holds what all vector indexes share: distances, element types
// and hits. Its sub-package distance has the kernels.
package vector

// Distance is the measure of a vector space. Inside the engine every score is
// larger-is-better; Finish turns it into what clients see.
type Distance uint8

// The distances of the public API.
const (
	Cosine    Distance = iota + 1 // normalised at write time, then as Dot
	Euclid                        // score = −Σ(a−b)²
	Dot                           // score = Σ a·b
	Manhattan                     // score = −Σ|a−b|
)

// Datatype is the element type in which raw vectors are kept.
type Datatype uint8

// The datatypes of the public API.
const (
	Float32 Datatype = iota
	Float16
	Uint8
)

// Hit is a found document.
type Hit struct {
	// Doc is the document number.
	Doc uint32
	// Score is larger-is-better.
	Score float32
}
