package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/bench/dataset"
)

// collection is the one that benchmarks use.
const collection = "benchmark"

func distanceOf(m dataset.Metric) pb.Distance {
	if m == dataset.Dot {
		return pb.Distance_Dot
	}
	return pb.Distance_Euclid
}

// GRPC is a server reached through the official client.
type GRPC struct {
	client *pb.Client
	rest   string
	apiKey string
}

// NewGRPC connects to a server over a number of connections, which take turns; 0
// is the client's own number. rest is the server's REST address ("" when there is
// none), from which only memory and processor time are read.
func NewGRPC(host string, port, connections int, rest, apiKey string) (*GRPC, error) {
	client, err := pb.NewClient(&pb.Config{
		Host: host, Port: port, APIKey: apiKey, PoolSize: uint(connections), SkipCompatibilityCheck: true,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s:%d: %w", host, port, err)
	}
	return &GRPC{client: client, rest: rest, apiKey: apiKey}, nil
}

// Close implements io.Closer.
func (g *GRPC) Close() error { return g.client.Close() }

// Create implements Target.
func (g *GRPC) Create(ctx context.Context, c Collection) error {
	exists, err := g.client.CollectionExists(ctx, collection)
	if err != nil {
		return err
	}
	if exists {
		if err := g.client.DeleteCollection(ctx, collection); err != nil {
			return err
		}
	}
	req := &pb.CreateCollection{
		CollectionName: collection,
		VectorsConfig:  pb.NewVectorsConfig(&pb.VectorParams{Size: uint64(c.Dim), Distance: distanceOf(c.Metric)}),
	}
	if c.M > 0 || c.EfConstruct > 0 {
		req.HnswConfig = &pb.HnswConfigDiff{}
		if c.M > 0 {
			req.HnswConfig.M = new(uint64(c.M))
		}
		if c.EfConstruct > 0 {
			req.HnswConfig.EfConstruct = new(uint64(c.EfConstruct))
		}
	}
	if err := g.client.CreateCollection(ctx, req); err != nil || !c.Filtered {
		return err
	}
	_, err = g.client.CreateFieldIndex(ctx, &pb.CreateFieldIndexCollection{
		CollectionName: collection, FieldName: "bucket", FieldType: pb.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
	})
	return err
}

// Upload implements Target.
func (g *GRPC) Upload(ctx context.Context, first int, rows dataset.Matrix, buckets []int) error {
	points := make([]*pb.PointStruct, rows.Rows())
	for i := range points {
		points[i] = &pb.PointStruct{Id: pb.NewIDNum(uint64(first + i)), Vectors: pb.NewVectorsDense(rows.Row(i))}
		if buckets != nil {
			points[i].Payload = map[string]*pb.Value{"bucket": pb.NewValueInt(int64(buckets[i]))}
		}
	}
	_, err := g.client.Upsert(ctx, &pb.UpsertPoints{CollectionName: collection, Wait: new(true), Points: points})
	return err
}

// Ready implements Target.
func (g *GRPC) Ready(ctx context.Context) (bool, error) {
	info, err := g.client.GetCollectionInfo(ctx, collection)
	return info.GetStatus() == pb.CollectionStatus_Green, err
}

// Search implements Target.
func (g *GRPC) Search(ctx context.Context, vector []float32, k, ef, below int) ([]uint32, error) {
	req := &pb.QueryPoints{
		CollectionName: collection, Query: pb.NewQueryDense(vector), Limit: new(uint64(k)),
	}
	if ef > 0 {
		req.Params = &pb.SearchParams{HnswEf: new(uint64(ef))}
	}
	if below > 0 {
		req.Filter = &pb.Filter{Must: []*pb.Condition{pb.NewRange("bucket", &pb.Range{Lt: new(float64(below))})}}
	}
	hits, err := g.client.Query(ctx, req)
	if err != nil {
		return nil, err
	}
	rows := make([]uint32, len(hits))
	for i, h := range hits {
		rows[i] = uint32(h.GetId().GetNum())
	}
	return rows, nil
}

// Usage implements Target.
func (g *GRPC) Usage(ctx context.Context) (Usage, error) {
	if g.rest == "" {
		return Usage{}, nil
	}
	return usage(ctx, g.rest, g.apiKey)
}

// The metrics of either server, among which resident memory and processor time
// are found.
var (
	residentMetric = regexp.MustCompile(`(?m)^(?:process_resident_memory_bytes|memory_resident_bytes) ([0-9.e+]+)$`)
	cpuMetric      = regexp.MustCompile(`(?m)^process_cpu_seconds_total ([0-9.e+]+)$`)
)

func usage(ctx context.Context, rest, apiKey string) (u Usage, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rest+"/metrics", nil)
	if err != nil {
		return u, err
	}
	if apiKey != "" {
		req.Header.Set("Api-Key", apiKey)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return u, err
	}
	u.Resident = uint64(metric(residentMetric, body))
	u.CPU = metric(cpuMetric, body)
	return u, nil
}

// metric returns the value of a metric, 0 when it isn't there.
func metric(name *regexp.Regexp, metrics []byte) float64 {
	found := name.FindSubmatch(metrics)
	if found == nil {
		return 0
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return 0
	}
	return value
}
