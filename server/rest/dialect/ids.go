package dialect

import (
	"strconv"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// PointID reads an ID as it stands in a path: a number, or a UUID in any of its
// textual forms.
func PointID(s string) (*pb.PointId, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return &pb.PointId{PointIdOptions: &pb.PointId_Num{Num: n}}, nil
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return nil, apierror.New(apierror.BadInput, "Can not recognize \"%s\" as point id", shorten(s))
	}
	return uuidID(u), nil
}

func uuidID(u uuid.UUID) *pb.PointId {
	return &pb.PointId{PointIdOptions: &pb.PointId_Uuid{Uuid: u.String()}}
}

// pointID reads number | uuid.
func pointID(r *jsonx.Reader) *pb.PointId {
	switch r.Kind() {
	case jsonx.Number:
		return &pb.PointId{PointIdOptions: &pb.PointId_Num{Num: r.Uint64()}}
	case jsonx.String:
		s := r.Text()
		u, err := uuid.Parse(s)
		if err != nil {
			badID(r, s)
			return nil
		}
		return uuidID(u)
	case jsonx.Invalid:
		r.Skip()
		return nil
	default:
		badID(r, string(r.Raw()))
		return nil
	}
}

func badID(r *jsonx.Reader, s string) {
	r.Failf("value %s is not a valid point ID, valid values are either an unsigned integer or a UUID", shorten(s))
}

// shardKey reads string | number.
func shardKey(r *jsonx.Reader) *pb.ShardKey {
	switch r.Kind() {
	case jsonx.Number:
		return &pb.ShardKey{Key: &pb.ShardKey_Number{Number: r.Uint64()}}
	case jsonx.String:
		return &pb.ShardKey{Key: &pb.ShardKey_Keyword{Keyword: r.Text()}}
	default:
		r.NoVariant("ShardKey")
		return nil
	}
}

// shardKeys reads key | [keys] | {target, fallback}.
func shardKeys(r *jsonx.Reader) *pb.ShardKeySelector {
	switch r.Kind() {
	case jsonx.Array:
		return &pb.ShardKeySelector{ShardKeys: list(r, shardKey)}
	case jsonx.Object:
		var target, fallback *pb.ShardKey
		for key := range r.Fields() {
			switch key {
			case "target":
				target = shardKey(r)
			case "fallback":
				fallback = shardKey(r)
			default:
				r.Skip()
			}
		}
		r.Missing(target == nil, "target")
		r.Missing(fallback == nil, "fallback")
		return &pb.ShardKeySelector{ShardKeys: []*pb.ShardKey{target}, Fallback: fallback}
	case jsonx.Number, jsonx.String:
		return &pb.ShardKeySelector{ShardKeys: []*pb.ShardKey{shardKey(r)}}
	default:
		r.NoVariant("ShardKeySelector")
		return nil
	}
}

// withPayload reads bool | [paths] | {include} | {exclude}.
func withPayload(r *jsonx.Reader) *pb.WithPayloadSelector {
	switch r.Kind() {
	case jsonx.True, jsonx.False:
		return payloadEnabled(r.Bool())
	case jsonx.Array:
		return payloadIncluded(list(r, text))
	case jsonx.Object:
		var sel *pb.WithPayloadSelector
		for key := range r.Fields() {
			switch key {
			case "include":
				sel = payloadIncluded(list(r, text))
			case "exclude":
				fields := list(r, text)
				sel = &pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Exclude{
					Exclude: &pb.PayloadExcludeSelector{Fields: fields},
				}}
			default:
				r.Skip()
			}
		}
		if sel == nil {
			r.NoVariant("WithPayloadInterface")
		}
		return sel
	default:
		r.NoVariant("WithPayloadInterface")
		return nil
	}
}

func payloadEnabled(on bool) *pb.WithPayloadSelector {
	return &pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Enable{Enable: on}}
}

func payloadIncluded(fields []string) *pb.WithPayloadSelector {
	return &pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Include{
		Include: &pb.PayloadIncludeSelector{Fields: fields},
	}}
}

// withVectors reads bool | [names].
func withVectors(r *jsonx.Reader) *pb.WithVectorsSelector {
	switch r.Kind() {
	case jsonx.True, jsonx.False:
		return &pb.WithVectorsSelector{SelectorOptions: &pb.WithVectorsSelector_Enable{Enable: r.Bool()}}
	case jsonx.Array:
		return &pb.WithVectorsSelector{SelectorOptions: &pb.WithVectorsSelector_Include{
			Include: &pb.VectorsSelector{Names: list(r, text)},
		}}
	default:
		r.NoVariant("WithVector")
		return nil
	}
}

// idList reads an array of point IDs.
func idList(r *jsonx.Reader) *pb.PointsSelector {
	return &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Points{
		Points: &pb.PointsIdsList{Ids: list(r, pointID)},
	}}
}

func filterSelector(r *jsonx.Reader) *pb.PointsSelector {
	return &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Filter{Filter: filter(r)}}
}

// Ordering reads the query parameter of that name: weak, medium or strong; nil
// when it is none of them.
func Ordering(s string) *pb.WriteOrdering {
	n := number(orderings, s)
	if n < 0 {
		return nil
	}
	return &pb.WriteOrdering{Type: pb.WriteOrderingType(n)}
}

// Consistency reads the query parameter of that name: a number of replicas
// (at least 1), or all, majority or quorum; nil when it is none of them.
func Consistency(s string) *pb.ReadConsistency {
	if n := number(consistencies, s); n >= 0 {
		return &pb.ReadConsistency{Value: &pb.ReadConsistency_Type{Type: pb.ReadConsistencyType(n)}}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return nil
	}
	return &pb.ReadConsistency{Value: &pb.ReadConsistency_Factor{Factor: n}}
}
