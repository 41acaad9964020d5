package coordinator

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/timelimit"
)

// readRequest is what all read messages have in common.
type readRequest interface {
	GetCollectionName() string
	GetShardKeySelector() *pb.ShardKeySelector
	GetTimeout() uint64
	GetReadConsistency() *pb.ReadConsistency
}

// read opens the collection of a request, bounds the time, and tells the shards by the
// context how much must have been seen. The caller calls cancel.
func (s *Points) read(ctx context.Context, req readRequest) (context.Context, context.CancelFunc, *execution, error) {
	col, err := s.c.collection(ctx, req.GetCollectionName())
	if err != nil {
		return nil, nil, nil, err
	}
	to, err := s.restricted(col, req.GetShardKeySelector())
	if err != nil {
		return nil, nil, nil, err
	}
	level, err := consistency.FromProto(req.GetReadConsistency())
	if err != nil {
		return nil, nil, nil, err
	}
	limit := s.c.opts.SearchTimeout
	if t := req.GetTimeout(); t > 0 {
		limit = time.Duration(min(t, 1<<31)) * time.Second
	}
	ctx = consistency.With(shard.WithAllowance(ctx, s.c.opts.MaxAnswerBytes), level)
	ctx, cancel := timelimit.Within(ctx, limit)
	return ctx, cancel, &execution{c: s.c, scope: to}, nil
}

// timely gives a read that ran out of time its public error.
func timely(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return apierror.New(apierror.Timeout, "Operation timed out: %w", err)
	}
	return err
}

// Get retrieves points by ID; missing ones are left out.
func (s *Points) Get(ctx context.Context, req *pb.GetPoints) (*pb.GetResponse, error) {
	start := time.Now()
	ctx, cancel, x, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	defer cancel()
	parts, err := x.byShard(req.GetIds())
	if err != nil {
		return nil, err
	}
	lists, err := fanOut(ctx, parts, func(ctx context.Context, p idsOfShard) ([]*pb.RetrievedPoint, error) {
		points, err := p.shard.Retrieve(ctx, p.ids, req.GetWithPayload(), req.GetWithVectors())
		return p.shard.sign(points), err
	})
	if err != nil {
		return nil, timely(err)
	}
	return &pb.GetResponse{Result: slices.Concat(lists...), Time: since(start)}, nil
}

// idsOfShard are points and the shard that has them.
type idsOfShard struct {
	shard target
	ids   []point.ID
}

// byShard groups IDs by the shards that are to be asked, in the order of the shards.
// One is asked at least, because it may have something to say about the question.
func (x *execution) byShard(messages []*pb.PointId) ([]idsOfShard, error) {
	ids := make([]point.ID, len(messages))
	for i, m := range messages {
		var err error
		if ids[i], err = point.FromProto(m); err != nil {
			return nil, err
		}
	}
	if len(x.targets) == 0 {
		return nil, nil
	}
	if len(x.targets) == 1 || len(ids) == 0 {
		return []idsOfShard{{x.targets[0], ids}}, nil
	}
	of := map[uint32][]point.ID{}
	for _, ring := range x.rings {
		for _, id := range ids {
			to := ring.Shard(id)
			of[to] = append(of[to], id)
		}
	}
	var parts []idsOfShard
	for _, t := range x.targets {
		if of[t.id] != nil {
			parts = append(parts, idsOfShard{t, of[t.id]})
		}
	}
	return parts, nil
}

// Count counts points; exactly, unless the request says otherwise.
func (s *Points) Count(ctx context.Context, req *pb.CountPoints) (*pb.CountResponse, error) {
	start := time.Now()
	ctx, cancel, x, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := checkFilter(req.GetFilter()); err != nil {
		return nil, err
	}
	exact := req.Exact == nil || req.GetExact()
	counts, err := fanOut(ctx, x.targets, func(ctx context.Context, sh target) (uint64, error) {
		return sh.Count(ctx, req.GetFilter(), exact)
	})
	if err != nil {
		return nil, timely(err)
	}
	var sum uint64
	for _, n := range counts {
		sum += n
	}
	return &pb.CountResponse{Result: &pb.CountResult{Count: sum}, Time: since(start)}, nil
}

// Scroll lists points by ID, or by a payload value.
func (s *Points) Scroll(ctx context.Context, req *pb.ScrollPoints) (*pb.ScrollResponse, error) {
	start := time.Now()
	ctx, cancel, x, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if req.Limit != nil && req.GetLimit() == 0 {
		return nil, apierror.New(apierror.Validation, "[limit: value 0 invalid, must be 1 or larger]")
	}
	if req.GetOrderBy() != nil && req.GetOffset() != nil {
		return nil, apierror.New(apierror.BadRequest, "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value")
	}
	if err := checkEnum("direction", req.GetOrderBy().GetDirection()); err != nil {
		return nil, err
	}
	if err := checkFilter(req.GetFilter()); err != nil {
		return nil, err
	}
	pages, err := fanOut(ctx, x.targets, func(ctx context.Context, sh target) (shard.Page, error) {
		page, err := sh.Scroll(ctx, req)
		sh.sign(page.Points)
		return page, err
	})
	if err != nil {
		return nil, timely(err)
	}
	resp, err := mergePages(req, pages)
	if err != nil {
		return nil, err
	}
	resp.Time = since(start)
	return resp, nil
}

func mergePages(req *pb.ScrollPoints, pages []shard.Page) (*pb.ScrollResponse, error) {
	limit := defaultLimit
	if req.Limit != nil {
		limit = int(req.GetLimit())
	}
	resp := &pb.ScrollResponse{}
	var next *point.ID
	for _, p := range pages {
		resp.Result = append(resp.Result, p.Points...)
		if p.Next != nil && (next == nil || p.Next.Compare(*next) < 0) {
			next = p.Next
		}
	}
	if len(pages) > 1 {
		if req.GetOrderBy() != nil {
			sortByValue(resp.Result, req.GetOrderBy().GetDirection())
		} else if err := sortedIDs(resp.Result); err != nil {
			return nil, err
		}
	}
	if len(resp.Result) > limit {
		limit = boundary(resp.Result, limit)
	}
	if len(resp.Result) > limit {
		if id, err := point.FromProto(resp.Result[limit].GetId()); err == nil && (next == nil || id.Compare(*next) < 0) {
			next = &id
		}
		resp.Result = resp.Result[:limit]
	}
	if next != nil && req.GetOrderBy() == nil {
		resp.NextPageOffset = next.Proto()
	}
	return resp, nil
}

// boundary returns where a page of at most limit points ends, so that points of one ID, which differ in
// their shard keys, come together. Only when more than a page has one ID, the page is longer.
func boundary(points []*pb.RetrievedPoint, limit int) int {
	splits := func(at int) bool {
		return at < len(points) && points[at].GetShardKey() != nil && proto.Equal(points[at-1].GetId(), points[at].GetId())
	}
	at := limit
	for at > 0 && splits(at) {
		at--
		if at == 0 {
			for at = limit; splits(at); {
				at++
			}
			return at
		}
	}
	return at
}

func sortByValue(points []*pb.RetrievedPoint, dir pb.Direction) {
	slices.SortStableFunc(points, func(a, b *pb.RetrievedPoint) int {
		c := query.CompareOrder(a.GetOrderValue(), b.GetOrderValue())
		if dir == pb.Direction_Desc {
			return -c
		}
		return c
	})
}

// Query runs a query tree.
func (s *Points) Query(ctx context.Context, req *pb.QueryPoints) (*pb.QueryResponse, error) {
	start := time.Now()
	result, err := s.query(ctx, req)
	if err != nil {
		return nil, err
	}
	return &pb.QueryResponse{Result: result, Time: since(start)}, nil
}

func (s *Points) query(ctx context.Context, req *pb.QueryPoints) ([]*pb.ScoredPoint, error) {
	ctx, cancel, x, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	defer cancel()
	n, err := rootNode(req, x.Name)
	if err != nil {
		return nil, err
	}
	if err := n.checkLookups(ctx, s.c); err != nil {
		return nil, err
	}
	x.withPayload, x.withVectors = req.GetWithPayload(), req.GetWithVectors()
	hits, err := x.run(ctx, n, true)
	if err != nil {
		return nil, timely(err)
	}
	if err := x.fill(ctx, hits); err != nil {
		return nil, timely(err)
	}
	if err := shard.SpendPoints(ctx, len(hits)); err != nil {
		return nil, err
	}
	x.publicScores(n, hits)
	return x.signHits(hits, shardcall.ScoredPoints(hits)), nil
}

// QueryBatch runs several query trees side by side.
func (s *Points) QueryBatch(ctx context.Context, req *pb.QueryBatchPoints) (*pb.QueryBatchResponse, error) {
	start := time.Now()
	results, err := s.batch(ctx, req, req.GetQueryPoints())
	if err != nil {
		return nil, err
	}
	return &pb.QueryBatchResponse{Result: results, Time: since(start)}, nil
}

// batchRequest is what batches of reads have in common.
type batchRequest interface {
	GetCollectionName() string
	GetTimeout() uint64
	GetReadConsistency() *pb.ReadConsistency
}

func (s *Points) batch(ctx context.Context, req batchRequest, queries []*pb.QueryPoints) ([]*pb.BatchResult, error) {
	if _, err := s.c.collection(ctx, req.GetCollectionName()); err != nil {
		return nil, err
	}
	results := make([]*pb.BatchResult, len(queries))
	ctx = shard.WithAllowance(ctx, s.c.opts.MaxAnswerBytes) // one for all
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxParallel)
	for i, q := range queries {
		g.Go(func() error {
			// A query inside a batch runs on the batch's collection, in its time, and sees
			// what the batch is to see.
			q = proto.CloneOf(q)
			q.CollectionName = req.GetCollectionName()
			if timeout := req.GetTimeout(); timeout > 0 {
				q.Timeout = &timeout
			}
			if level := req.GetReadConsistency(); level != nil {
				q.ReadConsistency = level
			}
			hits, err := s.query(ctx, q)
			results[i] = &pb.BatchResult{Result: hits}
			return err
		})
	}
	return results, g.Wait()
}

// Search is the older spelling of a nearest query.
func (s *Points) Search(ctx context.Context, req *pb.SearchPoints) (*pb.SearchResponse, error) {
	start := time.Now()
	result, err := s.query(ctx, searchAsQuery(req))
	if err != nil {
		return nil, err
	}
	return &pb.SearchResponse{Result: result, Time: since(start)}, nil
}

// SearchBatch runs several searches side by side.
func (s *Points) SearchBatch(ctx context.Context, req *pb.SearchBatchPoints) (*pb.SearchBatchResponse, error) {
	start := time.Now()
	queries := make([]*pb.QueryPoints, len(req.GetSearchPoints()))
	for i, one := range req.GetSearchPoints() {
		queries[i] = searchAsQuery(one)
	}
	results, err := s.batch(ctx, req, queries)
	if err != nil {
		return nil, err
	}
	return &pb.SearchBatchResponse{Result: results, Time: since(start)}, nil
}

func searchAsQuery(req *pb.SearchPoints) *pb.QueryPoints {
	input := &pb.VectorInput{Variant: &pb.VectorInput_Dense{Dense: &pb.DenseVector{Data: req.GetVector()}}}
	if indices := req.GetSparseIndices(); indices != nil {
		input.Variant = &pb.VectorInput_Sparse{Sparse: &pb.SparseVector{Values: req.GetVector(), Indices: indices.GetData()}}
	}
	return &pb.QueryPoints{
		CollectionName: req.GetCollectionName(), Query: &pb.Query{Variant: &pb.Query_Nearest{Nearest: input}},
		Using: req.VectorName, Filter: req.GetFilter(), Params: req.GetParams(), ScoreThreshold: req.ScoreThreshold,
		Limit: new(req.GetLimit()), Offset: req.Offset, WithPayload: req.GetWithPayload(), WithVectors: req.GetWithVectors(),
		Timeout: req.Timeout, ShardKeySelector: req.GetShardKeySelector(), ReadConsistency: req.GetReadConsistency(),
	}
}

// Facet counts points for each value of a field.
func (s *Points) Facet(ctx context.Context, req *pb.FacetCounts) (*pb.FacetResponse, error) {
	start := time.Now()
	ctx, cancel, x, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	defer cancel()
	limit := uint64(defaultLimit)
	if req.Limit != nil {
		limit = req.GetLimit()
	}
	if limit == 0 {
		return nil, apierror.New(apierror.Validation, "[limit: value 0 invalid, must be 1 or larger]")
	}
	if err := checkFilter(req.GetFilter()); err != nil {
		return nil, err
	}
	whole := proto.CloneOf(req)
	if len(x.targets) > 1 {
		// The first values of every shard need not contain the first of all.
		whole.Limit = proto.Uint64(1 << 62)
	}
	lists, err := fanOut(ctx, x.targets, func(ctx context.Context, sh target) ([]*pb.FacetHit, error) {
		return sh.Facet(ctx, whole)
	})
	if err != nil {
		return nil, timely(err)
	}
	hits := mergeFacets(lists)
	return &pb.FacetResponse{Hits: hits[:min(limit, uint64(len(hits)))], Time: since(start)}, nil
}

func mergeFacets(lists [][]*pb.FacetHit) []*pb.FacetHit {
	if len(lists) == 1 {
		return lists[0]
	}
	sums := map[any]*pb.FacetHit{}
	for _, list := range lists {
		for _, h := range list {
			key := facetKey(h.GetValue())
			if sums[key] == nil {
				sums[key] = &pb.FacetHit{Value: h.GetValue()}
			}
			sums[key].Count += h.GetCount()
		}
	}
	all := make([]*pb.FacetHit, 0, len(sums))
	for _, h := range sums {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *pb.FacetHit) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), compareFacets(a.GetValue(), b.GetValue()))
	})
	return all
}

func facetKey(v *pb.FacetValue) any {
	switch v := v.GetVariant().(type) {
	case *pb.FacetValue_StringValue:
		return v.StringValue
	case *pb.FacetValue_IntegerValue:
		return v.IntegerValue
	case *pb.FacetValue_BoolValue:
		return v.BoolValue
	default:
		return nil
	}
}

func compareFacets(a, b *pb.FacetValue) int {
	if c := cmp.Compare(a.GetStringValue(), b.GetStringValue()); c != 0 {
		return c
	}
	if c := cmp.Compare(a.GetIntegerValue(), b.GetIntegerValue()); c != 0 {
		return c
	}
	if a.GetBoolValue() == b.GetBoolValue() {
		return 0
	}
	if b.GetBoolValue() {
		return -1
	}
	return 1
}
