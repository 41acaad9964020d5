package dialect

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// GetPoints reads the body of POST …/points. Payload is returned unless the
// body says otherwise.
func GetPoints(body []byte) (*pb.GetPoints, error) {
	return read(body, func(r *jsonx.Reader) *pb.GetPoints {
		m := &pb.GetPoints{WithPayload: payloadEnabled(true)}
		has := false
		for key := range r.Fields() {
			switch key {
			case "ids":
				m.Ids, has = list(r, pointID), true
			case "with_payload":
				m.WithPayload = withPayload(r)
			case "with_vector", "with_vectors":
				m.WithVectors = withVectors(r)
			case "shard_key":
				m.ShardKeySelector = shardKeys(r)
			default:
				r.Skip()
			}
		}
		r.Missing(!has, "ids")
		return m
	})
}

// GetPoint is GetPoints of one point, which comes with everything.
func GetPoint(id *pb.PointId) *pb.GetPoints {
	return &pb.GetPoints{
		Ids:         []*pb.PointId{id},
		WithPayload: payloadEnabled(true),
		WithVectors: &pb.WithVectorsSelector{SelectorOptions: &pb.WithVectorsSelector_Enable{Enable: true}},
	}
}

// ScrollPoints reads the body of POST …/points/scroll. Payload is returned
// unless the body says otherwise.
func ScrollPoints(body []byte) (*pb.ScrollPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.ScrollPoints {
		m := &pb.ScrollPoints{WithPayload: payloadEnabled(true)}
		for key := range r.Fields() {
			switch key {
			case "filter":
				m.Filter = filter(r)
			case "offset":
				m.Offset = pointID(r)
			case "limit", "top":
				m.Limit = new(clamp32(r.Uint64()))
			case "with_payload":
				m.WithPayload = withPayload(r)
			case "with_vector", "with_vectors":
				m.WithVectors = withVectors(r)
			case "order_by":
				m.OrderBy = orderBy(r)
			case "shard_key":
				m.ShardKeySelector = shardKeys(r)
			default:
				r.Skip()
			}
		}
		return m
	})
	return checked(m, err, func(c *checks, m *pb.ScrollPoints) {
		p := root.member("scroll_request")
		c.filter(p.member("filter"), m.Filter)
		c.atLeast1(p.member("limit"), m.Limit != nil, uint64(m.GetLimit()))
	})
}

// clamp32 cuts a number to 32 bits, for limits: no answer has more points.
func clamp32(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// CountPoints reads the body of POST …/points/count. Counts are exact unless
// the body says otherwise.
func CountPoints(body []byte) (*pb.CountPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.CountPoints {
		m := &pb.CountPoints{Exact: new(true)}
		for key := range r.Fields() {
			switch key {
			case "filter":
				m.Filter = filter(r)
			case "exact":
				m.Exact = new(r.Bool())
			case "shard_key":
				m.ShardKeySelector = shardKeys(r)
			default:
				r.Skip()
			}
		}
		return m
	})
	return checked(m, err, func(c *checks, m *pb.CountPoints) {
		c.filter(root.member("count_request").member("filter"), m.Filter)
	})
}

// Facet reads the body of POST /collections/{c}/facet.
func Facet(body []byte) (*pb.FacetCounts, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.FacetCounts {
		m := &pb.FacetCounts{}
		has := false
		for key := range r.Fields() {
			switch key {
			case "key":
				m.Key, has = r.Text(), true
			case "filter":
				m.Filter = filter(r)
			case "limit":
				m.Limit = new(r.Uint64())
			case "exact":
				m.Exact = new(r.Bool())
			case "shard_key":
				m.ShardKeySelector = shardKeys(r)
			default:
				r.Skip()
			}
		}
		r.Missing(!has, "key")
		return m
	})
	return checked(m, err, func(c *checks, m *pb.FacetCounts) {
		p := root.member("facet_request")
		c.filter(p.member("filter"), m.Filter)
		c.atLeast1(p.member("limit"), m.Limit != nil, m.GetLimit())
	})
}

// SearchMatrix reads the body of POST …/points/search/matrix/*.
func SearchMatrix(body []byte) (*pb.SearchMatrixPoints, error) {
	m, err := read(body, func(r *jsonx.Reader) *pb.SearchMatrixPoints {
		m := &pb.SearchMatrixPoints{}
		for key := range r.Fields() {
			switch key {
			case "filter":
				m.Filter = filter(r)
			case "sample":
				m.Sample = new(r.Uint64())
			case "limit":
				m.Limit = new(r.Uint64())
			case "using":
				m.Using = new(r.Text())
			case "shard_key":
				m.ShardKeySelector = shardKeys(r)
			default:
				r.Skip()
			}
		}
		return m
	})
	return checked(m, err, func(c *checks, m *pb.SearchMatrixPoints) {
		p := root.member("search_request")
		c.filter(p.member("filter"), m.Filter)
		if m.Sample != nil && *m.Sample < 2 {
			c.fail(p.member("sample"), "value %d invalid, must be 2 or larger", *m.Sample)
		}
		c.atLeast1(p.member("limit"), m.Limit != nil, m.GetLimit())
	})
}
