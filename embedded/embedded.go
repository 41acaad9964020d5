// Package embedded runs the database inside a Go program: a directory in,
// results out, no server, nothing to install.
//
// Requests and answers are those of the official Go client
// (github.com/qdrant/go-client/qdrant), and the methods of DB have the names and
// signatures of that client's, so a program can move between a DB of its own and
// a server by changing one line.
//
//	db, err := embedded.Open(ctx, "./data")
//	defer db.Close()
//	err = db.CreateCollection(ctx, &qdrant.CreateCollection{…})
//	hits, err := db.Query(ctx, &qdrant.QueryPoints{…})
//
// A directory belongs to one DB at a time. Writes are durable when the call
// returns, whatever `wait` says.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/fsx"
)

// DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	front       *coordinator.Coordinator
	points      *coordinator.Points
	collections *coordinator.Collections
	lock        io.Closer
}

// Option changes how a DB is opened.
type Option func(*coordinator.Options)

// WithLogger hears what no caller hears, such as a failed optimization. The
// default is silence.
func WithLogger(l *slog.Logger) Option { return func(o *coordinator.Options) { o.Logger = l } }

// Open opens the database in a directory, which is made when it is missing. It
// fails when another DB or a server has the directory open.
func Open(ctx context.Context, dir string, options ...Option) (*DB, error) {
	o := coordinator.Options{FS: fsx.OS{}, StoragePath: dir, Budget: budget.New(budget.Options{})}
	for _, set := range options {
		set(&o)
	}
	if err := o.FS.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("create %s: %w", dir, err)
	}
	lock, err := o.FS.Lock(path.Join(dir, ".lock"))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	front, err := coordinator.Open(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", dir, err), lock.Close())
	}
	return &DB{front: front, points: front.Points(), collections: front.Collections(), lock: lock}, nil
}

// Close writes what is in memory and releases the directory. It is idempotent.
// A DB that isn't closed loses nothing that a call returned for.
func (db *DB) Close() error { return errors.Join(db.front.Close(), db.lock.Close()) }

// CreateCollection makes a collection.
func (db *DB) CreateCollection(ctx context.Context, req *pb.CreateCollection) error {
	_, err := db.collections.Create(ctx, req)
	return err
}

// UpdateCollection changes the configuration of a collection.
func (db *DB) UpdateCollection(ctx context.Context, req *pb.UpdateCollection) error {
	_, err := db.collections.Update(ctx, req)
	return err
}

// DeleteCollection removes a collection; one that isn't there is no error.
func (db *DB) DeleteCollection(ctx context.Context, name string) error {
	_, err := db.collections.Delete(ctx, &pb.DeleteCollection{CollectionName: name})
	return err
}

// CollectionExists says whether there is a collection or alias of that name.
func (db *DB) CollectionExists(ctx context.Context, name string) (bool, error) {
	r, err := db.collections.CollectionExists(ctx, &pb.CollectionExistsRequest{CollectionName: name})
	return r.GetResult().GetExists(), err
}

// GetCollectionInfo describes a collection.
func (db *DB) GetCollectionInfo(ctx context.Context, name string) (*pb.CollectionInfo, error) {
	r, err := db.collections.Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: name})
	return r.GetResult(), err
}

// ListCollections names the collections.
func (db *DB) ListCollections(ctx context.Context) ([]string, error) {
	r, err := db.collections.List(ctx, &pb.ListCollectionsRequest{})
	var names []string
	for _, c := range r.GetCollections() {
		names = append(names, c.GetName())
	}
	return names, err
}

// UpdateAliases carries out all alias operations or none.
func (db *DB) UpdateAliases(ctx context.Context, actions []*pb.AliasOperations) error {
	_, err := db.collections.UpdateAliases(ctx, &pb.ChangeAliases{Actions: actions})
	return err
}

// ListAliases lists all aliases.
func (db *DB) ListAliases(ctx context.Context) ([]*pb.AliasDescription, error) {
	r, err := db.collections.ListAliases(ctx, &pb.ListAliasesRequest{})
	return r.GetAliases(), err
}

// Upsert inserts or replaces points.
func (db *DB) Upsert(ctx context.Context, req *pb.UpsertPoints) (*pb.UpdateResult, error) {
	r, err := db.points.Upsert(ctx, req)
	return r.GetResult(), err
}

// Delete deletes points.
func (db *DB) Delete(ctx context.Context, req *pb.DeletePoints) (*pb.UpdateResult, error) {
	r, err := db.points.Delete(ctx, req)
	return r.GetResult(), err
}

// UpdateVectors replaces named vectors of existing points.
func (db *DB) UpdateVectors(ctx context.Context, req *pb.UpdatePointVectors) (*pb.UpdateResult, error) {
	r, err := db.points.UpdateVectors(ctx, req)
	return r.GetResult(), err
}

// DeleteVectors removes named vectors from existing points.
func (db *DB) DeleteVectors(ctx context.Context, req *pb.DeletePointVectors) (*pb.UpdateResult, error) {
	r, err := db.points.DeleteVectors(ctx, req)
	return r.GetResult(), err
}

// SetPayload merges keys into the payload of existing points.
func (db *DB) SetPayload(ctx context.Context, req *pb.SetPayloadPoints) (*pb.UpdateResult, error) {
	r, err := db.points.SetPayload(ctx, req)
	return r.GetResult(), err
}

// OverwritePayload replaces the payload of existing points.
func (db *DB) OverwritePayload(ctx context.Context, req *pb.SetPayloadPoints) (*pb.UpdateResult, error) {
	r, err := db.points.OverwritePayload(ctx, req)
	return r.GetResult(), err
}

// DeletePayload removes keys from the payload of existing points.
func (db *DB) DeletePayload(ctx context.Context, req *pb.DeletePayloadPoints) (*pb.UpdateResult, error) {
	r, err := db.points.DeletePayload(ctx, req)
	return r.GetResult(), err
}

// ClearPayload removes the payload of existing points.
func (db *DB) ClearPayload(ctx context.Context, req *pb.ClearPayloadPoints) (*pb.UpdateResult, error) {
	r, err := db.points.ClearPayload(ctx, req)
	return r.GetResult(), err
}

// UpdateBatch carries out several writes in order.
func (db *DB) UpdateBatch(ctx context.Context, req *pb.UpdateBatchPoints) ([]*pb.UpdateResult, error) {
	r, err := db.points.UpdateBatch(ctx, req)
	return r.GetResult(), err
}

// CreateFieldIndex creates the index of a payload field.
func (db *DB) CreateFieldIndex(ctx context.Context, req *pb.CreateFieldIndexCollection) (*pb.UpdateResult, error) {
	r, err := db.points.CreateFieldIndex(ctx, req)
	return r.GetResult(), err
}

// DeleteFieldIndex drops the index of a payload field.
func (db *DB) DeleteFieldIndex(ctx context.Context, req *pb.DeleteFieldIndexCollection) (*pb.UpdateResult, error) {
	r, err := db.points.DeleteFieldIndex(ctx, req)
	return r.GetResult(), err
}

// Get retrieves points by ID; missing ones are left out.
func (db *DB) Get(ctx context.Context, req *pb.GetPoints) ([]*pb.RetrievedPoint, error) {
	r, err := db.points.Get(ctx, req)
	return retrieved(r.GetResult()), err
}

// Count counts points.
func (db *DB) Count(ctx context.Context, req *pb.CountPoints) (uint64, error) {
	r, err := db.points.Count(ctx, req)
	return r.GetResult().GetCount(), err
}

// Scroll lists points.
func (db *DB) Scroll(ctx context.Context, req *pb.ScrollPoints) ([]*pb.RetrievedPoint, error) {
	points, _, err := db.ScrollAndOffset(ctx, req)
	return points, err
}

// ScrollAndOffset lists points and returns the ID at which the next page begins,
// nil at the end.
func (db *DB) ScrollAndOffset(ctx context.Context, req *pb.ScrollPoints) ([]*pb.RetrievedPoint, *pb.PointId, error) {
	r, err := db.points.Scroll(ctx, req)
	return retrieved(r.GetResult()), r.GetNextPageOffset(), err
}

// Query runs a query.
func (db *DB) Query(ctx context.Context, req *pb.QueryPoints) ([]*pb.ScoredPoint, error) {
	r, err := db.points.Query(ctx, req)
	return scored(r.GetResult()), err
}

// QueryBatch runs several queries side by side.
func (db *DB) QueryBatch(ctx context.Context, req *pb.QueryBatchPoints) ([]*pb.BatchResult, error) {
	r, err := db.points.QueryBatch(ctx, req)
	for _, b := range r.GetResult() {
		scored(b.GetResult())
	}
	return r.GetResult(), err
}

// Facet counts points for each value of a field.
func (db *DB) Facet(ctx context.Context, req *pb.FacetCounts) ([]*pb.FacetHit, error) {
	r, err := db.points.Facet(ctx, req)
	return r.GetHits(), err
}

// retrieved gives points the payload map that the caller expects, in place of
// the binary form that travels inside.
func retrieved(points []*pb.RetrievedPoint) []*pb.RetrievedPoint {
	for _, p := range points {
		p.Payload = detach(p)
	}
	return points
}

func scored(points []*pb.ScoredPoint) []*pb.ScoredPoint {
	for _, p := range points {
		p.Payload = detach(p)
	}
	return points
}

func detach(m proto.Message) map[string]*pb.Value {
	o := payload.Attached(m)
	m.ProtoReflect().SetUnknown(nil)
	return payload.ToProto(o)
}
