package coordinator

import (
	"context"
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
)

// A query is a tree: prefetches below, a query that fuses or rescores them
// above. The tree is run here, level by level from the leaves; only leaves (and
// rescoring, which is a leaf restricted to given points) go to the shards. So
// the answer doesn't depend on how many shards a collection has.

const (
	defaultLimit = 10
	// maxDepth bounds nested prefetches.
	maxDepth = 64
	// maxParallel bounds the leaves of one query that run at the same time.
	maxParallel = 4
)

// node is one level of the tree; prefetches and the root have the same shape.
type node struct {
	prefetch  []*node
	query     *pb.Query
	using     string
	filter    *pb.Filter
	params    *pb.SearchParams
	threshold *float32
	limit     uint64
	offset    uint64
	lookup    *pb.LookupLocation
}

// rootNode makes the tree of a query of a collection. Points whose vectors are asked with anywhere in it are
// found nowhere in it.
func rootNode(q *pb.QueryPoints, collection string) (*node, error) {
	n := &node{
		query: q.GetQuery(), using: q.GetUsing(), filter: q.GetFilter(), params: q.GetParams(),
		threshold: q.ScoreThreshold, limit: defaultLimit, offset: q.GetOffset(), lookup: q.GetLookupFrom(),
	}
	if q.Limit != nil {
		n.limit = q.GetLimit()
	}
	if err := n.adopt(q.GetPrefetch(), 1); err != nil {
		return nil, err
	}
	if ids := n.references(collection); len(ids) > 0 {
		n.restrict(&pb.Filter{MustNot: hasID(ids).GetMust()})
	}
	return n, nil
}

// references returns the points of a collection whose vectors n and what is below ask with.
func (n *node) references(collection string) (ids []*pb.PointId) {
	if id := n.query.GetNearest().GetId(); id != nil && (n.lookup == nil || n.lookup.GetCollectionName() == collection) {
		ids = append(ids, id)
	}
	for _, child := range n.prefetch {
		ids = append(ids, child.references(collection)...)
	}
	return ids
}

// restrict lets a filter hold for n and everything below it, too.
func (n *node) restrict(f *pb.Filter) {
	n.filter = both(n.filter, f)
	for _, child := range n.prefetch {
		child.restrict(f)
	}
}

// adopt hangs prefetches below n. The filter of a level holds for everything
// below it.
func (n *node) adopt(prefetch []*pb.PrefetchQuery, depth int) error {
	if depth > maxDepth {
		return apierror.New(apierror.BadRequest, "Prefetches are nested deeper than %d", maxDepth)
	}
	if n.limit == 0 {
		return apierror.New(apierror.Validation, "[limit: value 0 invalid, must be 1 or larger]")
	}
	if err := checkFilter(n.filter); err != nil {
		return err
	}
	if err := checkParams(n.params); err != nil {
		return err
	}
	if err := checkFilter(n.params.GetIdf().GetCorpus()); err != nil {
		return err
	}
	if err := checkKind(n.query); err != nil {
		return err
	}
	if len(prefetch) > 0 && n.query == nil {
		return apierror.New(apierror.BadRequest,
			"A query is needed to merge the prefetches. Can't have prefetches without defining a query.")
	}
	if err := n.checkThreshold(); err != nil {
		return err
	}
	if n.using != "" && fuses(n.query) {
		return apierror.New(apierror.BadRequest, "Fusion queries cannot be combined with the 'using' field.")
	}
	if len(prefetch) == 0 && fuses(n.query) {
		return apierror.New(apierror.BadRequest, "Cannot have a fusion query without prefetches")
	}
	for _, p := range prefetch {
		child := &node{
			query: p.GetQuery(), using: p.GetUsing(), filter: both(n.filter, p.GetFilter()), params: p.GetParams(),
			threshold: p.ScoreThreshold, limit: defaultLimit, lookup: p.GetLookupFrom(),
		}
		if p.Limit != nil {
			child.limit = p.GetLimit()
		}
		if err := child.adopt(p.GetPrefetch(), depth+1); err != nil {
			return err
		}
		n.prefetch = append(n.prefetch, child)
	}
	return nil
}

// checkKind refuses what the binary protocol lets through: a query of no kind,
// and numbers that no name belongs to.
func checkKind(q *pb.Query) error {
	switch v := q.GetVariant().(type) {
	case nil:
		if q != nil {
			return apierror.New(apierror.BadInput, "Query without a kind")
		}
	case *pb.Query_Fusion:
		return checkEnum("fusion", v.Fusion)
	case *pb.Query_OrderBy:
		return checkEnum("direction", v.OrderBy.GetDirection())
	case *pb.Query_Sample:
		return checkEnum("sample", v.Sample)
	}
	return nil
}

func checkEnum(what string, e protoreflect.Enum) error {
	if e.Descriptor().Values().ByNumber(e.Number()) == nil {
		return apierror.New(apierror.BadInput, "Unknown %s %d", what, e.Number())
	}
	return nil
}

// checkThreshold refuses a score threshold where there are no scores.
func (n *node) checkThreshold() error {
	if n.threshold == nil {
		return nil
	}
	switch n.query.GetVariant().(type) {
	case nil:
		return apierror.New(apierror.BadRequest,
			"A query is needed to use the score_threshold. Can't have score_threshold without defining a query.")
	case *pb.Query_OrderBy:
		return apierror.New(apierror.BadRequest, "Can't use score_threshold with an order_by query.")
	default:
		return nil
	}
}

// checkLookups refuses a tree that names a collection which doesn't exist, even
// where nothing would be looked up in it.
func (n *node) checkLookups(ctx context.Context, c *Coordinator) error {
	if n.lookup != nil {
		_, err := c.collection(ctx, n.lookup.GetCollectionName())
		if err != nil && apierror.KindOf(err) == apierror.NotFound {
			return apierror.New(apierror.NotFound, "Collection %s not found", n.lookup.GetCollectionName())
		}
		if err != nil {
			return err
		}
	}
	for _, child := range n.prefetch {
		if err := child.checkLookups(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func checkParams(p *pb.SearchParams) error {
	if p != nil && p.HnswEf != nil && p.GetHnswEf() == 0 {
		return apierror.New(apierror.Validation, "[params.hnsw_ef: value 0 invalid, must be 1 or larger]")
	}
	if q := p.GetQuantization(); q != nil && q.Oversampling != nil && !(q.GetOversampling() >= 1) {
		return apierror.New(apierror.Validation, "[params.quantization.oversampling: value %v invalid, must be 1 or larger]", q.GetOversampling())
	}
	return nil
}

func fuses(q *pb.Query) bool {
	switch q.GetVariant().(type) {
	case *pb.Query_Fusion, *pb.Query_Rrf:
		return true
	default:
		return false
	}
}

// both returns the conjunction of two filters, either of which may be nil.
func both(a, b *pb.Filter) *pb.Filter {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	condition := func(f *pb.Filter) *pb.Condition {
		return &pb.Condition{ConditionOneOf: &pb.Condition_Filter{Filter: f}}
	}
	return &pb.Filter{Must: []*pb.Condition{condition(a), condition(b)}}
}

// execution runs one query tree against one collection.
type execution struct {
	*scope
	c *Coordinator
	// withPayload and withVectors are fetched together with the hits when the
	// root is a leaf on a single shard, where no hit can be superfluous.
	withPayload *pb.WithPayloadSelector
	withVectors *pb.WithVectorsSelector
	filled      bool
}

// run returns the hits of n, best first and without the first n.offset, with
// inner scores.
func (x *execution) run(ctx context.Context, n *node, root bool) ([]query.Scored, error) {
	want := saturating(n.limit, n.offset)
	var hits []query.Scored
	var err error
	switch {
	case len(n.prefetch) == 0:
		hits, err = x.leaf(ctx, n, nil, want, root)
	case fuses(n.query):
		hits, err = x.fuse(ctx, n, want)
	default:
		hits, err = x.rescore(ctx, n, want)
	}
	if err != nil {
		return nil, err
	}
	return hits[min(n.offset, uint64(len(hits))):], nil
}

// saturating adds without overflow, and fits the sum into an int.
func saturating(a, b uint64) int {
	const most = 1 << 62
	return int(min(min(a, most)+min(b, most), most)) //nolint:gosec // bounded above
}

// below runs the prefetches of n.
func (x *execution) below(ctx context.Context, n *node) ([][]query.Scored, error) {
	lists := make([][]query.Scored, len(n.prefetch))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxParallel)
	for i, child := range n.prefetch {
		g.Go(func() (err error) {
			lists[i], err = x.run(ctx, child, false)
			return err
		})
	}
	return lists, g.Wait()
}

func (x *execution) fuse(ctx context.Context, n *node, want int) ([]query.Scored, error) {
	lists, err := x.below(ctx, n)
	if err != nil {
		return nil, err
	}
	var hits []query.Scored
	switch q := n.query.GetVariant().(type) {
	case *pb.Query_Rrf:
		k := uint32(query.DefaultRRFK)
		if q.Rrf.K != nil {
			k = q.Rrf.GetK()
		}
		hits, err = query.RRF(lists, k, q.Rrf.GetWeights(), want)
	case *pb.Query_Fusion:
		if q.Fusion == pb.Fusion_DBSF {
			hits = query.DBSF(lists, want)
		} else {
			hits, err = query.RRF(lists, query.DefaultRRFK, nil, want)
		}
	}
	return query.Cut(vector.Dot, hits, n.threshold), err
}

// found is what tells a point that was found from others.
type found struct {
	part uint32
	id   point.ID
}

// rescore runs n's query on the points that the prefetches found, only.
func (x *execution) rescore(ctx context.Context, n *node, want int) ([]query.Scored, error) {
	lists, err := x.below(ctx, n)
	if err != nil {
		return nil, err
	}
	seen := map[found]struct{}{}
	among := map[uint32][]*pb.PointId{}
	for _, list := range lists {
		for _, h := range list {
			if _, dup := seen[found{h.Part, h.ID}]; !dup {
				seen[found{h.Part, h.ID}] = struct{}{}
				among[h.Part] = append(among[h.Part], h.ID.Proto())
			}
		}
	}
	if len(among) == 0 {
		_, _, err := x.resolve(ctx, n) // what is wrong with a query doesn't depend on what the prefetches find
		return nil, err
	}
	return x.leaf(ctx, n, among, want, false)
}

// leaf asks all shards and merges. among restricts it to the given points, which are those of each
// shard with shard keys, else under 0.
func (x *execution) leaf(ctx context.Context, n *node, among map[uint32][]*pb.PointId, want int, root bool) ([]query.Scored, error) {
	q, order, err := x.resolve(ctx, n)
	if err != nil {
		return nil, err
	}
	q.Limit = new(uint64(want)) //nolint:gosec // never negative
	if among != nil && !x.isKeyed() {
		q.Filter = both(q.Filter, hasID(among[0]))
	}
	if root && len(x.targets) == 1 {
		q.WithPayload, q.WithVectors, x.filled = x.withPayload, x.withVectors, true
	}
	lists, err := fanOut(ctx, x.targets, func(ctx context.Context, t target) ([]query.Scored, error) {
		one := q
		if among != nil && x.isKeyed() {
			if among[t.id] == nil {
				return nil, nil
			}
			one = proto.CloneOf(q)
			one.Filter = both(q.Filter, hasID(among[t.id]))
		}
		hits, err := t.Query(ctx, one)
		return t.from(hits), err
	})
	if err != nil {
		return nil, err
	}
	if order == nil {
		return interleave(lists, want), nil
	}
	return query.Merge(lists, order, want), nil
}

// interleave takes one hit of each list in turn.
func interleave(lists [][]query.Scored, want int) []query.Scored {
	var out []query.Scored
	for i := 0; len(out) < want; i++ {
		before := len(out)
		for _, l := range lists {
			if i < len(l) && len(out) < want {
				out = append(out, l[i])
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}

func hasID(ids []*pb.PointId) *pb.Filter {
	return &pb.Filter{Must: []*pb.Condition{{ConditionOneOf: &pb.Condition_HasId{HasId: &pb.HasIdCondition{HasId: ids}}}}}
}

// resolve makes n's query one that a shard understands by itself: documents
// embedded, IDs replaced by their vectors. It returns the order in which the
// shards' answers are to be merged; nil takes from each in turn.
func (x *execution) resolve(ctx context.Context, n *node) (*pb.QueryPoints, func(a, b query.Scored) int, error) {
	q := &pb.QueryPoints{Query: n.query, Filter: n.filter, Params: n.params, ScoreThreshold: n.threshold}
	if n.using != "" {
		q.Using = &n.using
	}
	order := query.Better
	switch v := n.query.GetVariant().(type) {
	case nil:
		order = query.ByID
	case *pb.Query_OrderBy:
		order = query.ByOrder(v.OrderBy.GetDirection())
	case *pb.Query_Sample:
		// Points are spread evenly, so equal parts of the shards' samples make a
		// fair sample of all.
		order = nil
	case *pb.Query_Nearest:
		input, err := x.input(ctx, n, v.Nearest)
		if err != nil {
			return nil, nil, err
		}
		if err := x.checkCorpus(n); err != nil {
			return nil, nil, err
		}
		q.Query = &pb.Query{Variant: &pb.Query_Nearest{Nearest: input}}
	default:
		return nil, nil, unbuilt("this kind of query")
	}
	return q, order, nil
}

// checkCorpus refuses a corpus for the idf of a vector that has none.
func (x *execution) checkCorpus(n *node) error {
	sparse := x.Config.GetParams().GetSparseVectorsConfig().GetMap()
	if n.params.GetIdf().GetCorpus() != nil && sparse[n.using].GetModifier() != pb.Modifier_Idf {
		return apierror.New(apierror.BadInput, "params.idf: vector `%s` is not sparse with the modifier idf", n.using)
	}
	return nil
}

// input returns the vector of a nearest query.
func (x *execution) input(ctx context.Context, n *node, in *pb.VectorInput) (*pb.VectorInput, error) {
	in, err := readyInput(in)
	if err != nil {
		return nil, err
	}
	if id, ok := in.GetVariant().(*pb.VectorInput_Id); ok {
		if in, err = x.vectorOf(ctx, n, id.Id); err != nil {
			return nil, err
		}
	}
	return in, x.schema.CheckQueryVector(n.using, in)
}

// vectorOf fetches the vector of a point of this collection, or of the one that
// the query names to look it up.
func (x *execution) vectorOf(ctx context.Context, n *node, pid *pb.PointId) (*pb.VectorInput, error) {
	of, name := x.scope, n.using
	if n.lookup != nil {
		col, err := x.c.collection(ctx, n.lookup.GetCollectionName())
		if err != nil {
			return nil, err
		}
		if of, err = col.toRead(n.lookup.GetShardKeySelector()); err != nil {
			return nil, err
		}
		if n.lookup.VectorName != nil {
			name = n.lookup.GetVectorName()
		}
	}
	if err := of.schema.CheckNames([]string{name}); err != nil {
		return nil, err
	}
	id, err := point.FromProto(pid)
	if err != nil {
		return nil, err
	}
	found, err := of.look(ctx, id, name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, apierror.New(apierror.NotFound, "No point with id %s found", id)
	}
	if v := asInput(pick(found[0].GetVectors(), name)); v != nil {
		return v, nil
	}
	return nil, apierror.New(apierror.NotFound, "Vector with name %q for point %s not found", name, id)
}

// look fetches a vector of a point: of the first shard key that has the point.
func (s *scope) look(ctx context.Context, id point.ID, vector string) (found []*pb.RetrievedPoint, err error) {
	for _, ring := range s.rings {
		one, err := s.shard(ring.Shard(id))
		if err != nil {
			return nil, err
		}
		found, err = one.Retrieve(ctx, []point.ID{id}, noPayload(), &pb.WithVectorsSelector{
			SelectorOptions: &pb.WithVectorsSelector_Include{Include: &pb.VectorsSelector{Names: []string{vector}}},
		})
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

func noPayload() *pb.WithPayloadSelector {
	return &pb.WithPayloadSelector{SelectorOptions: &pb.WithPayloadSelector_Enable{}}
}

func pick(v *pb.VectorsOutput, name string) *pb.VectorOutput {
	if one := v.GetVector(); one != nil {
		return one
	}
	return v.GetVectors().GetVectors()[name]
}

func asInput(v *pb.VectorOutput) *pb.VectorInput {
	switch o := v.GetVector().(type) {
	case *pb.VectorOutput_Dense:
		return &pb.VectorInput{Variant: &pb.VectorInput_Dense{Dense: o.Dense}}
	case *pb.VectorOutput_Sparse:
		return &pb.VectorInput{Variant: &pb.VectorInput_Sparse{Sparse: o.Sparse}}
	default:
		return nil
	}
}

// publicScores turns inner scores into public ones. Scores of a fusion are
// public already.
func (x *execution) publicScores(n *node, hits []query.Scored) {
	if n.query.GetNearest() == nil {
		return
	}
	d, _ := x.schema.Distance(n.using) // sparse vectors have none: their scores are public
	for i := range hits {
		hits[i].Score = query.Public(d, hits[i].Score)
	}
}

// fill adds payload and vectors to the winners, each from its shard.
func (x *execution) fill(ctx context.Context, hits []query.Scored) error {
	if x.filled || len(hits) == 0 || (!wantsPayload(x.withPayload) && !wantsVectors(x.withVectors)) {
		return nil
	}
	byShard := map[uint32][]int{}
	for i, h := range hits {
		id := h.Part
		if !x.isKeyed() {
			id = x.rings[0].Shard(h.ID)
		}
		byShard[id] = append(byShard[id], i)
	}
	if !x.local {
		return x.fillFar(ctx, hits, byShard)
	}
	for id, places := range byShard { // look-ups in memory: no goroutine for each
		if err := x.fillFrom(ctx, id, hits, places); err != nil {
			return err
		}
	}
	return nil
}

// fillFar asks shards of other nodes side by side.
func (x *execution) fillFar(ctx context.Context, hits []query.Scored, byShard map[uint32][]int) error {
	_, err := fanOut(ctx, slices.Collect(maps.Keys(byShard)), func(ctx context.Context, id uint32) (struct{}, error) {
		return struct{}{}, x.fillFrom(ctx, id, hits, byShard[id])
	})
	return err
}

// fillFrom fills the hits at some places, which are all of one shard.
func (x *execution) fillFrom(ctx context.Context, id uint32, hits []query.Scored, places []int) error {
	s, err := x.shard(id)
	if err != nil {
		return err
	}
	part := make([]query.Scored, len(places))
	for j, i := range places {
		part[j] = hits[i]
	}
	if err := s.Fill(ctx, part, x.withPayload, x.withVectors); err != nil {
		return err
	}
	for j, i := range places {
		hits[i] = part[j]
	}
	return nil
}

func wantsPayload(sel *pb.WithPayloadSelector) bool {
	on, isSwitch := sel.GetSelectorOptions().(*pb.WithPayloadSelector_Enable)
	return sel.GetSelectorOptions() != nil && (!isSwitch || on.Enable)
}

func wantsVectors(sel *pb.WithVectorsSelector) bool {
	on, isSwitch := sel.GetSelectorOptions().(*pb.WithVectorsSelector_Enable)
	return sel.GetSelectorOptions() != nil && (!isSwitch || on.Enable)
}

// fanOut asks every shard, or part of the question, at once and returns the answers in
// order.
func fanOut[S, T any](ctx context.Context, parts []S, ask func(context.Context, S) (T, error)) ([]T, error) {
	answers := make([]T, len(parts))
	if len(parts) == 1 { // no goroutine for the common case
		var err error
		answers[0], err = ask(ctx, parts[0])
		return answers, err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range parts {
		g.Go(func() (err error) {
			answers[i], err = ask(ctx, s)
			return err
		})
	}
	return answers, g.Wait()
}

// sortedIDs orders points by ID, as scrolling does.
func sortedIDs(points []*pb.RetrievedPoint) error {
	keys := make(map[*pb.RetrievedPoint]point.ID, len(points))
	for _, p := range points {
		id, err := point.FromProto(p.GetId())
		if err != nil {
			return err
		}
		keys[p] = id
	}
	slices.SortFunc(points, func(a, b *pb.RetrievedPoint) int { return keys[a].Compare(keys[b]) })
	return nil
}
