package dialect

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// This file has what the search endpoints, old and new, read alike.

// searchMembers are the members that searches of all kinds share, older ones
// included. A kind that has no use for one reads it all the same.
type searchMembers struct {
	filter      *pb.Filter
	params      *pb.SearchParams
	limit       *uint64
	offset      *uint64
	threshold   *float32
	withPayload *pb.WithPayloadSelector
	withVectors *pb.WithVectorsSelector
	using       *string
	lookupFrom  *pb.LookupLocation
	shardKeys   *pb.ShardKeySelector
	// Searches for groups have these.
	groupBy    *string
	groupSize  *uint64
	withLookup *pb.WithLookup
}

func (m *searchMembers) member(r *jsonx.Reader, key string) {
	switch key {
	case "filter":
		m.filter = filter(r)
	case "params":
		m.params = searchParams(r)
	case "limit", "top":
		m.limit = new(r.Uint64())
	case "offset":
		m.offset = new(r.Uint64())
	case "score_threshold":
		m.threshold = new(r.Float32())
	case "with_payload":
		m.withPayload = withPayload(r)
	case "with_vector", "with_vectors":
		m.withVectors = withVectors(r)
	case "using":
		m.using = new(r.Text())
	case "lookup_from":
		m.lookupFrom = lookupFrom(r)
	case "shard_key":
		m.shardKeys = shardKeys(r)
	case "group_by":
		m.groupBy = new(r.Text())
	case "group_size":
		m.groupSize = new(r.Uint64())
	case "with_lookup":
		m.withLookup = withLookup(r)
	default:
		r.Skip()
	}
}

// orZero returns what p points to, and the zero value for nil.
func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// groups asks for what searches for groups must have.
func (m *searchMembers) groups(r *jsonx.Reader) {
	r.Missing(m.groupSize == nil, "group_size")
	r.Missing(m.groupBy == nil, "group_by")
}

// searches reads {searches: […]} and checks each of them; name is what complaints
// call one.
func searches[T any](body []byte, one func(*jsonx.Reader) T, name string, check func(*checks, *place, T)) ([]T, error) {
	all, err := read(body, func(r *jsonx.Reader) (out []T) {
		has := false
		for key := range r.Fields() {
			if key == "searches" {
				out, has = list(r, one), true
			} else {
				r.Skip()
			}
		}
		r.Missing(!has, "searches")
		return out
	})
	return checked(all, err, func(c *checks, all []T) {
		at := root.member("searches")
		for i, m := range all {
			check(c, at.index(i).member(name), m)
		}
	})
}
