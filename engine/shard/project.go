package shard

import (
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
)

// projection says what of a document goes into an answer.
type projection struct {
	payload          bool
	include, exclude []payload.Path
	vectors          []string // names, in order
}

// project reads the selectors of a request once, before any document is looked at,
// so that a bad path or name fails at once. payloadDefault is what a missing
// payload selector means; a missing vector selector means none.
func (st *state) project(p *pb.WithPayloadSelector, v *pb.WithVectorsSelector, payloadDefault bool) (projection, error) {
	out := projection{payload: payloadDefault}
	var err error
	switch x := p.GetSelectorOptions().(type) {
	case *pb.WithPayloadSelector_Enable:
		out.payload = x.Enable
	case *pb.WithPayloadSelector_Include:
		out.payload = true
		if out.include, err = parsePaths(x.Include.GetFields()); err != nil {
			return out, err
		}
		if len(out.include) == 0 {
			out.payload = false // of nothing, nothing
		}
	case *pb.WithPayloadSelector_Exclude:
		out.payload = true
		if out.exclude, err = parsePaths(x.Exclude.GetFields()); err != nil {
			return out, err
		}
	}
	switch x := v.GetSelectorOptions().(type) {
	case *pb.WithVectorsSelector_Enable:
		if x.Enable {
			out.vectors = st.schema.Names()
		}
	case *pb.WithVectorsSelector_Include:
		out.vectors = slices.Clone(x.Include.GetNames())
		if err := st.schema.CheckNames(out.vectors); err != nil {
			return out, err
		}
	}
	return out, nil
}

func parsePaths(texts []string) ([]payload.Path, error) {
	paths := make([]payload.Path, len(texts))
	for i, t := range texts {
		var err error
		if paths[i], err = payload.ParsePath(t); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// payloadOf returns the projected payload of a document, nil when none is asked
// for. It is copied: answers live longer than the pin that keeps the store's memory.
func (s *Shard) payloadOf(p projection, doc uint32) payload.Object {
	if !p.payload {
		return nil
	}
	o := s.docs.Payload(doc)
	switch {
	case p.include != nil:
		o = payload.Include(o, p.include)
	case p.exclude != nil:
		o = payload.Exclude(o, p.exclude)
	}
	return append(payload.Object{}, o...)
}

// vectorsOf returns the projected vectors of a document: one vector alone when
// it is the default one, else by name, without those that it doesn't have. It is
// nil when none is asked for.
func (s *Shard) vectorsOf(st *state, p projection, doc uint32) (*pb.VectorsOutput, error) {
	if len(p.vectors) == 0 {
		return nil, nil //nolint:nilnil // no vectors asked for, none given
	}
	named := make(map[string]*pb.VectorOutput, len(p.vectors))
	for _, name := range p.vectors {
		v, err := st.vectorOf(name, doc)
		if err != nil {
			return nil, err
		}
		if v != nil {
			named[name] = v
		}
	}
	if one, ok := named[""]; ok && len(named) == 1 {
		return &pb.VectorsOutput{VectorsOptions: &pb.VectorsOutput_Vector{Vector: one}}, nil
	}
	return &pb.VectorsOutput{VectorsOptions: &pb.VectorsOutput_Vectors{
		Vectors: &pb.NamedVectorsOutput{Vectors: named},
	}}, nil
}

// vectorOf returns one vector of a document, nil when it has none of that name.
func (st *state) vectorOf(name string, doc uint32) (*pb.VectorOutput, error) {
	if x, ok := st.dense[name]; ok {
		v, ok, err := x.Vector(doc, nil)
		if err != nil || !ok {
			return nil, err
		}
		return &pb.VectorOutput{Vector: &pb.VectorOutput_Dense{Dense: &pb.DenseVector{Data: v}}}, nil
	}
	x, ok := st.sparse[name]
	if !ok {
		return nil, errNoVector(name)
	}
	indices, values, ok, err := x.Vector(doc)
	if err != nil || !ok {
		return nil, err
	}
	return &pb.VectorOutput{Vector: &pb.VectorOutput_Sparse{Sparse: &pb.SparseVector{
		Indices: indices, Values: values,
	}}}, nil
}

// record makes the answer for a document.
func (s *Shard) record(st *state, p projection, e docstore.Entry, a *allowance) (*pb.RetrievedPoint, error) {
	vectors, err := s.vectorsOf(st, p, e.Doc)
	if err != nil {
		return nil, err
	}
	r := &pb.RetrievedPoint{Id: e.ID.Proto(), Vectors: vectors}
	o := s.payloadOf(p, e.Doc)
	if o != nil {
		payload.Attach(r, o)
	}
	return r, a.spend(pointBytes + vectorBytes(vectors) + int64(len(o)))
}

// checkLimit refuses a page without points.
func checkLimit(limit uint64) error {
	if limit == 0 {
		return apierror.New(apierror.Validation, "limit: value 0 invalid, must be 1 or larger")
	}
	return nil
}
