package failover

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Door is the way into the cluster through one node.
type Door interface {
	// Write upserts a point and returns when the write is acknowledged and applied.
	Write(ctx context.Context, p *pb.PointStruct) error
	// Search carries out a query.
	Search(ctx context.Context, q *pb.QueryPoints) error
	// Versions returns the versions of notes by ID; those that aren't found are left out.
	Versions(ctx context.Context, ids []uint64) (map[uint64]int64, error)
	// Count returns the exact number of notes and that of all points.
	Count(ctx context.Context) (notes, all uint64, err error)
}

// versionKey and kindKey are the payload of a note.
const (
	versionKey = "version"
	kindKey    = "kind"
	noteKind   = "note"
)

// client is a Door through the official client.
type client struct {
	*pb.Client
	collection string
}

// Dial makes a door of a node's gRPC address. It connects when it is used, and again whenever the
// node is back.
func Dial(addr, collection string) (Door, func() error, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("gRPC address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, nil, fmt.Errorf("gRPC address: %w", err)
	}
	soon := backoff.DefaultConfig
	soon.BaseDelay, soon.MaxDelay = 100*time.Millisecond, 500*time.Millisecond
	c, err := pb.NewClient(&pb.Config{
		Host: host, Port: port, PoolSize: 1, SkipCompatibilityCheck: true,
		GrpcOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon, MinConnectTimeout: time.Second})},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return &client{c, collection}, c.Close, nil
}

// Note returns a note as a point: a version of it, with the given vectors.
func Note(id uint64, version int64, vectors *pb.Vectors) *pb.PointStruct {
	return &pb.PointStruct{
		Id: pb.NewIDNum(id), Vectors: vectors, Payload: pb.NewValueMap(map[string]any{kindKey: noteKind, versionKey: version}),
	}
}

// Write implements Door.
func (c *client) Write(ctx context.Context, p *pb.PointStruct) error {
	_, err := c.Upsert(ctx, &pb.UpsertPoints{CollectionName: c.collection, Points: []*pb.PointStruct{p}, Wait: new(true)})
	return err
}

// Search implements Door.
func (c *client) Search(ctx context.Context, q *pb.QueryPoints) error {
	_, err := c.Query(ctx, q)
	return err
}

// Versions implements Door.
func (c *client) Versions(ctx context.Context, ids []uint64) (map[uint64]int64, error) {
	req := &pb.GetPoints{
		CollectionName: c.collection, WithPayload: pb.NewWithPayloadInclude(versionKey), WithVectors: pb.NewWithVectors(false),
	}
	for _, id := range ids {
		req.Ids = append(req.Ids, pb.NewIDNum(id))
	}
	points, err := c.Get(ctx, req)
	if err != nil {
		return nil, err
	}
	versions := make(map[uint64]int64, len(points))
	for _, p := range points {
		versions[p.GetId().GetNum()] = p.GetPayload()[versionKey].GetIntegerValue()
	}
	return versions, nil
}

// Count implements Door.
func (c *client) Count(ctx context.Context) (notes, all uint64, err error) {
	req := &pb.CountPoints{CollectionName: c.collection, Exact: new(true)}
	if all, err = c.Client.Count(ctx, req); err != nil {
		return 0, 0, err
	}
	req.Filter = &pb.Filter{Must: []*pb.Condition{pb.NewMatchKeyword(kindKey, noteKind)}}
	notes, err = c.Client.Count(ctx, req)
	return notes, all, err
}
