package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
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
	start := time.Now()
	ctx, cancel := patient(ctx, req.GetTimeout())
	defer cancel()
	t, err := s.create(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.c.shards.Ready(ctx, t); err != nil {
		return nil, err
	}
	return done(start), nil
}

// create makes a collection that is open on this node.
func (s *Collections) create(ctx context.Context, req *pb.CreateCollection) (*topology.Collection, error) {
	c, name := s.c, req.GetCollectionName()
	if err := topology.CheckName(name); err != nil {
		return nil, err
	}
	defer c.turns.take(name)()
	c.creating.Lock()
	defer c.creating.Unlock()
	if limit := c.opts.MaxCollections; limit > 0 && len(c.topology.State().Collections()) >= limit {
		return nil, apierror.New(apierror.BadRequest, "Max collections limit reached: %d", limit)
	}
	config, err := topology.NewConfig(req, c.defaults(req))
	if err != nil {
		return nil, err
	}
	t := &topology.Collection{Name: name, Incarnation: uuid.NewString(), Config: config}
	keyed := config.GetParams().GetShardingMethod() == pb.ShardingMethod_Custom
	if keyed && c.opts.Topology == nil {
		return nil, unbuilt("sharding_method custom on a node that is in no cluster")
	}
	if !keyed { // else shards come with their keys
		addShards(t, config.GetParams().GetShardNumber())
	}
	if _, err := shard.NewSchema(config); err != nil {
		return nil, err
	}
	var places [][]topology.PeerID
	if len(t.Shards) > 0 {
		if places, err = c.shards.Place(ctx, t); err != nil {
			return nil, err
		}
	}
	if _, err := c.topology.Change(ctx, topology.CreateCollection{Collection: t, Placement: places}); err != nil {
		return nil, err
	}
	c.settle()
	col, err := c.atOnce(name)
	if err == nil {
		_, err = col.all()
	}
	if err != nil {
		// The shards could not be made (disk full, say): take the collection back
		// rather than leave one that nobody can use. A request that can't wait any
		// longer must not leave half of it behind.
		return nil, errors.Join(err, c.undo(context.WithoutCancel(ctx), t))
	}
	return t, nil
}

// defaults are those of a new collection: each node gets some of its shards. With custom sharding
// they are counted for each key.
func (c *Coordinator) defaults(req *pb.CreateCollection) topology.Defaults {
	d := c.opts.Defaults
	if nodes := max(1, len(c.topology.State().Peers())); d.ShardNumber == 0 && req.GetShardingMethod() != pb.ShardingMethod_Custom {
		d.ShardNumber = topology.MostShards(uint64(nodes) * uint64(max(1, c.opts.ShardsPerNode)))
	}
	return d
}

// patience is how long a change of collections may take when the request doesn't say.
const patience = 15 * time.Second

// patient bounds a change of collections.
func patient(ctx context.Context, seconds uint64) (context.Context, context.CancelFunc) {
	if seconds == 0 {
		return context.WithTimeout(ctx, patience)
	}
	return context.WithTimeout(ctx, time.Duration(min(seconds, 1<<31))*time.Second)
}

// undo takes back a collection, unless there is another one by now.
func (c *Coordinator) undo(ctx context.Context, t *topology.Collection) error {
	if now, err := c.topology.State().Collection(t.Name); err != nil || now.Incarnation != t.Incarnation {
		return nil //nolint:nilerr // it is gone, that's what is wanted
	}
	_, err := c.topology.Change(ctx, topology.DeleteCollection{Name: t.Name})
	c.settle()
	return errors.Join(err, c.failure(t.Incarnation))
}

// Delete removes a collection, by its own name only: an alias that is taken for
// a name must not cost the data behind it. The name is free when Delete returns.
func (s *Collections) Delete(ctx context.Context, req *pb.DeleteCollection) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	ctx, cancel := patient(ctx, req.GetTimeout())
	defer cancel()
	defer c.turns.take(req.GetCollectionName())()
	t, err := c.known(req.GetCollectionName())
	if apierror.KindOf(err) == apierror.Unavailable {
		return nil, err
	}
	if err != nil || t.Name != req.GetCollectionName() {
		return outcome(start, false), nil
	}
	if _, err := c.topology.Change(ctx, topology.DeleteCollection{Name: t.Name}); err != nil {
		return nil, err
	}
	c.settle()
	if err := c.failure(t.Incarnation); err != nil {
		return nil, err
	}
	return done(start), nil
}

// Update changes the configuration of a collection; what depends on it is
// re-indexed in the background.
func (s *Collections) Update(ctx context.Context, req *pb.UpdateCollection) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	adapted, err := c.alter(ctx, req.GetCollectionName(), shardcall.Write{Wait: true}, func(col *collection) (topology.Command, shard.Op, error) {
		config, err := topology.MergeConfig(col.Config, req)
		return topology.ReplaceConfig{Name: col.Name, Config: config, Seen: col.SchemaVersion}, shard.SetConfig(config), err
	})
	if err == nil {
		err = adapted.visible(ctx)
	}
	if err = cmp.Or(err, adapted.durable(ctx)); err != nil {
		return nil, err
	}
	return done(start), nil
}

// alter changes a collection in the topology, for replicas to come, and then has each
// shard follow, where the change takes effect. It doesn't wait for that.
func (c *Coordinator) alter(
	ctx context.Context, name string, how shardcall.Write, change func(*collection) (topology.Command, shard.Op, error),
) (*update, error) {
	none := newUpdate(how)
	t, err := c.known(name)
	if err != nil {
		return none, err
	}
	defer c.turns.take(t.Name)() // by its own name: changes by an alias are changes of it
	col, err := c.collection(ctx, t.Name)
	if err != nil {
		return none, err
	}
	if _, err := col.all(); err != nil {
		return none, err
	}
	cmd, op, err := change(col)
	if err != nil {
		return none, err
	}
	changed, err := c.topology.Change(ctx, cmd)
	for try := 0; errors.Is(err, topology.ErrChanged) && try < conflicts; try++ {
		// Another node was first: what it changed stays.
		if col, err = c.changed(col); err != nil {
			return none, err
		}
		if cmd, op, err = change(col); err != nil {
			return none, err
		}
		changed, err = c.topology.Change(ctx, cmd)
	}
	if err != nil {
		return none, err
	}
	if _, config := cmd.(topology.ReplaceConfig); config && !changed {
		return none, nil // as it was; a field's index may have failed, and is tried again
	}
	if col, err = c.changed(col); err != nil {
		return none, err
	}
	w, err := c.adaptation(col, op)
	if err != nil {
		return none, err
	}
	return w.hand(ctx, how)
}

// conflicts is how often a change of a collection is made again because another node's came first.
const conflicts = 100

// changed returns the newer form of a collection that the topology has changed.
func (c *Coordinator) changed(col *collection) (*collection, error) {
	c.settle()
	if err := c.failure(col.Incarnation); err != nil {
		return nil, err
	}
	return c.atOnce(col.Name)
}

// List names the collections.
func (s *Collections) List(context.Context, *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	start := time.Now()
	resp := &pb.ListCollectionsResponse{}
	for _, t := range s.c.topology.State().Collections() {
		resp.Collections = append(resp.Collections, &pb.CollectionDescription{Name: t.Name})
	}
	resp.Time = since(start)
	return resp, nil
}

// CollectionExists says whether a collection or alias of that name exists.
func (s *Collections) CollectionExists(_ context.Context, req *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	start := time.Now()
	_, err := s.c.known(req.GetCollectionName())
	if apierror.KindOf(err) == apierror.Unavailable {
		return nil, err
	}
	return &pb.CollectionExistsResponse{Result: &pb.CollectionExists{Exists: err == nil}, Time: since(start)}, nil
}

// Get describes a collection.
func (s *Collections) Get(ctx context.Context, req *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	start := time.Now()
	col, err := s.c.collection(ctx, req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &pb.GetCollectionInfoResponse{Result: col.info(ctx), Time: since(start)}, nil
}

// Applied returns the position in its log of the last operation that each shard
// of a collection applied, in the order of the shards; nil when the collection
// isn't there. A shard that isn't in this process, or can't be used, counts 0.
func (s *Collections) Applied(name string) []uint64 {
	col, err := s.c.atOnce(name)
	if err != nil {
		return nil
	}
	var out []uint64
	for _, id := range slices.Sorted(maps.Keys(col.shards)) {
		out = append(out, col.shards[id].here().Seq)
	}
	return out
}

// Vectors returns how many points of a collection have a vector, for each vector
// name; nil when the collection isn't there. Shards that aren't in this process, or
// can't be used, count 0.
func (s *Collections) Vectors(name string) map[string]uint64 {
	col, err := s.c.atOnce(name)
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	for _, r := range col.shards {
		for vector, n := range r.here().Vectors {
			out[vector] += n
		}
	}
	return out
}

// here describes a shard of this process, and no other: nobody asks other nodes for
// what this one has.
func (r *replica) here() shard.Info {
	if r.err != nil {
		return shard.Info{}
	}
	s := here(r.Shard)
	if s == nil {
		return shard.Info{}
	}
	info, err := s.Info(context.Background())
	if err != nil {
		return shard.Info{}
	}
	return info
}

// severity orders the statuses: the worst shard is the collection's.
var severity = []pb.CollectionStatus{
	pb.CollectionStatus_Green, pb.CollectionStatus_Grey, pb.CollectionStatus_Yellow, pb.CollectionStatus_Red,
}

func (col *collection) info(ctx context.Context) *pb.CollectionInfo {
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
	for _, d := range col.descriptions(ctx) {
		one := d.info
		if d.err != nil {
			worst = len(severity) - 1
			info.OptimizerStatus = &pb.OptimizerStatus{Error: d.err.Error()}
			continue
		}
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

const (
	// infoTime bounds how long the description of a collection waits for its shards. Reads of a shard without a copy that
	// answers go on longer, in the hope of one; who asks how a collection is wants to be told just that.
	infoTime = 2 * time.Second
	// describedAtOnce is how many shards are asked at the same time.
	describedAtOnce = 16
)

// description is what a shard says of itself, or why it doesn't.
type description struct {
	info shard.Info
	err  error
}

// descriptions asks all shards, which they are in the order of.
func (col *collection) descriptions(ctx context.Context) []description {
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	ids := slices.Sorted(maps.Keys(col.shards))
	all := make([]description, len(ids))
	var group errgroup.Group
	group.SetLimit(describedAtOnce)
	for i, id := range ids {
		group.Go(func() error {
			all[i].info, all[i].err = col.shards[id].describe(ctx)
			return nil
		})
	}
	_ = group.Wait() // none fails
	return all
}

// describe asks a shard for its description, or says why there is none.
func (r *replica) describe(ctx context.Context) (shard.Info, error) {
	if r.err != nil {
		return shard.Info{}, r.err
	}
	return r.Info(ctx)
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
func (s *Collections) UpdateAliases(ctx context.Context, req *pb.ChangeAliases) (*pb.CollectionOperationResponse, error) {
	start, c := time.Now(), s.c
	ctx, cancel := patient(ctx, req.GetTimeout())
	defer cancel()
	for _, a := range req.GetActions() {
		if create := a.GetCreateAlias(); create != nil {
			if err := topology.CheckName(create.GetAliasName()); err != nil {
				return nil, err
			}
		}
	}
	defer c.turns.take("")() // no collection has that name
	if _, err := c.topology.Change(ctx, topology.ChangeAliases{Actions: req.GetActions()}); err != nil {
		return nil, err
	}
	return done(start), nil
}

// ListAliases lists all aliases.
func (s *Collections) ListAliases(context.Context, *pb.ListAliasesRequest) (*pb.ListAliasesResponse, error) {
	return aliases(time.Now(), s.c.topology.State().Aliases("")), nil
}

// ListCollectionAliases lists the aliases of one collection.
func (s *Collections) ListCollectionAliases(_ context.Context, req *pb.ListCollectionAliasesRequest) (*pb.ListAliasesResponse, error) {
	start := time.Now()
	t, err := s.c.known(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return aliases(start, s.c.topology.State().Aliases(t.Name)), nil
}

func aliases(start time.Time, list []topology.Alias) *pb.ListAliasesResponse {
	resp := &pb.ListAliasesResponse{}
	for _, a := range list {
		resp.Aliases = append(resp.Aliases, &pb.AliasDescription{AliasName: a.Name, CollectionName: a.Collection})
	}
	resp.Time = since(start)
	return resp
}

func unbuilt(what string) error {
	return apierror.New(apierror.NotImplemented, "%s: not implemented yet", what)
}
