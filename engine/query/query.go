// Package query holds what is common to reads wherever they run: the hit that
// travels from a shard upward, the merging of ranked lists, and the fusion of
// several lists into one. Everything here is a pure function on plain values;
// engine/shard makes the lists and cluster/coordinator merges them.
package query

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
)

// Scored is one hit of a query.
type Scored struct {
	// ID is the point.
	ID point.ID
	// Part tells points of the same ID apart, where there may be several: hits of different parts
	// are different points. A shard leaves it 0.
	Part uint32
	// Score orders hits: larger is better, whatever the distance. Public turns
	// it into what clients see. Hits without a meaningful score (scroll, sample)
	// have 0.
	Score float32
	// Version is the sequence of the last operation that changed the point.
	Version uint64
	// Order is the value by which an order_by query ordered the hit, else nil.
	Order *pb.OrderValue
	// Payload is filled when the query asked for it, else nil. It doesn't share
	// memory with the shard.
	Payload payload.Object
	// Vectors are filled when the query asked for them, else nil.
	Vectors *pb.VectorsOutput
}
