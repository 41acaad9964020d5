package coordinator

import (
	"cmp"
	"context"
	"errors"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Points is the points service of the public API: writes in this file, reads in
// reads.go.
type Points struct {
	pb.UnimplementedPointsServer
	c *Coordinator
	// only, when set, restricts reads to this node's copy of one shard.
	only *uint32
}

var _ pb.PointsServer = (*Points)(nil)

// Points returns the points service.
func (c *Coordinator) Points() *Points { return &Points{c: c} }

// A write is one public write request, prepared: everything that can be refused
// without looking at the points has been.
type write struct {
	col *collection
	// parts are the operations for each shard.
	parts []part
	// ordering is the client's wish.
	ordering pb.WriteOrderingType
	// adapt, when set, follows a change of the topology instead of submitting.
	adapt Shards
}

type part struct {
	shard shardcall.Shard
	op    shard.Op
}

// writeRequest is what all write messages have in common.
type writeRequest interface {
	GetCollectionName() string
	GetWait() bool
	GetTimeout() uint64
	GetOrdering() *pb.WriteOrdering
}

func (s *Points) write(ctx context.Context, req writeRequest, shardKey *pb.ShardKeySelector, op *pb.PointsUpdateOperation) (*pb.PointsOperationResponse, error) {
	start := time.Now()
	col, err := s.c.collection(ctx, req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	to, err := col.toWrite(shardKey)
	if err != nil {
		return nil, err
	}
	w, err := to.prepare(op)
	if err != nil {
		return nil, err
	}
	if w.ordering, err = orderingOf(req.GetOrdering()); err != nil {
		return nil, err
	}
	result, err := w.run(ctx, req.GetWait(), deadline(start, req.GetTimeout()))
	if err != nil {
		return nil, err
	}
	return &pb.PointsOperationResponse{Result: result, Time: since(start)}, nil
}

// deadline returns when a write stops waiting; the zero time is never.
func deadline(start time.Time, seconds uint64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(min(seconds, 1<<31)) * time.Second)
}

// orderingOf returns the ordering that a request asks for: weak when it says nothing.
func orderingOf(m *pb.WriteOrdering) (pb.WriteOrderingType, error) {
	return m.GetType(), checkEnum("ordering", m.GetType())
}

// run submits the parts and waits until all are durable, and applied when wait is
// set.
func (w *write) run(ctx context.Context, wait bool, until time.Time) (*pb.UpdateResult, error) {
	u, err := w.submit(ctx, wait, until)
	return u.result, cmp.Or(err, u.durable(ctx))
}

// submit submits the parts, and waits until all are applied when wait is set. The
// caller has to wait until the update is durable before it says anything, after an
// error too: a part of the points may have been changed.
func (w *write) submit(ctx context.Context, wait bool, until time.Time) (*update, error) {
	u, err := w.hand(ctx, shardcall.Write{Wait: wait, Until: until, Ordering: w.ordering})
	if err != nil {
		return u, err
	}
	return u, u.visible(ctx)
}

// update is a write under way.
type update struct {
	how     shardcall.Write
	result  *pb.UpdateResult
	tickets []shardcall.Ticket
}

func newUpdate(how shardcall.Write) *update {
	return &update{how: how, result: &pb.UpdateResult{OperationId: new(uint64), Status: pb.UpdateStatus_Acknowledged}}
}

func (u *update) took(t shardcall.Ticket) {
	u.tickets = append(u.tickets, t)
	*u.result.OperationId = max(*u.result.OperationId, t.Seq())
}

// hand gives each part to its shard. Shards of this process take them one after the
// other without waiting for anything; others are called side by side.
func (w *write) hand(ctx context.Context, how shardcall.Write) (*update, error) {
	u := newUpdate(how)
	if w.col.local || len(w.parts) == 1 {
		for _, p := range w.parts {
			t, err := w.handPart(ctx, p, how)
			if err != nil {
				return u, err
			}
			u.took(t)
		}
		return u, nil
	}
	tickets := make([]shardcall.Ticket, len(w.parts))
	var g errgroup.Group // one that fails doesn't stop the others: their points are theirs
	for i, p := range w.parts {
		g.Go(func() (err error) {
			tickets[i], err = w.handPart(ctx, p, how)
			return err
		})
	}
	err := g.Wait()
	for _, t := range tickets {
		if t != nil {
			u.took(t)
		}
	}
	return u, err
}

func (w *write) handPart(ctx context.Context, p part, how shardcall.Write) (shardcall.Ticket, error) {
	if w.adapt != nil {
		return w.adapt.Adapt(ctx, p.shard, w.col.Collection, p.op, how)
	}
	return p.shard.Submit(ctx, p.op, how)
}

// visible waits until all parts are applied, if the write is to wait. A wait that ends at
// the deadline is no error: the operation will be applied.
func (u *update) visible(ctx context.Context) error {
	if !u.how.Wait {
		return nil
	}
	waiting := ctx
	if !u.how.Until.IsZero() {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, u.how.Until)
		defer cancel()
	}
	u.result.Status = pb.UpdateStatus_Completed
	var errs []error
	for _, t := range u.tickets {
		err := t.Visible(waiting)
		if errors.Is(err, context.DeadlineExceeded) && !u.how.Until.IsZero() && ctx.Err() == nil {
			u.result.Status = pb.UpdateStatus_WaitTimeout
			break
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// durable waits until all parts survive a power cut.
func (u *update) durable(ctx context.Context) error {
	for _, t := range u.tickets {
		if err := t.Durable(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Upsert inserts or replaces points.
func (s *Points) Upsert(ctx context.Context, req *pb.UpsertPoints) (*pb.PointsOperationResponse, error) {
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_Upsert{
		Upsert: &pb.PointsUpdateOperation_PointStructList{
			Points: req.GetPoints(), UpdateFilter: req.GetUpdateFilter(), UpdateMode: req.UpdateMode,
		},
	}})
}

// Delete deletes points.
func (s *Points) Delete(ctx context.Context, req *pb.DeletePoints) (*pb.PointsOperationResponse, error) {
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_DeletePoints_{
		DeletePoints: &pb.PointsUpdateOperation_DeletePoints{Points: req.GetPoints()},
	}})
}

// UpdateVectors replaces named vectors of existing points.
func (s *Points) UpdateVectors(ctx context.Context, req *pb.UpdatePointVectors) (*pb.PointsOperationResponse, error) {
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_UpdateVectors_{
		UpdateVectors: &pb.PointsUpdateOperation_UpdateVectors{Points: req.GetPoints(), UpdateFilter: req.GetUpdateFilter()},
	}})
}

// DeleteVectors removes named vectors from existing points.
func (s *Points) DeleteVectors(ctx context.Context, req *pb.DeletePointVectors) (*pb.PointsOperationResponse, error) {
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_DeleteVectors_{
		DeleteVectors: &pb.PointsUpdateOperation_DeleteVectors{PointsSelector: req.GetPointsSelector(), Vectors: req.GetVectors()},
	}})
}

// SetPayload merges keys into the payload of existing points.
func (s *Points) SetPayload(ctx context.Context, req *pb.SetPayloadPoints) (*pb.PointsOperationResponse, error) {
	part := &pb.PointsUpdateOperation_SetPayload{Payload: req.GetPayload(), PointsSelector: req.GetPointsSelector(), Key: req.Key}
	carry(req, part)
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{
		Operation: &pb.PointsUpdateOperation_SetPayload_{SetPayload: part},
	})
}

// OverwritePayload replaces the payload of existing points.
func (s *Points) OverwritePayload(ctx context.Context, req *pb.SetPayloadPoints) (*pb.PointsOperationResponse, error) {
	part := &pb.PointsUpdateOperation_OverwritePayload{Payload: req.GetPayload(), PointsSelector: req.GetPointsSelector(), Key: req.Key}
	carry(req, part)
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{
		Operation: &pb.PointsUpdateOperation_OverwritePayload_{OverwritePayload: part},
	})
}

// DeletePayload removes keys from the payload of existing points.
func (s *Points) DeletePayload(ctx context.Context, req *pb.DeletePayloadPoints) (*pb.PointsOperationResponse, error) {
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_DeletePayload_{
		DeletePayload: &pb.PointsUpdateOperation_DeletePayload{Keys: req.GetKeys(), PointsSelector: req.GetPointsSelector()},
	}})
}

// ClearPayload removes the payload of existing points.
func (s *Points) ClearPayload(ctx context.Context, req *pb.ClearPayloadPoints) (*pb.PointsOperationResponse, error) {
	return s.write(ctx, req, req.GetShardKeySelector(), &pb.PointsUpdateOperation{Operation: &pb.PointsUpdateOperation_ClearPayload_{
		ClearPayload: &pb.PointsUpdateOperation_ClearPayload{Points: req.GetPoints()},
	}})
}

// UpdateBatch carries out several writes in order. All are checked before the
// first is submitted. With wait set the first one that fails ends the batch with
// its error; what came before it stays. The log is waited for once, at the end.
func (s *Points) UpdateBatch(ctx context.Context, req *pb.UpdateBatchPoints) (*pb.UpdateBatchResponse, error) {
	start := time.Now()
	col, err := s.c.collection(ctx, req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	ordering, err := orderingOf(req.GetOrdering())
	if err != nil {
		return nil, err
	}
	writes := make([]*write, len(req.GetOperations()))
	for i, op := range req.GetOperations() {
		to, err := col.toWrite(keysOf(op))
		if err != nil {
			return nil, err
		}
		if writes[i], err = to.prepare(op); err != nil {
			return nil, err
		}
		writes[i].ordering = ordering
	}
	resp := &pb.UpdateBatchResponse{}
	var all update
	for _, w := range writes {
		u, err := w.submit(ctx, req.GetWait(), deadline(start, req.GetTimeout()))
		all.tickets = append(all.tickets, u.tickets...)
		if err != nil {
			return nil, cmp.Or(err, all.durable(ctx))
		}
		resp.Result = append(resp.Result, u.result)
	}
	if err := all.durable(ctx); err != nil {
		return nil, err
	}
	resp.Time = since(start)
	return resp, nil
}

// CreateFieldIndex creates the index of a payload field.
func (s *Points) CreateFieldIndex(ctx context.Context, req *pb.CreateFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	schema, err := shard.IndexSchema(req)
	if err != nil {
		return nil, err
	}
	return s.changeField(ctx, req, topology.SetField{Field: req.GetFieldName(), Schema: schema}, shard.CreateIndex(req))
}

// DeleteFieldIndex drops the index of a payload field.
func (s *Points) DeleteFieldIndex(ctx context.Context, req *pb.DeleteFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	return s.changeField(ctx, req, topology.SetField{Field: req.GetFieldName()}, shard.DeleteIndex(req))
}

// changeField changes the schema of a collection.
func (s *Points) changeField(ctx context.Context, req writeRequest, cmd topology.SetField, op shard.Op) (*pb.PointsOperationResponse, error) {
	start := time.Now()
	ordering, err := orderingOf(req.GetOrdering())
	if err != nil {
		return nil, err
	}
	how := shardcall.Write{Wait: req.GetWait(), Until: deadline(start, req.GetTimeout()), Ordering: ordering}
	u, err := s.c.alter(ctx, req.GetCollectionName(), how, func(col *collection) (topology.Command, shard.Op, error) {
		cmd.Name = col.Name
		return cmd, op, nil
	})
	if err == nil {
		err = u.visible(ctx)
	}
	if err = cmp.Or(err, u.durable(ctx)); err != nil {
		return nil, err
	}
	return &pb.PointsOperationResponse{Result: u.result, Time: since(start)}, nil
}

// adaptation is a change of a collection that all its shards follow.
func (c *Coordinator) adaptation(col *collection, op shard.Op) (*write, error) {
	shards, err := col.all()
	if err != nil {
		return nil, err
	}
	w := &write{col: col, adapt: c.shards}
	for _, s := range shards {
		w.parts = append(w.parts, part{s, op})
	}
	return w, nil
}

// prepare checks one write and splits it by shards.
func (s *scope) prepare(op *pb.PointsUpdateOperation) (*write, error) {
	switch op := op.GetOperation().(type) {
	case *pb.PointsUpdateOperation_Upsert:
		return s.prepareUpsert(op.Upsert)
	case *pb.PointsUpdateOperation_UpdateVectors_:
		return s.prepareUpdateVectors(op.UpdateVectors)
	case *pb.PointsUpdateOperation_DeletePoints_:
		return s.prepareSelected(op.DeletePoints.GetPoints(), func(sel *pb.PointsSelector) (shard.Op, error) {
			return shard.Delete(&pb.DeletePoints{Points: sel}), nil
		})
	case *pb.PointsUpdateOperation_DeleteDeprecated:
		return s.prepareSelected(op.DeleteDeprecated, func(sel *pb.PointsSelector) (shard.Op, error) { //nolint:staticcheck // older clients send it
			return shard.Delete(&pb.DeletePoints{Points: sel}), nil
		})
	case *pb.PointsUpdateOperation_DeleteVectors_:
		return s.prepareDeleteVectors(op.DeleteVectors)
	case *pb.PointsUpdateOperation_SetPayload_:
		return s.prepareSelected(op.SetPayload.GetPointsSelector(), func(sel *pb.PointsSelector) (shard.Op, error) {
			m := &pb.SetPayloadPoints{Payload: op.SetPayload.GetPayload(), PointsSelector: sel, Key: op.SetPayload.Key}
			carry(op.SetPayload, m)
			return shard.SetPayload(m)
		})
	case *pb.PointsUpdateOperation_OverwritePayload_:
		return s.prepareSelected(op.OverwritePayload.GetPointsSelector(), func(sel *pb.PointsSelector) (shard.Op, error) {
			m := &pb.SetPayloadPoints{Payload: op.OverwritePayload.GetPayload(), PointsSelector: sel, Key: op.OverwritePayload.Key}
			carry(op.OverwritePayload, m)
			return shard.OverwritePayload(m)
		})
	case *pb.PointsUpdateOperation_DeletePayload_:
		return s.prepareSelected(op.DeletePayload.GetPointsSelector(), func(sel *pb.PointsSelector) (shard.Op, error) {
			return shard.DeletePayload(&pb.DeletePayloadPoints{Keys: op.DeletePayload.GetKeys(), PointsSelector: sel}), nil
		})
	case *pb.PointsUpdateOperation_ClearPayload_:
		return s.prepareClear(op.ClearPayload.GetPoints())
	case *pb.PointsUpdateOperation_ClearPayloadDeprecated:
		return s.prepareClear(op.ClearPayloadDeprecated) //nolint:staticcheck // as above
	default:
		return nil, apierror.New(apierror.BadInput, "Update operation is missing")
	}
}

func (s *scope) prepareClear(sel *pb.PointsSelector) (*write, error) {
	return s.prepareSelected(sel, func(sel *pb.PointsSelector) (shard.Op, error) {
		return shard.ClearPayload(&pb.ClearPayloadPoints{Points: sel}), nil
	})
}

func (s *scope) prepareUpsert(m *pb.PointsUpdateOperation_PointStructList) (*write, error) {
	points, err := s.readyPoints(m.GetPoints())
	if err != nil {
		return nil, err
	}
	if err := s.schema.CheckUpsert(&pb.UpsertPoints{Points: points}); err != nil {
		return nil, err
	}
	if err := checkFilter(m.GetUpdateFilter()); err != nil {
		return nil, err
	}
	return split(s, points, (*pb.PointStruct).GetId, func(points []*pb.PointStruct) (shard.Op, error) {
		return shard.Upsert(&pb.UpsertPoints{Points: points, UpdateFilter: m.GetUpdateFilter(), UpdateMode: m.UpdateMode})
	})
}

func (s *scope) prepareUpdateVectors(m *pb.PointsUpdateOperation_UpdateVectors) (*write, error) {
	points := make([]*pb.PointVectors, len(m.GetPoints()))
	for i, p := range m.GetPoints() {
		vectors, err := s.readyVectors(p.GetVectors())
		if err != nil {
			return nil, err
		}
		points[i] = &pb.PointVectors{Id: p.GetId(), Vectors: vectors}
	}
	if err := s.schema.CheckUpdateVectors(&pb.UpdatePointVectors{Points: points}); err != nil {
		return nil, err
	}
	if err := checkFilter(m.GetUpdateFilter()); err != nil {
		return nil, err
	}
	return split(s, points, (*pb.PointVectors).GetId, func(points []*pb.PointVectors) (shard.Op, error) {
		return shard.UpdateVectors(&pb.UpdatePointVectors{Points: points, UpdateFilter: m.GetUpdateFilter()}), nil
	})
}

func (s *scope) prepareDeleteVectors(m *pb.PointsUpdateOperation_DeleteVectors) (*write, error) {
	names := m.GetVectors().GetNames()
	if len(names) == 0 {
		return nil, apierror.New(apierror.Validation, "[vector: names must not be empty]")
	}
	if err := s.schema.CheckNames(names); err != nil {
		return nil, err
	}
	return s.prepareSelected(m.GetPointsSelector(), func(sel *pb.PointsSelector) (shard.Op, error) {
		return shard.DeleteVectors(&pb.DeletePointVectors{PointsSelector: sel, Vectors: m.GetVectors()}), nil
	})
}

// prepareSelected splits a write on selected points: IDs go to the shards that
// hold them, a filter goes everywhere.
func (s *scope) prepareSelected(sel *pb.PointsSelector, op func(*pb.PointsSelector) (shard.Op, error)) (*write, error) {
	switch one := sel.GetPointsSelectorOneOf().(type) {
	case *pb.PointsSelector_Points:
		self := func(id *pb.PointId) *pb.PointId { return id }
		return split(s, one.Points.GetIds(), self, func(ids []*pb.PointId) (shard.Op, error) {
			return op(&pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Points{Points: &pb.PointsIdsList{Ids: ids}}})
		})
	case *pb.PointsSelector_Filter:
		if err := checkFilter(one.Filter); err != nil {
			return nil, err
		}
		o, err := op(sel)
		if err != nil {
			return nil, err
		}
		w := &write{col: s.collection}
		for _, t := range s.targets {
			w.parts = append(w.parts, part{t.Shard, o})
		}
		return w, nil
	default:
		return nil, apierror.New(apierror.BadInput, "Points selector is missing: give ids or a filter")
	}
}

// split groups items by the shards that hold their point, keeping their order.
func split[T any](s *scope, items []T, id func(T) *pb.PointId, op func([]T) (shard.Op, error)) (*write, error) {
	groups := map[uint32][]T{}
	var order []uint32
	for _, item := range items {
		pid, err := point.FromProto(id(item))
		if err != nil {
			return nil, err
		}
		for _, ring := range s.rings {
			to := ring.Shard(pid)
			if groups[to] == nil {
				order = append(order, to)
			}
			groups[to] = append(groups[to], item)
		}
	}
	w := &write{col: s.collection}
	for _, to := range order {
		one, err := s.shard(to)
		if err != nil {
			return nil, err
		}
		o, err := op(groups[to])
		if err != nil {
			return nil, err
		}
		w.parts = append(w.parts, part{one, o})
	}
	return w, nil
}
