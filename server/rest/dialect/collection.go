package dialect

import (
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// Collection writes what GET /collections/{c} tells.
func Collection(info *pb.CollectionInfo) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("status")
		writeEnum(w, collStatuses, int(max(info.GetStatus(), pb.CollectionStatus_Green)))
		w.Name("optimizer_status")
		writeOptimizerStatus(w, info.GetOptimizerStatus())
		if ws := info.GetWarnings(); len(ws) > 0 {
			w.Name("warnings")
			each(w, ws, func(w *jsonx.Writer, c *pb.CollectionWarning) { writeMessage(w, c.ProtoReflect()) })
		}
		w.Name("indexed_vectors_count")
		w.Uint(info.GetIndexedVectorsCount())
		w.Name("points_count")
		w.Uint(info.GetPointsCount())
		w.Name("segments_count")
		w.Uint(info.GetSegmentsCount())
		w.Name("config")
		writeCollectionConfig(w, info.GetConfig())
		w.Name("payload_schema")
		writeSchema(w, info.GetPayloadSchema())
		if q := info.GetUpdateQueue(); q != nil {
			w.Name("update_queue")
			writeMessage(w, q.ProtoReflect())
		}
		w.Close('}')
	}
}

func writeOptimizerStatus(w *jsonx.Writer, s *pb.OptimizerStatus) {
	if s == nil || s.Ok {
		w.String("ok")
		return
	}
	w.Open('{')
	w.Name("error")
	w.String(s.GetError())
	w.Close('}')
}

// writeCollectionConfig writes a configuration whose defaults are filled in.
// What is not set is absent, but for the few members that are null then.
func writeCollectionConfig(w *jsonx.Writer, c *pb.CollectionConfig) {
	w.Open('{')
	w.Name("params")
	writeMessage(w, orEmpty(c.GetParams()).ProtoReflect())
	w.Name("hnsw_config")
	writeMessage(w, orEmpty(c.GetHnswConfig()).ProtoReflect())
	w.Name("optimizer_config")
	writeOptimizers(w, orEmpty(c.GetOptimizerConfig()))
	w.Name("wal_config")
	writeMessage(w, orEmpty(c.GetWalConfig()).ProtoReflect())
	w.Name("quantization_config")
	if q := c.GetQuantizationConfig(); q != nil {
		writeMessage(w, q.ProtoReflect())
	} else {
		w.Null()
	}
	if s := c.GetStrictModeConfig(); s != nil {
		w.Name("strict_mode_config")
		writeMessage(w, s.ProtoReflect())
	}
	if m := c.GetMetadata(); len(m) > 0 {
		w.Name("metadata")
		writeValueMap(w, m)
	}
	w.Close('}')
}

func orEmpty[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// writeOptimizers writes an optimizer's configuration: thresholds without a
// value, and threads that are chosen by themselves, are null.
func writeOptimizers(w *jsonx.Writer, o *pb.OptimizersConfigDiff) {
	const threads = "max_optimization_threads"
	m := o.ProtoReflect()
	w.Open('{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := jsonName(fd)
		if name == "" {
			continue
		}
		if m.Has(fd) && (name != threads || isThreadNumber(o)) {
			w.Name(name)
			writeField(w, fd, m.Get(fd))
			continue
		}
		switch name {
		case "max_segment_size", "memmap_threshold", "indexing_threshold", threads:
			w.Name(name)
			w.Null()
		}
	}
	w.Close('}')
}

func isThreadNumber(o *pb.OptimizersConfigDiff) bool {
	_, ok := o.GetMaxOptimizationThreads().GetVariant().(*pb.MaxOptimizationThreads_Value)
	return ok
}

// writeSchema writes the payload indexes by name. Parameters appear when there
// are any, with the kind of the index among them.
func writeSchema(w *jsonx.Writer, schema map[string]*pb.PayloadSchemaInfo) {
	w.Open('{')
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		info := schema[name]
		w.Name(name)
		w.Open('{')
		w.Name("data_type")
		writeEnum(w, schemaTypes, int(info.GetDataType()))
		if p := info.GetParams(); p.GetIndexParams() != nil {
			w.Name("params")
			writeIndexParams(w, p)
		}
		w.Name("points")
		w.Uint(info.GetPoints())
		w.Close('}')
	}
	w.Close('}')
}

func writeIndexParams(w *jsonx.Writer, p *pb.PayloadIndexParams) {
	for fd, v := range p.ProtoReflect().Range {
		w.Open('{')
		w.Name("type")
		w.String(indexKind(fd))
		writeFields(w, v.Message())
		w.Close('}')
	}
}

// indexKind returns the kind of index that a field of PayloadIndexParams is
// for, from its name: "keyword_index_params".
func indexKind(fd protoreflect.FieldDescriptor) string {
	const suffix = "_index_params"
	name := string(fd.Name())
	return name[:max(0, len(name)-len(suffix))]
}
