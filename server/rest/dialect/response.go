package dialect

import (
	"maps"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// An Answer writes the value of "result".
type Answer func(w *jsonx.Writer)

// OK returns a whole answer: result, status "ok", the seconds it took, and what
// it used when that is known.
func OK(buf []byte, result Answer, seconds float64, usage *pb.Usage) []byte {
	w := jsonx.NewWriter(buf)
	w.Open('{')
	if u := usage; u != nil && (u.Hardware != nil || len(u.GetInference().GetModels()) > 0) {
		w.Name("usage")
		writeUsage(w, u)
	}
	w.Name("result")
	result(w)
	w.Name("status")
	w.String("ok")
	w.Name("time")
	w.Float64(seconds)
	w.Close('}')
	return w.Bytes()
}

// Failure returns a whole answer that carries an error.
func Failure(text string, seconds float64) []byte {
	w := jsonx.NewWriter(nil)
	w.Open('{')
	w.Name("status")
	w.Open('{')
	w.Name("error")
	w.String(text)
	w.Close('}')
	w.Name("time")
	w.Float64(seconds)
	w.Close('}')
	return w.Bytes()
}

func writeUsage(w *jsonx.Writer, u *pb.Usage) {
	w.Open('{')
	if h := u.Hardware; h != nil {
		w.Name("hardware")
		writeMessage(w, h.ProtoReflect())
	}
	if i := u.Inference; i != nil {
		w.Name("inference")
		w.Open('{')
		w.Name("models")
		w.Open('{')
		for _, name := range slices.Sorted(maps.Keys(i.Models)) {
			w.Name(name)
			w.Open('{')
			w.Name("tokens")
			w.Uint(i.Models[name].GetTokens())
			w.Close('}')
		}
		w.Close('}')
		w.Close('}')
	}
	w.Close('}')
}

// each writes an array.
func each[T any](w *jsonx.Writer, items []T, fn func(*jsonx.Writer, T)) {
	w.Open('[')
	for _, item := range items {
		fn(w, item)
	}
	w.Close(']')
}

// Bool writes a boolean result.
func Bool(b bool) Answer { return func(w *jsonx.Writer) { w.Bool(b) } }

// Update writes the result of one write.
func Update(u *pb.UpdateResult) Answer { return func(w *jsonx.Writer) { writeUpdate(w, u) } }

// Updates writes the results of a batch of writes.
func Updates(us []*pb.UpdateResult) Answer {
	return func(w *jsonx.Writer) { each(w, us, writeUpdate) }
}

func writeUpdate(w *jsonx.Writer, u *pb.UpdateResult) {
	w.Open('{')
	w.Name("operation_id")
	if u == nil || u.OperationId == nil {
		w.Null()
	} else {
		w.Uint(*u.OperationId)
	}
	w.Name("status")
	status := u.GetStatus()
	if status == pb.UpdateStatus_UnknownUpdateStatus {
		status = pb.UpdateStatus_Acknowledged
	}
	writeEnum(w, updateStatuses, int(status))
	w.Close('}')
}

// Exists writes whether a collection exists.
func Exists(e *pb.CollectionExists) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("exists")
		w.Bool(e.GetExists())
		w.Close('}')
	}
}

// Collections writes a list of collections.
func Collections(cs []*pb.CollectionDescription) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("collections")
		each(w, cs, func(w *jsonx.Writer, c *pb.CollectionDescription) { writeMessage(w, c.ProtoReflect()) })
		w.Close('}')
	}
}

// Aliases writes a list of aliases.
func Aliases(as []*pb.AliasDescription) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("aliases")
		each(w, as, func(w *jsonx.Writer, a *pb.AliasDescription) { writeMessage(w, a.ProtoReflect()) })
		w.Close('}')
	}
}

// Snapshot writes the description of a snapshot.
func Snapshot(s *pb.SnapshotDescription) Answer {
	return func(w *jsonx.Writer) { writeSnapshot(w, s) }
}

// Snapshots writes a list of snapshots.
func Snapshots(ss []*pb.SnapshotDescription) Answer {
	return func(w *jsonx.Writer) { each(w, ss, writeSnapshot) }
}

func writeSnapshot(w *jsonx.Writer, s *pb.SnapshotDescription) {
	if s == nil {
		w.Null()
		return
	}
	w.Open('{')
	w.Name("name")
	w.String(s.GetName())
	if t := s.GetCreationTime(); t != nil {
		w.Name("creation_time")
		w.String(t.AsTime().Format(time.DateOnly + "T" + time.TimeOnly))
	}
	w.Name("size")
	w.Int(s.GetSize())
	if s.Checksum != nil {
		w.Name("checksum")
		w.String(*s.Checksum)
	}
	w.Close('}')
}

// Points writes what a query found, as the query endpoints do.
func Points(ps []*pb.ScoredPoint) Answer {
	return func(w *jsonx.Writer) { writePoints(w, ps) }
}

func writePoints(w *jsonx.Writer, ps []*pb.ScoredPoint) {
	w.Open('{')
	w.Name("points")
	each(w, ps, writeScored)
	w.Close('}')
}

// PointsBatch writes what several queries found, as the query endpoints do.
func PointsBatch(bs []*pb.BatchResult) Answer {
	return func(w *jsonx.Writer) {
		each(w, bs, func(w *jsonx.Writer, b *pb.BatchResult) { writePoints(w, b.GetResult()) })
	}
}

// Hits writes what a search found, as the older endpoints do.
func Hits(ps []*pb.ScoredPoint) Answer {
	return func(w *jsonx.Writer) { each(w, ps, writeScored) }
}

// HitsBatch writes what several searches found, as the older endpoints do.
func HitsBatch(bs []*pb.BatchResult) Answer {
	return func(w *jsonx.Writer) {
		each(w, bs, func(w *jsonx.Writer, b *pb.BatchResult) { each(w, b.GetResult(), writeScored) })
	}
}

// Groups writes groups of points.
func Groups(g *pb.GroupsResult) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("groups")
		each(w, g.GetGroups(), writeGroup)
		w.Close('}')
	}
}

func writeGroup(w *jsonx.Writer, g *pb.PointGroup) {
	w.Open('{')
	w.Name("hits")
	each(w, g.GetHits(), writeScored)
	w.Name("id")
	switch id := g.GetId().GetKind().(type) {
	case *pb.GroupId_UnsignedValue:
		w.Uint(id.UnsignedValue)
	case *pb.GroupId_IntegerValue:
		w.Int(id.IntegerValue)
	case *pb.GroupId_StringValue:
		w.String(id.StringValue)
	default:
		w.Null()
	}
	if g.Lookup != nil {
		w.Name("lookup")
		writeRecord(w, g.Lookup)
	}
	w.Close('}')
}

// Record writes one retrieved point.
func Record(p *pb.RetrievedPoint) Answer { return func(w *jsonx.Writer) { writeRecord(w, p) } }

// Records writes retrieved points.
func Records(ps []*pb.RetrievedPoint) Answer {
	return func(w *jsonx.Writer) { each(w, ps, writeRecord) }
}

// Scrolled writes a page of points and where the next begins.
func Scrolled(s *pb.ScrollResponse) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("points")
		each(w, s.GetResult(), writeRecord)
		w.Name("next_page_offset")
		if s.NextPageOffset == nil {
			w.Null()
		} else {
			writeID(w, s.NextPageOffset)
		}
		w.Close('}')
	}
}

// Counted writes a number of points.
func Counted(c *pb.CountResult) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("count")
		w.Uint(c.GetCount())
		w.Close('}')
	}
}

// Facets writes values and how many points have them.
func Facets(hits []*pb.FacetHit) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("hits")
		each(w, hits, writeFacet)
		w.Close('}')
	}
}

func writeFacet(w *jsonx.Writer, h *pb.FacetHit) {
	w.Open('{')
	w.Name("value")
	switch v := h.GetValue().GetVariant().(type) {
	case *pb.FacetValue_StringValue:
		w.String(v.StringValue)
	case *pb.FacetValue_IntegerValue:
		w.Int(v.IntegerValue)
	case *pb.FacetValue_BoolValue:
		w.Bool(v.BoolValue)
	default:
		w.Null()
	}
	w.Name("count")
	w.Uint(h.GetCount())
	w.Close('}')
}

// MatrixPairs writes a distance matrix as pairs of points.
func MatrixPairs(m *pb.SearchMatrixPairs) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("pairs")
		each(w, m.GetPairs(), func(w *jsonx.Writer, p *pb.SearchMatrixPair) {
			w.Open('{')
			w.Name("a")
			writeID(w, p.GetA())
			w.Name("b")
			writeID(w, p.GetB())
			w.Name("score")
			w.Float32(p.GetScore())
			w.Close('}')
		})
		w.Close('}')
	}
}

// MatrixOffsets writes a distance matrix as rows, columns and scores.
func MatrixOffsets(m *pb.SearchMatrixOffsets) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("offsets_row")
		each(w, m.GetOffsetsRow(), (*jsonx.Writer).Uint)
		w.Name("offsets_col")
		each(w, m.GetOffsetsCol(), (*jsonx.Writer).Uint)
		w.Name("scores")
		w.Float32s(m.GetScores())
		w.Name("ids")
		each(w, m.GetIds(), writeID)
		w.Close('}')
	}
}

func writeID(w *jsonx.Writer, id *pb.PointId) {
	switch v := id.GetPointIdOptions().(type) {
	case *pb.PointId_Num:
		w.Uint(v.Num)
	case *pb.PointId_Uuid:
		w.String(v.Uuid)
	default:
		w.Null()
	}
}

func writeScored(w *jsonx.Writer, p *pb.ScoredPoint) {
	w.Open('{')
	w.Name("id")
	writeID(w, p.GetId())
	w.Name("version")
	w.Uint(p.GetVersion())
	w.Name("score")
	w.Float32(p.GetScore())
	writeContents(w, p, p.GetPayload(), p.GetVectors())
	writeKeyAndOrder(w, p.GetShardKey(), p.GetOrderValue())
	w.Close('}')
}

func writeRecord(w *jsonx.Writer, p *pb.RetrievedPoint) {
	if p == nil {
		w.Null()
		return
	}
	w.Open('{')
	w.Name("id")
	writeID(w, p.GetId())
	writeContents(w, p, p.GetPayload(), p.GetVectors())
	writeKeyAndOrder(w, p.GetShardKey(), p.GetOrderValue())
	w.Close('}')
}

// writeContents writes payload and vectors, each when it is there: a payload
// without keys is there when an empty object is attached.
func writeContents(w *jsonx.Writer, m proto.Message, p map[string]*pb.Value, v *pb.VectorsOutput) {
	if o := payload.Attached(m); o != nil {
		w.Name("payload")
		w.Raw(func(dst []byte) []byte { return payload.AppendJSON(dst, o) })
	} else if p != nil {
		w.Name("payload")
		writeValueMap(w, p)
	}
	if v != nil {
		w.Name("vector")
		writeVectors(w, v)
	}
}

func writeVectors(w *jsonx.Writer, v *pb.VectorsOutput) {
	switch v := v.GetVectorsOptions().(type) {
	case *pb.VectorsOutput_Vector:
		writeVector(w, v.Vector)
	case *pb.VectorsOutput_Vectors:
		m := v.Vectors.GetVectors()
		w.Open('{')
		for _, name := range slices.Sorted(maps.Keys(m)) {
			w.Name(name)
			writeVector(w, m[name])
		}
		w.Close('}')
	default:
		w.Open('{')
		w.Close('}')
	}
}

func writeVector(w *jsonx.Writer, v *pb.VectorOutput) {
	switch v := v.GetVector().(type) {
	case *pb.VectorOutput_Dense:
		w.Float32s(v.Dense.GetData())
	case *pb.VectorOutput_Sparse:
		w.Open('{')
		w.Name("indices")
		w.Open('[')
		for _, i := range v.Sparse.GetIndices() {
			w.Uint(uint64(i))
		}
		w.Close(']')
		w.Name("values")
		w.Float32s(v.Sparse.GetValues())
		w.Close('}')
	case *pb.VectorOutput_MultiDense:
		each(w, v.MultiDense.GetVectors(), func(w *jsonx.Writer, d *pb.DenseVector) { w.Float32s(d.GetData()) })
	default:
		w.Null()
	}
}

func writeKeyAndOrder(w *jsonx.Writer, k *pb.ShardKey, o *pb.OrderValue) {
	switch v := k.GetKey().(type) {
	case *pb.ShardKey_Keyword:
		w.Name("shard_key")
		w.String(v.Keyword)
	case *pb.ShardKey_Number:
		w.Name("shard_key")
		w.Uint(v.Number)
	}
	switch v := o.GetVariant().(type) {
	case *pb.OrderValue_Int:
		w.Name("order_value")
		w.Int(v.Int)
	case *pb.OrderValue_Float:
		w.Name("order_value")
		w.Float64(v.Float)
	}
}

// Text writes a result that is JSON text already.
func Text(text []byte) Answer {
	return func(w *jsonx.Writer) {
		w.Raw(func(dst []byte) []byte { return append(dst, text...) })
	}
}

// Version returns what GET / tells. The title is what clients look for.
func Version(version, commit string) []byte {
	w := jsonx.NewWriter(nil)
	w.Open('{')
	w.Name("title")
	w.String("qdrant - vector search engine")
	w.Name("version")
	w.String(version)
	w.Name("commit")
	w.String(commit)
	w.Close('}')
	return w.Bytes()
}
