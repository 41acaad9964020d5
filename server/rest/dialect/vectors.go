package dialect

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// vectors reads what a point has: one unnamed vector (array, array of arrays,
// or something to embed), or a map of named ones.
func vectors(r *jsonx.Reader) *pb.Vectors {
	switch r.Kind() {
	case jsonx.Array:
		return unnamed(arrayVector(r))
	case jsonx.Object:
		return objectVectors(r)
	default:
		r.NoVariant("VectorStruct")
		return nil
	}
}

func unnamed(v *pb.Vector) *pb.Vectors {
	return &pb.Vectors{VectorsOptions: &pb.Vectors_Vector{Vector: v}}
}

func named(m map[string]*pb.Vector) *pb.Vectors {
	return &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{Vectors: &pb.NamedVectors{Vectors: m}}}
}

// objectVectors reads a map of named vectors, or one thing to embed. Both may
// have a member "text" or "image"; which it is shows when the member "model"
// is a string. Members with such names are therefore kept as text until the
// end, and all others are read at once.
func objectVectors(r *jsonx.Reader) *pb.Vectors {
	m := map[string]*pb.Vector{}
	var kept map[string][]byte
	isModel := false
	for key := range r.Members() {
		switch key {
		case "model", "text", "image", "object", "options":
			isModel = isModel || key == "model" && r.Kind() == jsonx.String
			if kept == nil {
				kept = map[string][]byte{}
			}
			kept[key] = r.Raw()
		default:
			m[key] = vector(r)
		}
	}
	if r.Err() != nil {
		return nil
	}
	if isModel {
		var p vectorParts
		for key, raw := range kept {
			s := r.Sub(raw)
			p.member(s, key)
			r.Fail(s.Err())
		}
		v := p.vector()
		if v == nil {
			r.NoVariant("VectorStruct")
		}
		return unnamed(v)
	}
	for key, raw := range kept {
		s := r.Sub(raw)
		m[key] = vector(s)
		r.Fail(s.Err())
	}
	return named(m)
}

// vector reads array | array of arrays | sparse | something to embed.
func vector(r *jsonx.Reader) *pb.Vector {
	switch r.Kind() {
	case jsonx.Array:
		return arrayVector(r)
	case jsonx.Object:
		var p vectorParts
		for key := range r.Fields() {
			p.member(r, key)
		}
		v := p.vector()
		if v == nil {
			r.NoVariant("Vector")
		}
		return v
	default:
		r.NoVariant("Vector")
		return nil
	}
}

// arrayVector reads array | array of arrays.
func arrayVector(r *jsonx.Reader) *pb.Vector {
	dense, multi := arrays(r)
	if multi != nil {
		return &pb.Vector{Vector: &pb.Vector_MultiDense{MultiDense: multi}}
	}
	return &pb.Vector{Vector: &pb.Vector_Dense{Dense: dense}}
}

// arrays reads an array of numbers or an array of such arrays.
func arrays(r *jsonx.Reader) (*pb.DenseVector, *pb.MultiDenseVector) {
	raw := r.Raw()
	if !jsonx.IsNested(raw) {
		return &pb.DenseVector{Data: r.FloatsOf(raw)}, nil
	}
	s := r.Sub(raw)
	rows := list(s, func(r *jsonx.Reader) *pb.DenseVector { return &pb.DenseVector{Data: r.Floats()} })
	r.Fail(s.Err())
	return nil, &pb.MultiDenseVector{Vectors: rows}
}

// vectorParts gathers the members of an object that stands for one vector. Its
// members may come in any order.
type vectorParts struct {
	indices            []uint32
	values             []float32
	hasIndices, hasVal bool
	text, model        string
	hasText, hasModel  bool
	image, object      *pb.Value
	options            map[string]*pb.Value
}

// member reads the value of one member.
func (p *vectorParts) member(r *jsonx.Reader, key string) {
	switch key {
	case "indices":
		p.indices, p.hasIndices = list(r, (*jsonx.Reader).Uint32), true
	case "values":
		p.values, p.hasVal = r.Floats(), true
	case "text":
		p.text, p.hasText = r.Text(), true
	case "model":
		p.model, p.hasModel = r.Text(), true
	case "image":
		p.image = value(r)
	case "object":
		p.object = value(r)
	case "options":
		if !r.SkipNull() {
			p.options = valueMap(r)
		}
	default:
		r.Skip()
	}
}

func (p *vectorParts) sparse() *pb.SparseVector {
	if !p.hasIndices || !p.hasVal {
		return nil
	}
	return &pb.SparseVector{Indices: p.indices, Values: p.values}
}

func (p *vectorParts) document() *pb.Document {
	if !p.hasText || !p.hasModel {
		return nil
	}
	return &pb.Document{Text: p.text, Model: p.model, Options: p.options}
}

func (p *vectorParts) imageInput() *pb.Image {
	if p.image == nil || !p.hasModel {
		return nil
	}
	return &pb.Image{Image: p.image, Model: p.model, Options: p.options}
}

func (p *vectorParts) objectInput() *pb.InferenceObject {
	if p.object == nil || !p.hasModel {
		return nil
	}
	return &pb.InferenceObject{Object: p.object, Model: p.model, Options: p.options}
}

// vector returns the vector whose members are all there, nil when none is.
func (p *vectorParts) vector() *pb.Vector {
	if v := p.sparse(); v != nil {
		return &pb.Vector{Vector: &pb.Vector_Sparse{Sparse: v}}
	}
	if v := p.document(); v != nil {
		return &pb.Vector{Vector: &pb.Vector_Document{Document: v}}
	}
	if v := p.imageInput(); v != nil {
		return &pb.Vector{Vector: &pb.Vector_Image{Image: v}}
	}
	if v := p.objectInput(); v != nil {
		return &pb.Vector{Vector: &pb.Vector_Object{Object: v}}
	}
	return nil
}

// input is vector for a query.
func (p *vectorParts) input() *pb.VectorInput {
	if v := p.sparse(); v != nil {
		return &pb.VectorInput{Variant: &pb.VectorInput_Sparse{Sparse: v}}
	}
	if v := p.document(); v != nil {
		return &pb.VectorInput{Variant: &pb.VectorInput_Document{Document: v}}
	}
	if v := p.imageInput(); v != nil {
		return &pb.VectorInput{Variant: &pb.VectorInput_Image{Image: v}}
	}
	if v := p.objectInput(); v != nil {
		return &pb.VectorInput{Variant: &pb.VectorInput_Object{Object: v}}
	}
	return nil
}

// vectorInput reads a vector of a query: as vector does, or a point's ID.
func vectorInput(r *jsonx.Reader) *pb.VectorInput {
	switch r.Kind() {
	case jsonx.Number, jsonx.String:
		return &pb.VectorInput{Variant: &pb.VectorInput_Id{Id: pointID(r)}}
	case jsonx.Array:
		return arrayInput(r)
	case jsonx.Object:
		var p vectorParts
		for key := range r.Fields() {
			p.member(r, key)
		}
		v := p.input()
		if v == nil {
			r.NoVariant("VectorInput")
		}
		return v
	default:
		r.NoVariant("VectorInput")
		return nil
	}
}

func arrayInput(r *jsonx.Reader) *pb.VectorInput {
	dense, multi := arrays(r)
	if multi != nil {
		return &pb.VectorInput{Variant: &pb.VectorInput_MultiDense{MultiDense: multi}}
	}
	return &pb.VectorInput{Variant: &pb.VectorInput_Dense{Dense: dense}}
}
