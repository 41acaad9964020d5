package shard

import (
	"errors"
	"maps"
	"math"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Schema is a collection's vector names with what they hold. It answers, without
// a shard, whether an operation or a query makes sense against them; the front
// desk asks before it accepts. Immutable.
type Schema struct {
	dense  map[string]denseSpace
	sparse map[string]bool
}

// denseSpace is what vectors of one name have in common.
type denseSpace struct {
	size     int
	distance vector.Distance
	datatype vector.Datatype
}

// distances are the API's distances in the engine's words; unknown ones are absent.
var distances = map[pb.Distance]vector.Distance{
	pb.Distance_Cosine: vector.Cosine, pb.Distance_Euclid: vector.Euclid,
	pb.Distance_Dot: vector.Dot, pb.Distance_Manhattan: vector.Manhattan,
}

// NewSchema reads the vector configuration of a collection. Dense and sparse
// vectors share one space of names, because points name both in one map.
func NewSchema(c *pb.CollectionConfig) (*Schema, error) {
	s := &Schema{dense: map[string]denseSpace{}, sparse: map[string]bool{}}
	for name, p := range denseParams(c) {
		d, ok := distances[p.GetDistance()]
		if !ok {
			return nil, apierror.New(apierror.BadInput, "unknown distance of vector %q", name)
		}
		if p.GetSize() < 1 || p.GetSize() > 65536 {
			return nil, apierror.New(apierror.Validation, "size of vector %q must be 1 to 65536", name)
		}
		if p.GetMultivectorConfig() != nil {
			return nil, apierror.New(apierror.NotImplemented, "multivectors (vector %q) are not implemented yet", name)
		}
		s.dense[name] = denseSpace{int(p.GetSize()), d, datatype(p.GetDatatype())}
	}
	for name := range c.GetParams().GetSparseVectorsConfig().GetMap() {
		if _, taken := s.dense[name]; taken || name == "" {
			return nil, apierror.New(apierror.BadInput, "Sparse vector name %q is empty or taken by a dense vector", name)
		}
		s.sparse[name] = true
	}
	return s, nil
}

// denseParams returns the parameters of all dense vectors by name; the single
// unnamed one has the name "".
func denseParams(c *pb.CollectionConfig) map[string]*pb.VectorParams {
	v := c.GetParams().GetVectorsConfig()
	if p := v.GetParams(); p != nil {
		return map[string]*pb.VectorParams{"": p}
	}
	return v.GetParamsMap().GetMap()
}

// Distance returns the distance of a dense vector name.
func (s *Schema) Distance(name string) (vector.Distance, bool) {
	d, ok := s.dense[name]
	return d.distance, ok
}

// IsSparse says whether name is a sparse vector.
func (s *Schema) IsSparse(name string) bool { return s.sparse[name] }

// Names returns all vector names in order.
func (s *Schema) Names() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range s.dense {
			if !yield(name) {
				return
			}
		}
		for name := range s.sparse {
			if !yield(name) {
				return
			}
		}
	})
}

// CheckUpsert checks the IDs of all points and names, kinds and sizes of their
// vectors.
func (s *Schema) CheckUpsert(m *pb.UpsertPoints) error {
	for i, p := range m.GetPoints() {
		if err := s.checkPoint(p.GetId(), p.GetVectors()); err != nil {
			return inPoint(i, err)
		}
	}
	return nil
}

// CheckUpdateVectors checks the IDs of all points and names, kinds and sizes of
// their vectors, of which there must be one.
func (s *Schema) CheckUpdateVectors(m *pb.UpdatePointVectors) error {
	for i, p := range m.GetPoints() {
		if v := p.GetVectors(); v.GetVector() == nil && len(v.GetVectors().GetVectors()) == 0 {
			return apierror.New(apierror.BadInput, "No vectors provided")
		}
		if err := s.checkPoint(p.GetId(), p.GetVectors()); err != nil {
			return inPoint(i, err)
		}
	}
	return nil
}

func (s *Schema) checkPoint(id *pb.PointId, v *pb.Vectors) error {
	if _, err := point.FromProto(id); err != nil {
		return err
	}
	_, err := s.resolve(v)
	return err
}

// CheckNames checks that all names exist; "" is the default vector.
func (s *Schema) CheckNames(names []string) error {
	for _, name := range names {
		if _, ok := s.dense[name]; !ok && !s.sparse[name] {
			return errNoVector(name)
		}
	}
	return nil
}

// CheckQueryVector checks a query vector given as numbers against the vector
// name it is compared with.
func (s *Schema) CheckQueryVector(name string, in *pb.VectorInput) error {
	_, err := s.resolveInput(name, in)
	return err
}

func errNoVector(name string) error {
	return apierror.New(apierror.BadInput, "Not existing vector name error: %s", name)
}

// named is a checked vector: dense, or sparse with ascending indices.
type named struct {
	name    string
	dense   []float32
	indices []uint32
	values  []float32
	sparse  bool
}

// resolve checks the vectors of a point and returns them in the order of names: in
// that of a map, replicas would write the same rows in different order, and report
// different errors.
func (s *Schema) resolve(v *pb.Vectors) ([]named, error) {
	if one := v.GetVector(); one != nil {
		n, err := s.resolveStored("", one)
		if err != nil {
			return nil, err
		}
		return []named{n}, nil
	}
	m := v.GetVectors().GetVectors()
	out := make([]named, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		n, err := s.resolveStored(name, m[name])
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// resolveStored checks one vector of a point.
func (s *Schema) resolveStored(name string, v *pb.Vector) (named, error) {
	n, err := s.resolveOne(name, vectorForm(v))
	if err != nil {
		return n, err
	}
	// Cosine stores normalised vectors, which always fit.
	if space := s.dense[name]; space.datatype == vector.Float16 && space.distance != vector.Cosine {
		for _, x := range n.dense {
			if x >= halfOverflow || x <= -halfOverflow {
				return n, apierror.New(apierror.BadInput, "Vector %q contains %v, which float16 can't hold", name, x)
			}
		}
	}
	return n, nil
}

// halfOverflow is the least number that float16 rounds to infinity.
const halfOverflow = 65520

// form is a vector as a message has it.
type form struct {
	dense   []float32
	indices []uint32
	values  []float32
	kind    formKind
}

type formKind uint8

const (
	formDense formKind = iota
	formSparse
	formMulti
	formUnresolved // a document, image or object that nobody has embedded
)

// vectorForm reads both the current and the deprecated fields. A vector without
// anything is a dense one of no elements, which no schema allows.
func vectorForm(v *pb.Vector) form {
	switch x := v.GetVector().(type) {
	case *pb.Vector_Dense:
		return form{dense: x.Dense.GetData()}
	case *pb.Vector_Sparse:
		return form{kind: formSparse, indices: x.Sparse.GetIndices(), values: x.Sparse.GetValues()}
	case *pb.Vector_MultiDense:
		return form{kind: formMulti}
	case nil:
	default:
		return form{kind: formUnresolved}
	}
	switch data := v.GetData(); { //nolint:staticcheck // older clients send the deprecated fields
	case v.GetIndices() != nil: //nolint:staticcheck // as above
		return form{kind: formSparse, indices: v.GetIndices().GetData(), values: data} //nolint:staticcheck // as above
	case v.GetVectorsCount() > 0: //nolint:staticcheck // as above
		return form{kind: formMulti}
	default:
		return form{dense: data}
	}
}

// resolveInput checks a query vector.
func (s *Schema) resolveInput(name string, in *pb.VectorInput) (named, error) {
	switch x := in.GetVariant().(type) {
	case *pb.VectorInput_Dense:
		return s.resolveOne(name, form{dense: x.Dense.GetData()})
	case *pb.VectorInput_Sparse:
		return s.resolveOne(name, form{kind: formSparse, indices: x.Sparse.GetIndices(), values: x.Sparse.GetValues()})
	case *pb.VectorInput_MultiDense:
		return s.resolveOne(name, form{kind: formMulti})
	default:
		return s.resolveOne(name, form{kind: formUnresolved})
	}
}

// resolveOne checks a vector against its name, the coarse before the fine: the name,
// the kind, the size, the numbers. The message is about the first that is wrong.
func (s *Schema) resolveOne(name string, f form) (named, error) {
	space, isDense := s.dense[name]
	switch {
	case !isDense && !s.sparse[name]:
		return named{}, errNoVector(name)
	case f.kind == formUnresolved:
		return named{}, apierror.New(apierror.BadInput, "Vector %q is neither dense nor sparse numbers", name)
	case f.kind == formMulti:
		return named{}, apierror.New(apierror.BadInput, "Conversion between multi and regular vectors failed")
	case isDense != (f.kind == formDense):
		return named{}, apierror.New(apierror.BadInput, "Conversion between sparse and regular vectors failed")
	case isDense && len(f.dense) != space.size:
		return named{}, apierror.New(apierror.BadInput,
			"Vector dimension error: expected dim: %d, got %d", space.size, len(f.dense))
	}
	if err := checkFinite(name, f.dense, f.values); err != nil {
		return named{}, err
	}
	if isDense {
		return named{name: name, dense: f.dense}, nil
	}
	indices, values, err := sortSparse(f.indices, f.values)
	return named{name: name, indices: indices, values: values, sparse: true}, err
}

// checkFinite refuses NaN and infinities: nothing can be ranked by them, and
// JSON can't carry them back. Both are what has all bits of the exponent set.
func checkFinite(name string, lists ...[]float32) error {
	for _, list := range lists {
		for _, x := range list {
			if math.Float32bits(x)&0x7f80_0000 == 0x7f80_0000 {
				return apierror.New(apierror.BadInput, "Vector %q contains NaN or an infinite number", name)
			}
		}
	}
	return nil
}

// sparseFault is what is wrong with a sparse vector, in the words that clients
// know.
type sparseFault string

func (f sparseFault) Error() string { return string(f) }

func badSparse(f sparseFault) error {
	return apierror.New(apierror.BadInput, "Sparse indices does not match sparse vector conditions: %w", f)
}

// inPoint says which point of a request a fault of a sparse vector is in.
func inPoint(i int, err error) error {
	if f, ok := errors.AsType[sparseFault](err); ok {
		return apierror.New(apierror.Validation, "[points[%d].vectors.vectors_options.vectors.[].%w]", i, f)
	}
	return err
}

// sortSparse returns a sparse vector with ascending indices, without copying one
// that is in order already.
func sortSparse(indices []uint32, values []float32) ([]uint32, []float32, error) {
	if len(indices) != len(values) {
		return nil, nil, badSparse("values: Validation error: must be the same length as indices [{}]")
	}
	if !slices.IsSorted(indices) {
		order := make([]int, len(indices))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return int(int64(indices[a]) - int64(indices[b])) })
		i2, v2 := make([]uint32, len(indices)), make([]float32, len(values))
		for to, from := range order {
			i2[to], v2[to] = indices[from], values[from]
		}
		indices, values = i2, v2
	}
	for i := 1; i < len(indices); i++ {
		if indices[i] == indices[i-1] {
			return nil, nil, badSparse("indices: Validation error: must be unique [{}]")
		}
	}
	return indices, values, nil
}
