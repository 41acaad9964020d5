package shard

import (
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

// Lacking returns the operations that make the shard what its collection is to be, by the
// configuration and the payload indexes.
func (i *Info) Lacking(config *pb.CollectionConfig, schema map[string]*pb.PayloadSchemaInfo) (ops []Op) {
	if !proto.Equal(i.Config, config) {
		ops = append(ops, SetConfig(config))
	}
	for _, field := range slices.Sorted(maps.Keys(schema)) {
		want, have := schema[field], i.Indexes[field]
		if have == nil || have.GetDataType() != want.GetDataType() || !proto.Equal(have.GetParams(), want.GetParams()) {
			ops = append(ops, CreateIndex(IndexRequest(field, want)))
		}
	}
	for _, field := range slices.Sorted(maps.Keys(i.Indexes)) {
		if schema[field] == nil {
			ops = append(ops, DeleteIndex(&pb.DeleteFieldIndexCollection{FieldName: field}))
		}
	}
	return ops
}
