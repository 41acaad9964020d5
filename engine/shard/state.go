package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/sparse"
	"github.com/sextantdb/sextant/engine/text"
	"github.com/sextantdb/sextant/engine/vectorindex"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Names of components in the manifest. The part after the slash is the name of
// the vector or field.
const (
	docsName     = "docs"
	densePrefix  = "dense/"
	sparsePrefix = "sparse/"
	fieldPrefix  = "field/"
)

// state says which components a shard has at one moment. It is immutable: a change of
// configuration or payload schema makes a new one. The components themselves
// change all the time; they are shared by all states that have them, and closed when
// the last pin is gone that was taken while they were in the shard's state.
type state struct {
	config *pb.CollectionConfig
	schema *Schema
	dense  map[string]*vectorindex.Index
	sparse map[string]*sparse.Index
	fields map[string]field
}

// field is an indexed payload field.
type field struct {
	index  *payloadindex.Index
	schema *pb.PayloadSchemaInfo // without the number of points
}

// tended is an index with background work.
type tended interface {
	Pending() bool
	Step(ctx context.Context) (more bool, err error)
}

// each yields all indexes under their names in the manifest, in order. The kinds
// of indexes have no method in common that all callers want: only picks those that
// have the ones of an interface.
func (st *state) each() iter.Seq2[string, any] {
	all := map[string]any{}
	for name, x := range st.dense {
		all[densePrefix+name] = x
	}
	for name, x := range st.sparse {
		all[sparsePrefix+name] = x
	}
	for name, f := range st.fields {
		all[fieldPrefix+name] = f.index
	}
	return func(yield func(string, any) bool) {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !yield(name, all[name]) {
				return
			}
		}
	}
}

// only yields what of each() is a T.
func only[T any](st *state) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for name, x := range st.each() {
			if t, ok := x.(T); ok && !yield(name, t) {
				return
			}
		}
	}
}

func (st *state) tended() iter.Seq2[string, tended] { return only[tended](st) }

func (st *state) persistent() iter.Seq2[string, segment.Checkpointer] {
	return only[segment.Checkpointer](st)
}

// optimizing says whether the configuration lets indexes be built.
func (st *state) optimizing() bool {
	m := st.config.GetOptimizerConfig().GetMaxOptimizationThreads()
	v, ok := m.GetVariant().(*pb.MaxOptimizationThreads_Value)
	return !ok || v.Value > 0
}

// payloadSchema describes the indexed fields, with the number of points when
// count is set.
func (st *state) payloadSchema(count bool) map[string]*pb.PayloadSchemaInfo {
	out := make(map[string]*pb.PayloadSchemaInfo, len(st.fields))
	for name, f := range st.fields {
		info := &pb.PayloadSchemaInfo{DataType: f.schema.GetDataType(), Params: f.schema.GetParams()}
		if count {
			n := uint64(f.index.Len())
			info.Points = &n
		}
		out[name] = info
	}
	return out
}

// openComponents opens what the manifest names: the document store first, because
// everything else speaks of its documents. A component for which the manifest has
// no files begins empty. The state is filled in place although states are
// immutable: nobody reads the shard yet.
func (s *Shard) openComponents(m *segment.Manifest) error {
	info, err := decodeConfig(m.Config)
	if err != nil {
		return err
	}
	st := &state{
		config: info.GetConfig(),
		dense:  map[string]*vectorindex.Index{}, sparse: map[string]*sparse.Index{}, fields: map[string]field{},
	}
	s.state.Store(st) // first, so that what was opened is closed after a failure
	if st.schema, err = NewSchema(st.config); err != nil {
		return err
	}
	if s.docs, err = docstore.Open(docstore.Options{
		Dir: s.dir, Files: m.Files[docsName], Damaged: s.quarantine, Numbers: s.o.docNumbers,
	}); err != nil {
		return err
	}
	if err := s.openVectors(st, m.Files); err != nil {
		return err
	}
	for name, schema := range info.GetPayloadSchema() {
		if st.fields[name], err = s.openField(name, schema, m.Files[fieldPrefix+name]); err != nil {
			// The failed assignment has left an entry without an index.
			delete(st.fields, name)
			return err
		}
	}
	return nil
}

// openVectors opens the index of each vector name of st's configuration that it
// doesn't have; files is nil for new ones.
func (s *Shard) openVectors(st *state, files map[string][]segment.FileInfo) error {
	for name, p := range denseParams(st.config) {
		if st.dense[name] != nil {
			continue
		}
		x, err := vectorindex.Open(vectorindex.Options{
			Dir: s.dir, Files: files[densePrefix+name], Config: denseConfig(st.config, p),
			Kernels: s.o.Kernels, Budget: s.o.Budget, Account: s.o.Account, Seed: s.o.Seed,
		})
		if err != nil {
			return fmt.Errorf("vector %q: %w", name, err)
		}
		st.dense[name] = x
	}
	for name, p := range st.config.GetParams().GetSparseVectorsConfig().GetMap() {
		if st.sparse[name] != nil {
			continue
		}
		x, err := sparse.Open(sparse.Options{
			Dir: s.dir, Files: files[sparsePrefix+name], Config: sparseConfig(p), Budget: s.o.Budget,
		})
		if err != nil {
			return fmt.Errorf("sparse vector %q: %w", name, err)
		}
		st.sparse[name] = x
	}
	return nil
}

// openField opens the index of a payload field.
func (s *Shard) openField(name string, schema *pb.PayloadSchemaInfo, files []segment.FileInfo) (field, error) {
	path, err := payload.ParsePath(name)
	if err != nil {
		return field{}, err
	}
	kind, ok := fieldKinds[schema.GetDataType()]
	if !ok {
		return field{}, apierror.New(apierror.BadInput, "unknown type of index on field %q", name)
	}
	c := payloadindex.Config{Path: path, Kind: kind}
	if kind == payloadindex.FullText {
		a, err := analyzer(schema.GetParams().GetTextIndexParams())
		if err != nil {
			return field{}, err
		}
		c.Tokenizer = a
	}
	x, err := payloadindex.Open(payloadindex.Options{Config: c, Dir: s.dir, Files: files})
	if err != nil {
		return field{}, fmt.Errorf("index of field %q: %w", name, err)
	}
	return field{x, schema}, nil
}

// fieldKinds are the payload types that can be indexed.
var fieldKinds = map[pb.PayloadSchemaType]payloadindex.Kind{
	pb.PayloadSchemaType_Keyword: payloadindex.Keyword, pb.PayloadSchemaType_Integer: payloadindex.Integer,
	pb.PayloadSchemaType_Float: payloadindex.Float, pb.PayloadSchemaType_Geo: payloadindex.Geo,
	pb.PayloadSchemaType_Text: payloadindex.FullText, pb.PayloadSchemaType_Bool: payloadindex.Bool,
	pb.PayloadSchemaType_Datetime: payloadindex.Datetime, pb.PayloadSchemaType_Uuid: payloadindex.UUID,
}

// analyzer makes the tokenizer of a text index. Texts are lowercased unless the
// request says no in so many words, and cut into words unless it names another way.
func analyzer(p *pb.TextIndexParams) (*text.Analyzer, error) {
	o := text.Options{
		KeepCase: p != nil && p.Lowercase != nil && !p.GetLowercase(), ASCIIFolding: p.GetAsciiFolding(),
		MinLen: int(min(p.GetMinTokenLen(), 1<<20)), MaxLen: int(min(p.GetMaxTokenLen(), 1<<20)),
		Stopwords: p.GetStopwords().GetCustom(),
	}
	switch p.GetTokenizer() {
	case pb.TokenizerType_Prefix:
		o.Tokenizer = text.Prefix
	case pb.TokenizerType_Whitespace:
		o.Tokenizer = text.Whitespace
	case pb.TokenizerType_Multilingual:
		o.Tokenizer = text.Multilingual
	case pb.TokenizerType_Word, pb.TokenizerType_Unknown:
		o.Tokenizer = text.Word
	default:
		return nil, apierror.New(apierror.BadInput, "unknown tokenizer %d", p.GetTokenizer())
	}
	for _, l := range p.GetStopwords().GetLanguages() {
		lang, err := text.ParseLanguage(l)
		if err != nil {
			return nil, err
		}
		o.StopLanguages = append(o.StopLanguages, lang)
	}
	if l := p.GetStemmer().GetSnowball().GetLanguage(); l != "" {
		lang, err := text.ParseLanguage(l)
		if err != nil {
			return nil, err
		}
		o.Stemmer = lang
	}
	return text.New(o)
}

// indexType is the type of index that params are for, 0 for none.
func indexType(params *pb.PayloadIndexParams) pb.PayloadSchemaType {
	switch params.GetIndexParams().(type) {
	case *pb.PayloadIndexParams_KeywordIndexParams:
		return pb.PayloadSchemaType_Keyword
	case *pb.PayloadIndexParams_IntegerIndexParams:
		return pb.PayloadSchemaType_Integer
	case *pb.PayloadIndexParams_FloatIndexParams:
		return pb.PayloadSchemaType_Float
	case *pb.PayloadIndexParams_GeoIndexParams:
		return pb.PayloadSchemaType_Geo
	case *pb.PayloadIndexParams_TextIndexParams:
		return pb.PayloadSchemaType_Text
	case *pb.PayloadIndexParams_BoolIndexParams:
		return pb.PayloadSchemaType_Bool
	case *pb.PayloadIndexParams_DatetimeIndexParams:
		return pb.PayloadSchemaType_Datetime
	case *pb.PayloadIndexParams_UuidIndexParams:
		return pb.PayloadSchemaType_Uuid
	default:
		return pb.PayloadSchemaType_UnknownType
	}
}

// IndexSchema returns what collection info shows of an index that m asks for,
// or why it can't be made. Whoever records an index asks here first: one that
// can't be made would keep the shard from opening.
func IndexSchema(m *pb.CreateFieldIndexCollection) (*pb.PayloadSchemaInfo, error) {
	name := m.GetFieldName()
	if name == "" {
		return nil, apierror.New(apierror.Validation, "[field_name: must not be empty]")
	}
	if _, err := payload.ParsePath(name); err != nil {
		return nil, err
	}
	out := &pb.PayloadSchemaInfo{Params: m.GetFieldIndexParams(), DataType: indexType(m.GetFieldIndexParams())}
	if m.FieldType == nil && out.Params == nil {
		return nil, apierror.New(apierror.BadInput, "Field type or field params are missing")
	}
	if m.FieldType != nil {
		// The two enumerations have the same order, one of them from 1.
		byName := pb.PayloadSchemaType(m.GetFieldType()) + 1
		if out.DataType != 0 && out.DataType != byName {
			return nil, apierror.New(apierror.BadInput, "field_type doesn't agree with field_index_params")
		}
		out.DataType = byName
	}
	if _, ok := fieldKinds[out.DataType]; !ok {
		return nil, apierror.New(apierror.BadInput, "unknown type of index on field %q", name)
	}
	if p := out.Params.GetIntegerIndexParams(); p != nil && p.Lookup != nil && !p.GetLookup() && p.Range != nil && !p.GetRange() {
		return nil, apierror.New(apierror.Validation, "[field_schema: the integer index needs `lookup` or `range`]")
	}
	if out.DataType == pb.PayloadSchemaType_Text {
		if _, err := analyzer(out.Params.GetTextIndexParams()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// IndexRequest returns a request for an index that collection info shows as
// schema: the reverse of IndexSchema.
func IndexRequest(field string, schema *pb.PayloadSchemaInfo) *pb.CreateFieldIndexCollection {
	kind := pb.FieldType(schema.GetDataType() - 1)
	return &pb.CreateFieldIndexCollection{FieldName: field, FieldType: &kind, FieldIndexParams: schema.GetParams()}
}

// createIndex makes the index of a field and fills it. An equal one stays, a
// different one is replaced. It is filled before it becomes part of the state, so
// that no query sees a part of it; queries go on without it meanwhile.
func (s *Shard) createIndex(st *state, m *pb.CreateFieldIndexCollection) error {
	name := m.GetFieldName()
	schema, err := IndexSchema(m)
	if err != nil {
		return err
	}
	if old, ok := st.fields[name]; ok && proto.Equal(old.schema, schema) {
		return nil
	}
	f, err := s.openField(name, schema, nil)
	if err != nil {
		return err
	}
	s.docs.EachLive(func(doc uint32) bool {
		f.index.Update(doc, nil, s.docs.Payload(doc))
		return true
	})
	// A payload that couldn't be read looked like an empty one, and has put the
	// shard into quarantine: the index is wrong.
	if err := s.Err(); err != nil {
		return errors.Join(err, f.index.Close())
	}
	s.deleteIndex(st, name)
	// Not st: the line above may have stored another one.
	next := *s.state.Load()
	next.fields = maps.Clone(next.fields)
	next.fields[name] = f
	s.state.Store(&next)
	return nil
}

// deleteIndex drops the index of a field, if there is one. It is closed when the
// reads that may be using it have ended; later ones don't see it.
func (s *Shard) deleteIndex(st *state, name string) {
	old, ok := st.fields[name]
	if !ok {
		return
	}
	next := *st
	next.fields = maps.Clone(next.fields)
	delete(next.fields, name)
	s.state.Store(&next)
	s.docs.Retire(func() { s.closeDropped(fieldPrefix+name, old.index) })
}

// setConfig replaces the configuration: vector names that it doesn't have any
// more are dropped, new ones begin empty, others are told their new settings.
// What rows look like can't be changed, because rows are never written anew. That
// is checked before anything is opened, so a refusal changes nothing, and what a
// failure leaves open is closed.
func (s *Shard) setConfig(st *state, c *pb.CollectionConfig) (err error) {
	schema, err := NewSchema(c)
	if err != nil {
		return err
	}
	next := &state{config: c, schema: schema, fields: st.fields, dense: maps.Clone(st.dense), sparse: maps.Clone(st.sparse)}
	params := denseParams(c)
	for name, x := range st.dense {
		if p, ok := params[name]; !ok {
			delete(next.dense, name)
		} else if old := x.Config(); old.Dim != int(p.GetSize()) || old.Distance != distances[p.GetDistance()] ||
			old.Datatype != datatype(p.GetDatatype()) {
			return apierror.New(apierror.BadInput, "size, distance and datatype of vector %q can't be changed", name)
		}
	}
	for name := range st.sparse {
		if !schema.IsSparse(name) {
			delete(next.sparse, name)
		}
	}
	defer func() {
		if err != nil {
			s.retireVectors(next, st)
		}
	}()
	if err := s.openVectors(next, nil); err != nil {
		return err
	}
	for name, p := range params {
		if err := next.dense[name].SetConfig(denseConfig(c, p)); err != nil {
			return err
		}
	}
	for name, p := range c.GetParams().GetSparseVectorsConfig().GetMap() {
		next.sparse[name].SetConfig(sparseConfig(p))
	}
	s.state.Store(next)
	s.retireVectors(st, next)
	return nil
}

// retireVectors closes the indexes of st that next doesn't have, as soon as nobody
// can be reading them. Their files die with the next checkpoint.
func (s *Shard) retireVectors(st, next *state) {
	for name, x := range st.dense {
		if next.dense[name] == nil {
			s.docs.Retire(func() { s.closeDropped(densePrefix+name, x) })
		}
	}
	for name, x := range st.sparse {
		if next.sparse[name] == nil {
			s.docs.Retire(func() { s.closeDropped(sparsePrefix+name, x) })
		}
	}
}

// closeDropped closes a component that isn't part of the state any more.
func (s *Shard) closeDropped(name string, x interface{ Close() error }) {
	if err := x.Close(); err != nil {
		s.o.Logger.Error("closing a dropped index failed", "index", name, "error", err)
	}
}

// closeComponents closes what was opened. Nothing is in use any more.
func (s *Shard) closeComponents() {
	s.optimizer.logged.Release()
	st := s.state.Load()
	for name, x := range only[interface{ Close() error }](st) {
		s.closeDropped(name, x)
	}
	if s.docs != nil {
		s.closeDropped(docsName, s.docs)
	}
}
