package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Collections is the collections service of the public API.
type Collections struct {
	pb.UnimplementedCollectionsServer
	c *Coordinator
}

var _ pb.CollectionsServer = (*Collections)(nil)

// Collections returns the collections service.
func (c *Coordinator) Collections() *Collections { return &Collections{c: c} }

func done(start time.Time) *pb.CollectionOperationResponse { return outcome(start, true) }

func outcome(start time.Time, result bool) *pb.CollectionOperationResponse {
	return &pb.CollectionOperationResponse{Result: result, Time: since(start)}
}

func since(start time.Time) float64 { return time.Since(start).Seconds() }

// Create makes a collection with its shards. When it returns, the collection
// survives a power cut.
func (s *Collections) Create(ctx context.Context, req *pb.CreateCollection) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	name := req.GetCollectionName()
	if err := topology.CheckName(name); err != nil {
		return nil, err
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if limit := c.opts.MaxCollections; limit > 0 && len(c.state.Collections()) >= limit {
		return nil, apierror.New(apierror.BadRequest, "Max collections limit reached: %d", limit)
	}
	config, err := topology.NewConfig(req, c.opts.Defaults)
	if err != nil {
		return nil, err
	}
	t := &topology.Collection{Name: name, Incarnation: uuid.NewString(), Config: config}
	for id := range config.GetParams().GetShardNumber() {
		t.Shards = append(t.Shards, &topology.Shard{ID: id})
	}
	if _, err := shard.NewSchema(config); err != nil {
		return nil, err
	}
	if _, err := c.change(topology.CreateCollection{Collection: t}); err != nil {
		return nil, err
	}
	if t, err = c.state.Collection(name); err != nil { // with what the topology added
		return nil, err
	}
	col, err := c.openCollection(ctx, t)
	if err == nil {
		_, err = col.all()
	}
	if err != nil {
		// The shards could not be made (disk full, say): take the collection back
		// rather than leave one that nobody can use.
		_, undo := c.change(topology.DeleteCollection{Name: name})
		return nil, errors.Join(err, undo, c.removeData(ctx, name, t.Incarnation, col))
	}
	c.publish(col)
	return done(start), nil
}

// publish makes a collection visible, in place of an older form of itself.
func (c *Coordinator) publish(col *collection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collections[col.Name] = col
}

// Delete removes a collection, by its own name only: an alias that is taken for
// a name must not cost the data behind it. The name is free when Delete returns.
func (s *Collections) Delete(ctx context.Context, req *pb.DeleteCollection) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	c.changing.Lock()
	defer c.changing.Unlock()
	t, err := c.state.Collection(req.GetCollectionName())
	if err != nil || t.Name != req.GetCollectionName() {
		return outcome(start, false), nil
	}
	c.mu.Lock()
	col := c.collections[t.Name]
	delete(c.collections, t.Name)
	c.mu.Unlock()
	if _, err := c.change(topology.DeleteCollection{Name: t.Name}); err != nil {
		if col != nil {
			c.publish(col)
		}
		return nil, err
	}
	if err := c.removeData(ctx, t.Name, t.Incarnation, col); err != nil {
		return nil, err
	}
	return done(start), nil
}

// removeData removes what a deleted collection has on disk. What can't be removed
// now is at the next start. The caller holds changing.
func (c *Coordinator) removeData(ctx context.Context, name, incarnation string, col *collection) error {
	// A request that can't wait any longer must not leave half of it behind.
	ctx = context.WithoutCancel(ctx)
	if col != nil {
		if err := col.close(); err != nil {
			c.opts.Logger.WarnContext(ctx, "closing a deleted collection", "collection", name, "error", err)
		}
	}
	// The files first: on a full disk they make the room that the log needs.
	dir := path.Join(c.opts.StoragePath, "collections", name)
	if err := c.opts.FS.RemoveAll(path.Join(dir, incarnation)); err != nil {
		return fmt.Errorf("remove data of %s: %w", name, err)
	}
	later := false
	for _, id := range c.log.Streams() {
		if path.Dir(id) == incarnation {
			if err := c.log.Stream(id).Drop(ctx); errors.Is(err, oplog.ErrFailed) {
				// It was taken, and is written when the log can write. Should the node stop
				// before, the next start does it: the topology still says so.
				c.opts.Logger.WarnContext(ctx, "the log of a deleted collection is dropped later", "stream", id, "error", err)
				later = true
			} else if err != nil {
				return fmt.Errorf("drop log of %s: %w", id, err)
			}
		}
	}
	if rest, err := c.opts.FS.ReadDir(dir); err == nil && len(rest) == 0 {
		if err := c.opts.FS.Remove(dir); err != nil {
			return fmt.Errorf("remove directory of %s: %w", name, err)
		}
	}
	if later {
		return nil
	}
	_, err := c.change(topology.ForgetDropped{Incarnation: incarnation})
	return err
}

// Update changes the configuration of a collection; what depends on it is
// re-indexed in the background.
func (s *Collections) Update(ctx context.Context, req *pb.UpdateCollection) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	c.changing.Lock()
	defer c.changing.Unlock()
	col, err := c.collection(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	config, err := topology.MergeConfig(col.Config, req)
	if err != nil {
		return nil, err
	}
	changed, err := c.change(topology.ReplaceConfig{Name: col.Name, Config: config})
	if err != nil || !changed {
		return outcome(start, err == nil), err
	}
	if err := c.refresh(col); err != nil {
		return nil, err
	}
	return done(start), col.everywhere(ctx, shard.SetConfig(config))
}

// refresh republishes a collection after its topology changed.
func (c *Coordinator) refresh(col *collection) error {
	t, err := c.state.Collection(col.Name)
	if err != nil {
		return err
	}
	next, err := newCollection(t, col.shards)
	if err != nil {
		return err
	}
	c.publish(next)
	return nil
}

// everywhere submits one operation to all shards and waits until it is applied.
func (col *collection) everywhere(ctx context.Context, op shard.Op) error {
	shards, err := col.all()
	if err != nil {
		return err
	}
	tickets := make([]*shard.Ticket, len(shards))
	for i, s := range shards {
		if tickets[i], err = s.Submit(ctx, op); err != nil {
			return err
		}
	}
	var errs []error
	for _, t := range tickets {
		errs = append(errs, t.Applied(ctx))
	}
	return errors.Join(errs...)
}

// List names the collections.
func (s *Collections) List(context.Context, *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	start := time.Now()
	resp := &pb.ListCollectionsResponse{}
	for _, t := range s.c.topology().Collections() {
		resp.Collections = append(resp.Collections, &pb.CollectionDescription{Name: t.Name})
	}
	resp.Time = since(start)
	return resp, nil
}

// topology returns the current state, which is never changed.
func (c *Coordinator) topology() *topology.State {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state
}

// CollectionExists says whether a collection or alias of that name exists.
func (s *Collections) CollectionExists(_ context.Context, req *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	start := time.Now()
	_, err := s.c.topology().Collection(req.GetCollectionName())
	return &pb.CollectionExistsResponse{Result: &pb.CollectionExists{Exists: err == nil}, Time: since(start)}, nil
}

// Get describes a collection.
func (s *Collections) Get(_ context.Context, req *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	start := time.Now()
	col, err := s.c.collection(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &pb.GetCollectionInfoResponse{Result: col.info(), Time: since(start)}, nil
}

// Applied returns the position in its log of the last operation that each shard
// of a collection applied, in the order of the shards; nil when the collection
// isn't there. A shard that can't be used counts 0.
func (s *Collections) Applied(name string) []uint64 {
	col, err := s.c.collection(name)
	if err != nil {
		return nil
	}
	var out []uint64
	for _, id := range slices.Sorted(maps.Keys(col.shards)) {
		var seq uint64
		if r := col.shards[id]; r.err == nil {
			seq = r.Info().Seq
		}
		out = append(out, seq)
	}
	return out
}

// Vectors returns how many points of a collection have a vector, for each vector
// name; nil when the collection isn't there. Shards that can't be used count 0.
func (s *Collections) Vectors(name string) map[string]uint64 {
	col, err := s.c.collection(name)
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	for _, r := range col.shards {
		if r.err != nil {
			continue
		}
		for vector, n := range r.Info().Vectors {
			out[vector] += n
		}
	}
	return out
}

// severity orders the statuses: the worst shard is the collection's.
var severity = []pb.CollectionStatus{
	pb.CollectionStatus_Green, pb.CollectionStatus_Grey, pb.CollectionStatus_Yellow, pb.CollectionStatus_Red,
}

func (col *collection) info() *pb.CollectionInfo {
	info := &pb.CollectionInfo{
		Status: pb.CollectionStatus_Green, OptimizerStatus: &pb.OptimizerStatus{Ok: true}, Config: col.Config,
		PayloadSchema: map[string]*pb.PayloadSchemaInfo{}, PointsCount: new(uint64), IndexedVectorsCount: new(uint64),
		UpdateQueue: &pb.UpdateQueueInfo{},
	}
	info.Warnings = warnings(col.Config)
	for field, schema := range col.Schema {
		schema = proto.CloneOf(schema)
		schema.Points = new(uint64)
		info.PayloadSchema[field] = schema
	}
	worst := 0
	for _, r := range col.shards {
		if r.err != nil {
			worst = len(severity) - 1
			info.OptimizerStatus = &pb.OptimizerStatus{Error: r.err.Error()}
			continue
		}
		one := r.Info()
		worst = max(worst, slices.Index(severity, one.Status))
		if one.OptimizerError != "" {
			info.OptimizerStatus = &pb.OptimizerStatus{Error: one.OptimizerError}
		}
		*info.PointsCount += one.Points
		*info.IndexedVectorsCount += one.IndexedVectors
		info.SegmentsCount += one.Segments
		info.UpdateQueue.Length += one.Queue
		for field, index := range one.Indexes {
			if have := info.PayloadSchema[field]; have != nil {
				*have.Points += index.GetPoints()
			}
		}
	}
	info.Status = severity[worst]
	return info
}

// warnings names settings that have no effect beside the others.
func warnings(c *pb.CollectionConfig) (out []*pb.CollectionWarning) {
	dense := topology.DenseVectors(c.GetParams())
	for _, name := range slices.Sorted(maps.Keys(dense)) {
		p := dense[name]
		inline := c.GetHnswConfig().GetInlineStorage()
		if own := p.GetHnswConfig(); own != nil && own.InlineStorage != nil {
			inline = own.GetInlineStorage()
		}
		if inline && p.GetQuantizationConfig() == nil && c.GetQuantizationConfig() == nil {
			out = append(out, &pb.CollectionWarning{
				Message: fmt.Sprintf("vector `%s`: inline_storage has no effect without quantization", name),
			})
		}
	}
	return out
}

// UpdateAliases carries out all alias operations or none.
func (s *Collections) UpdateAliases(_ context.Context, req *pb.ChangeAliases) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	for _, a := range req.GetActions() {
		if create := a.GetCreateAlias(); create != nil {
			if err := topology.CheckName(create.GetAliasName()); err != nil {
				return nil, err
			}
		}
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if _, err := c.change(topology.ChangeAliases{Actions: req.GetActions()}); err != nil {
		return nil, err
	}
	return done(start), nil
}

// ListAliases lists all aliases.
func (s *Collections) ListAliases(context.Context, *pb.ListAliasesRequest) (*pb.ListAliasesResponse, error) {
	return aliases(time.Now(), s.c.topology().Aliases("")), nil
}

// ListCollectionAliases lists the aliases of one collection.
func (s *Collections) ListCollectionAliases(_ context.Context, req *pb.ListCollectionAliasesRequest) (*pb.ListAliasesResponse, error) {
	start, state := time.Now(), s.c.topology()
	t, err := state.Collection(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return aliases(start, state.Aliases(t.Name)), nil
}

func aliases(start time.Time, list []topology.Alias) *pb.ListAliasesResponse {
	resp := &pb.ListAliasesResponse{}
	for _, a := range list {
		resp.Aliases = append(resp.Aliases, &pb.AliasDescription{AliasName: a.Name, CollectionName: a.Collection})
	}
	resp.Time = since(start)
	return resp
}

// The parts of the service that need a cluster.

// CollectionClusterInfo is not built yet.
func (s *Collections) CollectionClusterInfo(context.Context, *pb.CollectionClusterInfoRequest) (*pb.CollectionClusterInfoResponse, error) {
	return nil, unbuilt("collection cluster info")
}

// UpdateCollectionClusterSetup is not built yet.
func (s *Collections) UpdateCollectionClusterSetup(context.Context, *pb.UpdateCollectionClusterSetupRequest) (*pb.UpdateCollectionClusterSetupResponse, error) {
	return nil, unbuilt("collection cluster set-up")
}

// CreateShardKey is not built yet.
func (s *Collections) CreateShardKey(context.Context, *pb.CreateShardKeyRequest) (*pb.CreateShardKeyResponse, error) {
	return nil, unbuilt("shard keys")
}

// DeleteShardKey is not built yet.
func (s *Collections) DeleteShardKey(context.Context, *pb.DeleteShardKeyRequest) (*pb.DeleteShardKeyResponse, error) {
	return nil, unbuilt("shard keys")
}

// ListShardKeys is not built yet.
func (s *Collections) ListShardKeys(context.Context, *pb.ListShardKeysRequest) (*pb.ListShardKeysResponse, error) {
	return nil, unbuilt("shard keys")
}

func unbuilt(what string) error {
	return apierror.New(apierror.NotImplemented, "%s: not implemented yet", what)
}
