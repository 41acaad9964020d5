package coordinator

import (
	"maps"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/filter"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/text"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Here requests are made ready for the engine: older spellings of a vector
// become today's, and documents are embedded. Messages of the caller are never
// changed, because an embedding program may use them again.

// carry hands an attached payload from one message to another.
func carry(from, to proto.Message) {
	if o := payload.Attached(from); o != nil {
		payload.Attach(to, o)
	}
}

func checkFilter(f *pb.Filter) error {
	if f == nil {
		return nil
	}
	return filter.Validate(f)
}

func (col *collection) readyPoints(points []*pb.PointStruct) ([]*pb.PointStruct, error) {
	out := make([]*pb.PointStruct, len(points))
	for i, p := range points {
		vectors, err := col.readyVectors(p.GetVectors())
		if err != nil {
			return nil, err
		}
		if vectors == p.GetVectors() {
			out[i] = p
			continue
		}
		out[i] = &pb.PointStruct{Id: p.GetId(), Payload: p.GetPayload(), Vectors: vectors}
		carry(p, out[i])
	}
	return out, nil
}

// readyVectors returns v itself when there is nothing to do.
func (col *collection) readyVectors(v *pb.Vectors) (*pb.Vectors, error) {
	switch o := v.GetVectorsOptions().(type) {
	case *pb.Vectors_Vector:
		ready, err := readyVector(o.Vector)
		if err != nil || ready == o.Vector {
			return v, err
		}
		return &pb.Vectors{VectorsOptions: &pb.Vectors_Vector{Vector: ready}}, nil
	case *pb.Vectors_Vectors:
		var named map[string]*pb.Vector
		for name, one := range o.Vectors.GetVectors() {
			ready, err := readyVector(one)
			if err != nil {
				return nil, err
			}
			if ready == one {
				continue
			}
			if named == nil {
				named = make(map[string]*pb.Vector, len(o.Vectors.GetVectors()))
				maps.Copy(named, o.Vectors.GetVectors())
			}
			named[name] = ready
		}
		if named == nil {
			return v, nil
		}
		return &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{Vectors: &pb.NamedVectors{Vectors: named}}}, nil
	default:
		return v, nil
	}
}

// readyVector turns the deprecated flat fields into the oneof and embeds a
// document.
func readyVector(v *pb.Vector) (*pb.Vector, error) {
	switch o := v.GetVector().(type) {
	case nil:
		if v.GetVectorsCount() > 1 { //nolint:staticcheck // older clients send it
			return nil, unbuilt("multivectors")
		}
		data := v.GetData()                            //nolint:staticcheck // older clients send it
		if indices := v.GetIndices(); indices != nil { //nolint:staticcheck // as above
			return &pb.Vector{Vector: &pb.Vector_Sparse{Sparse: &pb.SparseVector{Indices: indices.GetData(), Values: data}}}, nil
		}
		return &pb.Vector{Vector: &pb.Vector_Dense{Dense: &pb.DenseVector{Data: data}}}, nil
	case *pb.Vector_Dense, *pb.Vector_Sparse:
		return v, nil
	case *pb.Vector_MultiDense:
		return nil, unbuilt("multivectors")
	case *pb.Vector_Document:
		model, err := bm25(o.Document)
		if err != nil {
			return nil, err
		}
		indices, values := model.EmbedDocument(o.Document.GetText())
		return &pb.Vector{Vector: &pb.Vector_Sparse{Sparse: &pb.SparseVector{Indices: indices, Values: values}}}, nil
	default:
		return nil, noInference("image and object")
	}
}

// readyInput does for the vector of a query what readyVector does for one that
// is stored. IDs are left to resolve.
func readyInput(v *pb.VectorInput) (*pb.VectorInput, error) {
	switch o := v.GetVariant().(type) {
	case *pb.VectorInput_Id, *pb.VectorInput_Dense, *pb.VectorInput_Sparse:
		return v, nil
	case *pb.VectorInput_MultiDense:
		return nil, unbuilt("multivectors")
	case *pb.VectorInput_Document:
		model, err := bm25(o.Document)
		if err != nil {
			return nil, err
		}
		indices, values := model.EmbedQuery(o.Document.GetText())
		return &pb.VectorInput{Variant: &pb.VectorInput_Sparse{Sparse: &pb.SparseVector{Indices: indices, Values: values}}}, nil
	case nil:
		return nil, apierror.New(apierror.BadInput, "Query vector is missing")
	default:
		return nil, noInference("image and object")
	}
}

// bm25 returns the embedder that a document asks for.
func bm25(d *pb.Document) (*text.BM25, error) {
	if !text.IsBM25(d.GetModel()) {
		return nil, noInference("model " + d.GetModel())
	}
	config, err := text.ParseBM25(plainMap(d.GetOptions()))
	if err != nil {
		return nil, err
	}
	return text.NewBM25(config)
}

func noInference(what string) error {
	return apierror.New(apierror.Inference,
		"Inference of %s is not available: no inference service is configured, and only qdrant/bm25 is embedded by the server", what)
}

func plainMap(m map[string]*pb.Value) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = plain(v)
	}
	return out
}

func plain(v *pb.Value) any {
	switch k := v.GetKind().(type) {
	case *pb.Value_BoolValue:
		return k.BoolValue
	case *pb.Value_DoubleValue:
		return k.DoubleValue
	case *pb.Value_IntegerValue:
		return k.IntegerValue
	case *pb.Value_StringValue:
		return k.StringValue
	case *pb.Value_ListValue:
		list := make([]any, len(k.ListValue.GetValues()))
		for i, e := range k.ListValue.GetValues() {
			list[i] = plain(e)
		}
		return list
	case *pb.Value_StructValue:
		return plainMap(k.StructValue.GetFields())
	default:
		return nil
	}
}
