package dialect

import (
	"errors"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// attachPayload reads a payload and attaches it to m.
func attachPayload(r *jsonx.Reader, m proto.Message) {
	if r.Kind() != jsonx.Object {
		r.WrongType("a map")
		return
	}
	o, err := payload.Decode(r.Decoder())
	if err != nil {
		msg := err.Error()
		if e, ok := errors.AsType[*apierror.Error](err); ok {
			msg = e.Msg // the kind's prefix comes when all is read
		}
		r.FailDecoding(err, msg)
		return
	}
	payload.Attach(m, o)
}

// UpsertPoints reads the body of PUT /collections/{c}/points, in its list form
// or its column form ("batch").
func UpsertPoints(body []byte) (*pb.UpsertPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.UpsertPoints {
		l := upsert(r)
		return &pb.UpsertPoints{
			Points: l.Points, ShardKeySelector: l.ShardKeySelector,
			UpdateFilter: l.UpdateFilter, UpdateMode: l.UpdateMode,
		}
	})
	return checked(m, err, func(c *checks, m *pb.UpsertPoints) { c.upsert(root, m.Points, m.UpdateFilter) })
}

// upsert reads an upsert, as a body or as an operation of a batch.
func upsert(r *jsonx.Reader) *pb.PointsUpdateOperation_PointStructList {
	l := &pb.PointsUpdateOperation_PointStructList{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "points":
			l.Points, has = list(r, pointStruct), true
		case "batch":
			l.Points, has = pointBatch(r), true
		case "shard_key":
			l.ShardKeySelector = shardKeys(r)
		case "update_filter":
			l.UpdateFilter = filter(r)
		case "update_mode":
			l.UpdateMode = new(enum[pb.UpdateMode](r, updateModes))
		default:
			r.Skip()
		}
	}
	if !has {
		r.NoVariant("PointInsertOperations")
	}
	return l
}

// pointStruct reads {id, vector, payload}.
func pointStruct(r *jsonx.Reader) *pb.PointStruct {
	p := &pb.PointStruct{}
	for key := range r.Fields() {
		switch key {
		case "id":
			p.Id = pointID(r)
		case "vector", "vectors":
			p.Vectors = vectors(r)
		case "payload":
			attachPayload(r, p)
		default:
			r.Skip()
		}
	}
	r.Missing(p.Id == nil, "id")
	r.Missing(p.Vectors == nil, "vector")
	return p
}

// pointBatch reads the column form {ids, vectors, payloads} and turns it into
// points.
func pointBatch(r *jsonx.Reader) []*pb.PointStruct {
	var ids []*pb.PointId
	var payloads []*pb.PointStruct // the payloads' carriers
	var cols vectorColumns
	var hasIDs, hasVectors, hasPayloads bool
	for key := range r.Fields() {
		switch key {
		case "ids":
			ids, hasIDs = list(r, pointID), true
		case "vectors", "vector":
			cols, hasVectors = columns(r), true
		case "payloads":
			payloads, hasPayloads = list(r, payloadCarrier), true
		default:
			r.Skip()
		}
	}
	r.Missing(!hasIDs, "ids")
	r.Missing(!hasVectors, "vectors")
	if r.Err() != nil {
		return nil
	}
	if n, ok := cols.len(len(ids)); !ok {
		r.Fail(validation("batch", "number of ids and vectors must be equal (%d != %d)", len(ids), n))
		return nil
	}
	if hasPayloads && len(payloads) != len(ids) {
		r.Fail(validation("batch", "number of ids and payloads must be equal (%d != %d)", len(ids), len(payloads)))
		return nil
	}
	points := payloads
	if !hasPayloads {
		points = make([]*pb.PointStruct, len(ids))
		for i := range points {
			points[i] = &pb.PointStruct{}
		}
	}
	for i, p := range points {
		p.Id, p.Vectors = ids[i], cols.at(i)
	}
	return points
}

// payloadCarrier reads one payload of a batch, which may be null, into a point.
func payloadCarrier(r *jsonx.Reader) *pb.PointStruct {
	p := &pb.PointStruct{}
	if !r.SkipNull() {
		attachPayload(r, p)
	}
	return p
}

// vectorColumns are the vectors of a batch: one column without name, or one for
// each name.
type vectorColumns struct {
	unnamed []*pb.Vectors
	named   map[string][]*pb.Vector
}

func columns(r *jsonx.Reader) vectorColumns {
	if r.Kind() == jsonx.Array {
		return vectorColumns{unnamed: list(r, vectors)}
	}
	c := vectorColumns{named: map[string][]*pb.Vector{}}
	for name := range r.Members() {
		c.named[name] = list(r, vector)
	}
	return c
}

// len reports whether all columns have want entries, else how many one has.
func (c *vectorColumns) len(want int) (int, bool) {
	if c.named == nil {
		return len(c.unnamed), len(c.unnamed) == want
	}
	for _, col := range c.named {
		if len(col) != want {
			return len(col), false
		}
	}
	return want, true
}

func (c *vectorColumns) at(i int) *pb.Vectors {
	if c.named == nil {
		return c.unnamed[i]
	}
	m := make(map[string]*pb.Vector, len(c.named))
	for name, col := range c.named {
		m[name] = col[i]
	}
	return named(m)
}

// selection gathers the members that say which points an operation is about.
type selection struct {
	points, filter *pb.PointsSelector
	keys           *pb.ShardKeySelector
}

// member reads the member key, when it is one of a selection's.
func (s *selection) member(r *jsonx.Reader, key string) bool {
	switch key {
	case "points":
		s.points = idList(r)
	case "filter":
		s.filter = filterSelector(r)
	case "shard_key":
		s.keys = shardKeys(r)
	default:
		return false
	}
	return true
}

// selector returns what was selected; a list of IDs goes before a filter.
func (s *selection) selector(r *jsonx.Reader) *pb.PointsSelector {
	switch {
	case s.points != nil:
		return s.points
	case s.filter != nil:
		return s.filter
	default:
		r.Failf("Either list of ids or filter must be provided")
		return nil
	}
}

// selectPoints reads {points} | {filter}, with shard_key.
func selectPoints(r *jsonx.Reader) (*pb.PointsSelector, *pb.ShardKeySelector) {
	var s selection
	for key := range r.Fields() {
		if !s.member(r, key) {
			r.Skip()
		}
	}
	if s.points == nil && s.filter == nil {
		r.NoVariant("PointsSelector")
	}
	return s.selector(r), s.keys
}

// DeletePoints reads the body of POST …/points/delete.
func DeletePoints(body []byte) (*pb.DeletePoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.DeletePoints {
		points, keys := selectPoints(r)
		return &pb.DeletePoints{Points: points, ShardKeySelector: keys}
	})
	return checked(m, err, func(c *checks, m *pb.DeletePoints) { c.selector(root, m.Points) })
}

// ClearPayload reads the body of POST …/points/payload/clear.
func ClearPayload(body []byte) (*pb.ClearPayloadPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.ClearPayloadPoints {
		points, keys := selectPoints(r)
		return &pb.ClearPayloadPoints{Points: points, ShardKeySelector: keys}
	})
	return checked(m, err, func(c *checks, m *pb.ClearPayloadPoints) { c.selector(root, m.Points) })
}

// SetPayload reads the body of POST and PUT …/points/payload.
func SetPayload(body []byte) (*pb.SetPayloadPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.SetPayloadPoints {
		m := &pb.SetPayloadPoints{}
		m.PointsSelector, m.ShardKeySelector, m.Key = setPayload(r, m)
		return m
	})
	return checked(m, err, func(c *checks, m *pb.SetPayloadPoints) { c.selector(root, m.PointsSelector) })
}

// setPayload reads {payload, points | filter, key, shard_key}; the payload is
// attached to carrier.
func setPayload(r *jsonx.Reader, carrier proto.Message) (*pb.PointsSelector, *pb.ShardKeySelector, *string) {
	var s selection
	var path *string
	has := false
	for key := range r.Fields() {
		switch {
		case s.member(r, key):
		case key == "payload":
			attachPayload(r, carrier)
			has = true
		case key == "key":
			path = new(r.Text())
		default:
			r.Skip()
		}
	}
	r.Missing(!has, "payload")
	return s.selector(r), s.keys, path
}

// DeletePayload reads the body of POST …/points/payload/delete.
func DeletePayload(body []byte) (*pb.DeletePayloadPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.DeletePayloadPoints {
		op := deletePayload(r)
		return &pb.DeletePayloadPoints{Keys: op.Keys, PointsSelector: op.PointsSelector, ShardKeySelector: op.ShardKeySelector}
	})
	return checked(m, err, func(c *checks, m *pb.DeletePayloadPoints) { c.selector(root, m.PointsSelector) })
}

func deletePayload(r *jsonx.Reader) *pb.PointsUpdateOperation_DeletePayload {
	op := &pb.PointsUpdateOperation_DeletePayload{}
	var s selection
	has := false
	for key := range r.Fields() {
		switch {
		case s.member(r, key):
		case key == "keys":
			op.Keys, has = list(r, text), true
		default:
			r.Skip()
		}
	}
	r.Missing(!has, "keys")
	op.PointsSelector, op.ShardKeySelector = s.selector(r), s.keys
	return op
}

// UpdateVectors reads the body of PUT …/points/vectors.
func UpdateVectors(body []byte) (*pb.UpdatePointVectors, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.UpdatePointVectors {
		op := updateVectors(r)
		return &pb.UpdatePointVectors{
			Points: op.Points, ShardKeySelector: op.ShardKeySelector, UpdateFilter: op.UpdateFilter,
		}
	})
	return checked(m, err, func(c *checks, m *pb.UpdatePointVectors) { c.updateVectors(root, m.Points, m.UpdateFilter) })
}

func updateVectors(r *jsonx.Reader) *pb.PointsUpdateOperation_UpdateVectors {
	op := &pb.PointsUpdateOperation_UpdateVectors{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "points":
			op.Points, has = list(r, pointVectors), true
		case "shard_key":
			op.ShardKeySelector = shardKeys(r)
		case "update_filter":
			op.UpdateFilter = filter(r)
		default:
			r.Skip()
		}
	}
	r.Missing(!has, "points")
	return op
}

func pointVectors(r *jsonx.Reader) *pb.PointVectors {
	p := &pb.PointVectors{}
	for key := range r.Fields() {
		switch key {
		case "id":
			p.Id = pointID(r)
		case "vector", "vectors":
			p.Vectors = vectors(r)
		default:
			r.Skip()
		}
	}
	r.Missing(p.Id == nil, "id")
	r.Missing(p.Vectors == nil, "vector")
	return p
}

// DeleteVectors reads the body of POST …/points/vectors/delete.
func DeleteVectors(body []byte) (*pb.DeletePointVectors, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.DeletePointVectors {
		op := deleteVectors(r)
		return &pb.DeletePointVectors{
			PointsSelector: op.PointsSelector, Vectors: op.Vectors, ShardKeySelector: op.ShardKeySelector,
		}
	})
	return checked(m, err, func(c *checks, m *pb.DeletePointVectors) {
		c.deleteVectors(root, m.PointsSelector, m.Vectors)
	})
}

func deleteVectors(r *jsonx.Reader) *pb.PointsUpdateOperation_DeleteVectors {
	op := &pb.PointsUpdateOperation_DeleteVectors{}
	var s selection
	for key := range r.Fields() {
		switch {
		case s.member(r, key):
		case key == "vector" || key == "vectors":
			op.Vectors = &pb.VectorsSelector{Names: list(r, text)}
		default:
			r.Skip()
		}
	}
	r.Missing(op.Vectors == nil, "vector")
	op.PointsSelector, op.ShardKeySelector = s.selector(r), s.keys
	return op
}

// UpdateBatch reads the body of POST …/points/batch.
func UpdateBatch(body []byte) (*pb.UpdateBatchPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.UpdateBatchPoints {
		m := &pb.UpdateBatchPoints{}
		has := false
		for key := range r.Fields() {
			if key == "operations" {
				m.Operations, has = list(r, operation), true
			} else {
				r.Skip()
			}
		}
		r.Missing(!has, "operations")
		return m
	})
	return checked(m, err, (*checks).updateBatch)
}

// operation reads one member of a batch: {upsert} | {delete} | {set_payload} |
// {overwrite_payload} | {delete_payload} | {clear_payload} | {update_vectors} |
// {delete_vectors}.
func operation(r *jsonx.Reader) *pb.PointsUpdateOperation {
	op := &pb.PointsUpdateOperation{}
	for key := range r.Fields() {
		switch key {
		case "upsert":
			op.Operation = &pb.PointsUpdateOperation_Upsert{Upsert: upsert(r)}
		case "delete":
			points, keys := selectPoints(r)
			op.Operation = &pb.PointsUpdateOperation_DeletePoints_{
				DeletePoints: &pb.PointsUpdateOperation_DeletePoints{Points: points, ShardKeySelector: keys},
			}
		case "set_payload":
			set := &pb.PointsUpdateOperation_SetPayload{}
			set.PointsSelector, set.ShardKeySelector, set.Key = setPayload(r, set)
			op.Operation = &pb.PointsUpdateOperation_SetPayload_{SetPayload: set}
		case "overwrite_payload":
			set := &pb.PointsUpdateOperation_OverwritePayload{}
			set.PointsSelector, set.ShardKeySelector, set.Key = setPayload(r, set)
			op.Operation = &pb.PointsUpdateOperation_OverwritePayload_{OverwritePayload: set}
		case "delete_payload":
			op.Operation = &pb.PointsUpdateOperation_DeletePayload_{DeletePayload: deletePayload(r)}
		case "clear_payload":
			points, keys := selectPoints(r)
			op.Operation = &pb.PointsUpdateOperation_ClearPayload_{
				ClearPayload: &pb.PointsUpdateOperation_ClearPayload{Points: points, ShardKeySelector: keys},
			}
		case "update_vectors":
			op.Operation = &pb.PointsUpdateOperation_UpdateVectors_{UpdateVectors: updateVectors(r)}
		case "delete_vectors":
			op.Operation = &pb.PointsUpdateOperation_DeleteVectors_{DeleteVectors: deleteVectors(r)}
		default:
			r.Skip()
		}
	}
	if op.Operation == nil {
		r.NoVariant("UpdateOperation")
	}
	return op
}
