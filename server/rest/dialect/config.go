package dialect

import (
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// This file reads and writes configuration: messages whose members have the
// names of their fields. They are walked by reflection, so that reading and
// writing can't drift apart and a field that a new version of the messages
// brings is there at once. What has another shape in JSON is listed in
// jsonName, enumNames and the two switches over message names below.

// CreateCollection reads the body of PUT /collections/{c}.
func CreateCollection(body []byte) (*pb.CreateCollection, error) {
	m, err := read(body, message[*pb.CreateCollection])
	return checked(m, err, (*checks).createCollection)
}

// UpdateCollection reads the body of PATCH /collections/{c}.
func UpdateCollection(body []byte) (*pb.UpdateCollection, error) {
	m, err := read(body, message[*pb.UpdateCollection])
	return checked(m, err, (*checks).updateCollection)
}

// ChangeAliases reads the body of POST /collections/aliases.
func ChangeAliases(body []byte) (*pb.ChangeAliases, error) {
	return read(body, message[*pb.ChangeAliases])
}

// CreateVectorName reads the body of PUT /collections/{c}/vectors/{name}.
func CreateVectorName(body []byte) (*pb.CreateVectorNameRequest, error) {
	return read(body, func(r *jsonx.Reader) *pb.CreateVectorNameRequest {
		m := message[*pb.CreateVectorNameRequest](r)
		if m.VectorConfig == nil {
			r.NoVariant("VectorNameConfig")
		}
		return m
	})
}

// CreateFieldIndex reads the body of PUT /collections/{c}/index. Index
// parameters are set only when the schema is an object, not for a bare name.
func CreateFieldIndex(body []byte) (*pb.CreateFieldIndexCollection, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.CreateFieldIndexCollection {
		m := &pb.CreateFieldIndexCollection{}
		has := false
		for key := range r.Fields() {
			switch key {
			case "field_name":
				m.FieldName, has = r.Text(), true
			case "field_schema", "field_type":
				fieldSchema(r, m)
			default:
				r.Skip()
			}
		}
		r.Missing(!has, "field_name")
		return m
	})
	return checked(m, err, (*checks).createFieldIndex)
}

func fieldSchema(r *jsonx.Reader, m *pb.CreateFieldIndexCollection) {
	if r.Kind() == jsonx.String {
		m.FieldType = new(enum[pb.FieldType](r, fieldTypes))
		return
	}
	if r.Kind() != jsonx.Object {
		r.NoVariant("PayloadFieldSchema")
		return
	}
	raw := r.Raw()
	kind := memberText(r, raw, "type")
	n := number(fieldTypes, kind)
	if n < 0 {
		r.NoVariant("PayloadFieldSchema")
		return
	}
	m.FieldType = new(pb.FieldType(n))
	m.FieldIndexParams = &pb.PayloadIndexParams{}
	params := m.FieldIndexParams.ProtoReflect()
	fd := params.Descriptor().Fields().ByName(protoreflect.Name(kind + "_index_params"))
	s := r.Sub(raw)
	readMessage(s, params.Mutable(fd).Message())
	r.Fail(s.Err())
}

// memberText returns the text member name of the object raw, "" when it has
// none.
func memberText(r *jsonx.Reader, raw []byte, name string) (found string) {
	s := r.Sub(raw)
	for key := range s.Members() {
		if key == name && s.Kind() == jsonx.String {
			found = s.Text()
		} else {
			s.Skip()
		}
	}
	r.Fail(s.Err())
	return found
}

// message reads an object into a new message of type M.
func message[M proto.Message](r *jsonx.Reader) M {
	var zero M
	m := zero.ProtoReflect().New()
	readMessage(r, m)
	return m.Interface().(M)
}

// readMessage reads a value into m.
func readMessage(r *jsonx.Reader, m protoreflect.Message) {
	if readUnion(r, m) {
		return
	}
	d := m.Descriptor()
	var seen uint64
	for key := range r.Fields() {
		fd := fieldOf(d, key)
		if fd == nil {
			r.Skip()
			continue
		}
		seen |= 1 << fd.Index()
		readField(r, m, fd)
	}
	for _, name := range required(d.FullName()) {
		fd := d.Fields().ByName(name)
		r.Missing(seen&(1<<fd.Index()) == 0, jsonName(fd))
	}
}

// fieldOf returns the field of a message that the member key is for, nil when
// there is none.
func fieldOf(d protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if key == "" { // the name that jsonName has for what no body may set
		return nil
	}
	if target, ok := aliases[key]; ok {
		key = target
	}
	fields := d.Fields()
	if fd := fields.ByName(protoreflect.Name(key)); fd != nil && jsonName(fd) == key {
		return fd
	}
	for i := range fields.Len() {
		if fd := fields.Get(i); jsonName(fd) == key {
			return fd
		}
	}
	return nil
}

// aliases are other spellings of members, for all messages.
var aliases = map[string]string{
	"full_scan_threshold_kb": "full_scan_threshold",
	"max_segment_size_kb":    "max_segment_size",
	"memmap_threshold_kb":    "memmap_threshold",
	"indexing_threshold_kb":  "indexing_threshold",
	"quantization":           "quantization_config",
}

// jsonName returns the member's name of a field, "" when JSON doesn't have it.
func jsonName(fd protoreflect.FieldDescriptor) string {
	switch fd.FullName() {
	case "qdrant.CreateCollection.collection_name", "qdrant.CreateCollection.timeout",
		"qdrant.UpdateCollection.collection_name", "qdrant.UpdateCollection.timeout", "qdrant.ChangeAliases.timeout",
		"qdrant.CreateVectorNameRequest.collection_name", "qdrant.CreateVectorNameRequest.vector_name",
		"qdrant.CreateVectorNameRequest.wait", "qdrant.CreateVectorNameRequest.timeout",
		"qdrant.CreateVectorNameRequest.ordering", "qdrant.OptimizersConfigDiff.deprecated_max_optimization_threads":
		return ""
	case "qdrant.CreateCollection.vectors_config", "qdrant.UpdateCollection.vectors_config",
		"qdrant.CollectionParams.vectors_config":
		return "vectors"
	case "qdrant.CreateCollection.sparse_vectors_config", "qdrant.UpdateCollection.sparse_vectors_config",
		"qdrant.CollectionParams.sparse_vectors_config":
		return "sparse_vectors"
	case "qdrant.QuantizationConfig.turboquant", "qdrant.QuantizationConfigDiff.turboquant":
		return "turbo"
	case "qdrant.CreateVectorNameRequest.dense_config":
		return "dense"
	case "qdrant.CreateVectorNameRequest.sparse_config":
		return "sparse"
	default:
		return string(fd.Name())
	}
}

// required lists the fields without which a message makes no sense.
func required(message protoreflect.FullName) []protoreflect.Name {
	switch message {
	case "qdrant.VectorParams", "qdrant.DenseVectorCreationConfig":
		return []protoreflect.Name{"size", "distance"}
	case "qdrant.ScalarQuantization":
		return []protoreflect.Name{"type"}
	case "qdrant.ProductQuantization":
		return []protoreflect.Name{"compression"}
	case "qdrant.MultiVectorConfig":
		return []protoreflect.Name{"comparator"}
	case "qdrant.ChangeAliases":
		return []protoreflect.Name{"actions"}
	case "qdrant.CreateAlias":
		return []protoreflect.Name{"collection_name", "alias_name"}
	case "qdrant.RenameAlias":
		return []protoreflect.Name{"old_alias_name", "new_alias_name"}
	case "qdrant.DeleteAlias":
		return []protoreflect.Name{"alias_name"}
	case "qdrant.MoveShard", "qdrant.ReplicateShard", "qdrant.AbortShardTransfer":
		return []protoreflect.Name{"shard_id", "to_peer_id", "from_peer_id"}
	case "qdrant.RestartTransfer":
		return []protoreflect.Name{"shard_id", "from_peer_id", "to_peer_id", "method"}
	case "qdrant.Replica":
		return []protoreflect.Name{"shard_id", "peer_id"}
	case "qdrant.CreateShardKey", "qdrant.DeleteShardKey":
		return []protoreflect.Name{"shard_key"}
	default:
		return nil
	}
}

// wrapped returns the one field of a message that JSON has in its place: the
// messages exist only because a map can't be optional.
func wrapped(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	switch d.FullName() {
	case "qdrant.VectorParamsMap", "qdrant.VectorParamsDiffMap", "qdrant.SparseVectorConfig",
		"qdrant.StrictModeSparseConfig", "qdrant.StrictModeMultivectorConfig":
		return d.Fields().Get(0)
	default:
		return nil
	}
}

// readUnion reads the messages whose JSON is not an object of their fields.
func readUnion(r *jsonx.Reader, m protoreflect.Message) bool {
	if fd := wrapped(m.Descriptor()); fd != nil {
		readMap(r, m.Mutable(fd).Map(), fd.MapValue())
		return true
	}
	switch v := m.Interface().(type) {
	case *pb.VectorsConfig:
		readVectorsConfig(r, v)
	case *pb.VectorsConfigDiff:
		diff := &pb.VectorsConfigDiff_ParamsMap{ParamsMap: &pb.VectorParamsDiffMap{}}
		v.Config = diff
		readMessage(r, diff.ParamsMap.ProtoReflect())
	case *pb.QuantizationConfigDiff:
		if r.Kind() != jsonx.String {
			return false
		}
		enum[pb.Sample](r, []string{"Disabled"})
		v.Quantization = &pb.QuantizationConfigDiff_Disabled{Disabled: &pb.Disabled{}}
	case *pb.MaxOptimizationThreads:
		if r.Kind() == jsonx.Number {
			v.Variant = &pb.MaxOptimizationThreads_Value{Value: r.Uint64()}
		} else {
			v.Variant = &pb.MaxOptimizationThreads_Setting_{Setting: enum[pb.MaxOptimizationThreads_Setting](r, autos)}
		}
	case *pb.BinaryQuantizationQueryEncoding:
		v.Variant = &pb.BinaryQuantizationQueryEncoding_Setting_{
			Setting: enum[pb.BinaryQuantizationQueryEncoding_Setting](r, queryEncodings),
		}
	case *pb.StopwordsSet:
		if r.Kind() != jsonx.String {
			return false
		}
		v.Languages = []string{r.Text()}
	case *pb.StemmingAlgorithm:
		readStemmer(r, v)
	case *pb.ShardKey:
		if k := shardKey(r); k != nil {
			v.Key = k.Key
		}
	case *pb.AliasOperations:
		return false
	case *pb.Value:
		proto.Merge(v, value(r))
	default:
		return false
	}
	return true
}

// readVectorsConfig reads the parameters of the unnamed vector or a map of
// them: parameters have a member size or distance that is no object.
func readVectorsConfig(r *jsonx.Reader, v *pb.VectorsConfig) {
	if r.Kind() != jsonx.Object {
		r.NoVariant("VectorsConfig")
		return
	}
	raw := r.Raw()
	s := r.Sub(raw)
	isParams := false
	for key := range s.Members() {
		isParams = isParams || (key == "size" || key == "distance") && s.Kind() != jsonx.Object
		s.Skip()
	}
	s = r.Sub(raw)
	if isParams {
		v.Config = &pb.VectorsConfig_Params{Params: message[*pb.VectorParams](s)}
	} else {
		v.Config = &pb.VectorsConfig_ParamsMap{ParamsMap: message[*pb.VectorParamsMap](s)}
	}
	r.Fail(s.Err())
}

// readStemmer reads {type: snowball, language} | {type: none}.
func readStemmer(r *jsonx.Reader, v *pb.StemmingAlgorithm) {
	var kind, language string
	for key := range r.Fields() {
		switch key {
		case "type":
			kind = r.Text()
		case "language":
			language = r.Text()
		default:
			r.Skip()
		}
	}
	switch kind {
	case "snowball":
		r.Missing(language == "", "language")
		v.StemmingParams = &pb.StemmingAlgorithm_Snowball{Snowball: &pb.SnowballParams{Language: language}}
	case "none":
		v.StemmingParams = &pb.StemmingAlgorithm_Disabled{Disabled: &pb.DisabledStemmer{}}
	default:
		r.NoVariant("StemmingAlgorithm")
	}
}

func readField(r *jsonx.Reader, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	switch {
	case fd.IsMap():
		readMap(r, m.Mutable(fd).Map(), fd.MapValue())
	case fd.IsList():
		l := m.Mutable(fd).List()
		for range r.Elements() {
			l.Append(readSingle(r, fd, l.NewElement))
		}
	case fd.FullName() == "qdrant.KeywordIndexParams.prefix":
		if r.Bool() {
			m.Mutable(fd)
		}
	default:
		m.Set(fd, readSingle(r, fd, func() protoreflect.Value { return m.NewField(fd) }))
	}
}

func readMap(r *jsonx.Reader, dst protoreflect.Map, fd protoreflect.FieldDescriptor) {
	for key := range r.Members() {
		dst.Set(protoreflect.ValueOfString(key).MapKey(), readSingle(r, fd, dst.NewValue))
	}
}

// readSingle reads one value of fd's type; empty makes a message to fill.
func readSingle(r *jsonx.Reader, fd protoreflect.FieldDescriptor, empty func() protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		v := empty()
		readMessage(r, v.Message())
		return v
	case protoreflect.EnumKind:
		s := r.Text()
		names := enumNames(fd.Enum().FullName())
		n := number(names, s)
		if n < 0 {
			unknownVariant(r, s, names)
			n = 0
		}
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.Bool())
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(r.Uint64())
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(r.Float32())
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.Float64())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(r.Text())
	default:
		r.Skip()
		return fd.Default()
	}
}

// writeMessage writes m as readMessage reads it. Fields that are not set are
// left out, except numbers and booleans that can't be unset.
func writeMessage(w *jsonx.Writer, m protoreflect.Message) {
	if writeUnion(w, m) {
		return
	}
	w.Open('{')
	writeFields(w, m)
	w.Close('}')
}

func writeFields(w *jsonx.Writer, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := jsonName(fd)
		if name == "" || !shown(m, fd) {
			continue
		}
		w.Name(name)
		writeField(w, fd, m.Get(fd))
	}
}

// shown reports whether a field appears in JSON.
func shown(m protoreflect.Message, fd protoreflect.FieldDescriptor) bool {
	if fd.HasPresence() || fd.IsMap() || fd.IsList() {
		if !m.Has(fd) {
			return false
		}
	}
	if fd.Kind() == protoreflect.EnumKind && !fd.IsList() {
		names := enumNames(fd.Enum().FullName())
		n := int(m.Get(fd).Enum())
		return n >= 0 && n < len(names) && names[n] != ""
	}
	return true
}

func writeField(w *jsonx.Writer, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case fd.IsMap():
		writeMap(w, fd.MapValue(), v.Map())
	case fd.IsList():
		w.Open('[')
		for i := range v.List().Len() {
			writeSingle(w, fd, v.List().Get(i))
		}
		w.Close(']')
	case fd.FullName() == "qdrant.KeywordIndexParams.prefix":
		w.Bool(true)
	default:
		writeSingle(w, fd, v)
	}
}

// writeMap writes a map by the order of its keys.
func writeMap(w *jsonx.Writer, fd protoreflect.FieldDescriptor, m protoreflect.Map) {
	byKey := map[string]protoreflect.Value{}
	for k, v := range m.Range {
		byKey[k.String()] = v
	}
	w.Open('{')
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		w.Name(k)
		writeSingle(w, fd, byKey[k])
	}
	w.Close('}')
}

func writeSingle(w *jsonx.Writer, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		writeMessage(w, v.Message())
	case protoreflect.EnumKind:
		writeEnum(w, enumNames(fd.Enum().FullName()), int(v.Enum()))
	case protoreflect.BoolKind:
		w.Bool(v.Bool())
	case protoreflect.Uint64Kind, protoreflect.Uint32Kind:
		w.Uint(v.Uint())
	case protoreflect.FloatKind:
		w.Float32(float32(v.Float()))
	case protoreflect.DoubleKind:
		w.Float64(v.Float())
	case protoreflect.StringKind:
		w.String(v.String())
	default:
		w.Null()
	}
}

func writeEnum(w *jsonx.Writer, names []string, n int) {
	if n < 0 || n >= len(names) {
		w.Null()
		return
	}
	w.String(names[n])
}

// writeUnion writes the messages whose JSON is not an object of their fields.
func writeUnion(w *jsonx.Writer, m protoreflect.Message) bool {
	if fd := wrapped(m.Descriptor()); fd != nil {
		writeMap(w, fd.MapValue(), m.Get(fd).Map())
		return true
	}
	switch v := m.Interface().(type) {
	case *pb.VectorsConfig:
		if p := v.GetParams(); p != nil {
			writeMessage(w, p.ProtoReflect())
		} else {
			writeMessage(w, v.GetParamsMap().ProtoReflect())
		}
	case *pb.VectorsConfigDiff:
		if p := v.GetParams(); p != nil {
			writeMessage(w, (&pb.VectorParamsDiffMap{Map: map[string]*pb.VectorParamsDiff{"": p}}).ProtoReflect())
		} else {
			writeMessage(w, v.GetParamsMap().ProtoReflect())
		}
	case *pb.QuantizationConfigDiff:
		if v.GetDisabled() == nil {
			return false
		}
		w.String("Disabled")
	case *pb.MaxOptimizationThreads:
		if n, ok := v.Variant.(*pb.MaxOptimizationThreads_Value); ok {
			w.Uint(n.Value)
		} else {
			w.String("auto")
		}
	case *pb.BinaryQuantizationQueryEncoding:
		writeEnum(w, queryEncodings, int(v.GetSetting()))
	case *pb.StopwordsSet:
		if len(v.Languages) != 1 || len(v.Custom) > 0 {
			return false
		}
		w.String(v.Languages[0])
	case *pb.StemmingAlgorithm:
		w.Open('{')
		w.Name("type")
		if s := v.GetSnowball(); s != nil {
			w.String("snowball")
			w.Name("language")
			w.String(s.Language)
		} else {
			w.String("none")
		}
		w.Close('}')
	case *pb.Value:
		writeValue(w, v)
	default:
		return false
	}
	return true
}

// writeValue writes any JSON value.
func writeValue(w *jsonx.Writer, v *pb.Value) {
	switch k := v.GetKind().(type) {
	case *pb.Value_BoolValue:
		w.Bool(k.BoolValue)
	case *pb.Value_IntegerValue:
		w.Int(k.IntegerValue)
	case *pb.Value_DoubleValue:
		w.Float64(k.DoubleValue)
	case *pb.Value_StringValue:
		w.String(k.StringValue)
	case *pb.Value_ListValue:
		w.Open('[')
		for _, e := range k.ListValue.GetValues() {
			writeValue(w, e)
		}
		w.Close(']')
	case *pb.Value_StructValue:
		writeValueMap(w, k.StructValue.GetFields())
	default:
		w.Null()
	}
}

func writeValueMap(w *jsonx.Writer, m map[string]*pb.Value) {
	w.Open('{')
	for _, key := range slices.Sorted(maps.Keys(m)) {
		w.Name(key)
		writeValue(w, m[key])
	}
	w.Close('}')
}
