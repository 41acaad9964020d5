package shard

import (
	pb "github.com/qdrant/go-client/qdrant"
)

// Schema is a collection's vector names with what they hold. It answers, without
// a shard, whether an operation or a query makes sense against them; the front
// desk asks before it accepts. Immutable.
type Schema struct{}

// NewSchema reads the vector configuration of a collection.
func NewSchema(*pb.CollectionConfig) (*Schema, error) { return nil, errUnbuilt }

// CheckUpsert checks names, kinds and sizes of the vectors of all points.
func (s *Schema) CheckUpsert(*pb.UpsertPoints) error { return errUnbuilt }

// CheckUpdateVectors checks names, kinds and sizes of the vectors of all points.
func (s *Schema) CheckUpdateVectors(*pb.UpdatePointVectors) error { return errUnbuilt }

// CheckNames checks that all names exist; "" is the default vector.
func (s *Schema) CheckNames([]string) error { return errUnbuilt }

// CheckQueryVector checks a query vector given as numbers against the vector
// name it is compared with.
func (s *Schema) CheckQueryVector(string, *pb.VectorInput) error { return errUnbuilt }
