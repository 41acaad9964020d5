package shard

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/filter"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/internal/apierror"
)

// applier applies one operation. The rules are deterministic: what happens
// depends on the operation and the state before it, never on time, randomness or
// the order of a map.
//
// What can be refused (a vector of the wrong size, a bad filter) is checked for
// the whole operation first, so that a refused operation changes nothing. A
// missing point is no such reason: the points that exist are changed, and the
// missing one is the operation's result.
//
// Within an operation a point is made in the order payload row, payload indexes,
// vectors, and unmade in the reverse order, so that whatever finds a document
// can name it.
type applier struct {
	s       *Shard
	st      *state
	seq     uint64
	missing *point.ID // the first one
}

// do applies one operation to the state. A message tells its operation, except
// that setting and overwriting payload share one.
func (a *applier) do(op Op) error {
	var err error
	switch m := op.Msg.(type) {
	case *pb.UpsertPoints:
		err = a.upsert(m)
	case *pb.DeletePoints:
		err = a.deletePoints(m)
	case *pb.UpdatePointVectors:
		err = a.updateVectors(m)
	case *pb.DeletePointVectors:
		err = a.deleteVectors(m)
	case *pb.SetPayloadPoints:
		if op.Kind == KindOverwritePayload {
			err = a.overwritePayload(m)
		} else {
			err = a.setPayload(m)
		}
	case *pb.DeletePayloadPoints:
		err = a.deletePayload(m)
	case *pb.ClearPayloadPoints:
		err = a.clearPayload(m)
	case *pb.CreateFieldIndexCollection:
		err = a.s.createIndex(a.st, m)
	case *pb.DeleteFieldIndexCollection:
		a.s.deleteIndex(a.st, m.GetFieldName())
	case *pb.CollectionConfig:
		err = a.s.setConfig(a.st, m)
	default:
		err = apierror.New(apierror.BadInput, "unknown operation")
	}
	if err == nil && a.missing != nil {
		err = apierror.New(apierror.NotFound, "No point with id %s found", a.missing)
	}
	return err
}

// miss notes a point that isn't there. The first one is enough for a message.
func (a *applier) miss(id point.ID) {
	if a.missing == nil {
		a.missing = &id
	}
}

// changes must be called before anything of an existing document is changed: a checksum
// of the state before may still need it.
func (a *applier) changes(doc uint32) {
	if c := a.s.scanning.Load(); c != nil {
		c.keep(doc)
	}
}

// pointVectors is a point of an operation, checked.
type pointVectors struct {
	id      point.ID
	vectors []named
}

// check reads the parts of a point in which an operation can be wrong.
func (a *applier) check(id *pb.PointId, v *pb.Vectors) (p pointVectors, err error) {
	if p.id, err = point.FromProto(id); err != nil {
		return p, err
	}
	p.vectors, err = a.st.schema.resolve(v)
	return p, err
}

// condition compiles the filter of a conditional update; nil lets all pass. A
// point is judged when its turn comes, so one that occurs twice in an operation is
// judged the second time by what the first made of it.
func (a *applier) condition(f *pb.Filter) (func(doc uint32) bool, error) {
	if f == nil {
		return func(uint32) bool { return true }, nil
	}
	p, err := filter.Compile(f, a.s.source(a.st))
	if err != nil {
		return nil, err
	}
	return p.Match, nil
}

// upsert goes over the points twice: first it checks all of them, and that there
// are document numbers for the new ones, then it changes. What fails in the second
// pass is this replica, not the operation.
func (a *applier) upsert(m *pb.UpsertPoints) error {
	points, payloads := make([]pointVectors, len(m.GetPoints())), make([]payload.Object, len(m.GetPoints()))
	for i, p := range m.GetPoints() {
		var err error
		if points[i], err = a.check(p.GetId(), p.GetVectors()); err != nil {
			return err
		}
		if payloads[i], err = payload.Of(p); err != nil {
			return err
		}
	}
	passes, err := a.condition(m.GetUpdateFilter())
	if err != nil {
		return err
	}
	if m.GetUpdateMode() != pb.UpdateMode_UpdateOnly && !a.roomFor(points) {
		return apierror.New(apierror.StorageFull, "%w", docstore.ErrFull)
	}
	for i, p := range points {
		doc, exists := a.s.docs.LookupPinned(p.id)
		switch {
		case exists && m.GetUpdateMode() == pb.UpdateMode_InsertOnly,
			!exists && m.GetUpdateMode() == pb.UpdateMode_UpdateOnly,
			exists && !passes(doc):
			continue
		case exists:
			a.replacePayload(doc, payloads[i])
		default:
			if doc, err = a.insert(p.id, payloads[i]); err != nil {
				return err
			}
		}
		if err := a.replaceVectors(doc, p.vectors, !exists); err != nil {
			return err
		}
	}
	return nil
}

// roomFor tells whether the points that don't exist get document numbers. They are
// only counted when it may come to that.
func (a *applier) roomFor(points []pointVectors) bool {
	room := a.s.docs.Room()
	if uint64(len(points)) <= room {
		return true
	}
	fresh := map[point.ID]bool{}
	for _, p := range points {
		if _, exists := a.s.docs.LookupPinned(p.id); !exists {
			fresh[p.id] = true
		}
	}
	return uint64(len(fresh)) <= room
}

// insert makes a document with a payload. Its vectors come last: only with them
// can a search find it.
func (a *applier) insert(id point.ID, o payload.Object) (uint32, error) {
	doc, err := a.s.docs.Insert(id, a.seq, o)
	if err != nil {
		return 0, err
	}
	for _, f := range a.st.fields {
		f.index.Update(doc, nil, o)
	}
	return doc, nil
}

// replacePayload gives a document another payload and this operation's version.
// An index gets both payloads, so that a field that hasn't changed costs it nothing.
// The old one is in memory of the store, which the applier's pin keeps alive after
// it has been replaced.
func (a *applier) replacePayload(doc uint32, o payload.Object) {
	a.changes(doc)
	old := a.s.docs.Payload(doc)
	for _, f := range a.st.fields {
		f.index.Update(doc, old, o)
	}
	a.s.docs.Update(doc, a.seq, o)
}

// replaceVectors makes vectors all that a document has. A new document, as most of
// an upload are, has none to lose.
func (a *applier) replaceVectors(doc uint32, vectors []named, isNew bool) error {
	if !isNew {
		given := make(map[string]bool, len(vectors))
		for _, v := range vectors {
			given[v.name] = true
		}
		for name, x := range a.st.dense {
			if !given[name] {
				x.Delete(doc)
			}
		}
		for name, x := range a.st.sparse {
			if !given[name] {
				if err := x.Delete(doc); err != nil {
					return err
				}
			}
		}
	}
	return a.setVectors(doc, vectors)
}

// setVectors gives a document vectors and leaves its others alone. An index
// replaces the row of a document by itself, the new one first, so that no search
// finds the document missing. An error here isn't about the operation, whose vectors
// were checked, but about memory or files.
func (a *applier) setVectors(doc uint32, vectors []named) error {
	for _, v := range vectors {
		var err error
		if v.sparse {
			err = a.st.sparse[v.name].Upsert(doc, v.indices, v.values)
		} else {
			err = a.st.dense[v.name].Upsert(doc, v.dense)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deletePoints unmakes documents in the reverse order of their making: once its
// vectors are gone no search finds a document any more, and its ID goes last.
func (a *applier) deletePoints(m *pb.DeletePoints) error {
	docs, err := a.selected(m.GetPoints(), false)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		a.changes(doc)
		if err := a.replaceVectors(doc, nil, false); err != nil {
			return err
		}
		old := a.s.docs.Payload(doc)
		for _, f := range a.st.fields {
			f.index.Remove(doc, old)
		}
		a.s.docs.Delete(doc)
	}
	return nil
}

// updateVectors replaces single vectors of points. The point gets this operation's
// version although its payload stays: a version is that of the whole point.
func (a *applier) updateVectors(m *pb.UpdatePointVectors) error {
	points := make([]pointVectors, len(m.GetPoints()))
	for i, p := range m.GetPoints() {
		var err error
		if points[i], err = a.check(p.GetId(), p.GetVectors()); err != nil {
			return err
		}
	}
	passes, err := a.condition(m.GetUpdateFilter())
	if err != nil {
		return err
	}
	for _, p := range points {
		doc, exists := a.s.docs.LookupPinned(p.id)
		if !exists {
			a.miss(p.id)
			continue
		}
		if !passes(doc) {
			continue
		}
		a.changes(doc)
		if err := a.setVectors(doc, p.vectors); err != nil {
			return err
		}
		a.s.docs.Touch(doc, a.seq)
	}
	return nil
}

// deleteVectors removes vectors by name. All names are known after the check, so
// one that isn't dense is sparse.
func (a *applier) deleteVectors(m *pb.DeletePointVectors) error {
	names := m.GetVectors().GetNames()
	if err := a.st.schema.CheckNames(names); err != nil {
		return err
	}
	docs, err := a.selected(m.GetPointsSelector(), true)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		a.changes(doc)
		for _, name := range names {
			if x, ok := a.st.dense[name]; ok {
				x.Delete(doc)
			} else if err := a.st.sparse[name].Delete(doc); err != nil {
				return err
			}
		}
		a.s.docs.Touch(doc, a.seq)
	}
	return nil
}

// setPayload merges keys into payloads, at their top or at the path of a key.
func (a *applier) setPayload(m *pb.SetPayloadPoints) error {
	o, err := payload.Of(m)
	if err != nil {
		return err
	}
	change := func(old payload.Object) (payload.Object, error) { return payload.Merge(old, o), nil }
	if m.Key != nil {
		path, err := payload.ParsePath(m.GetKey())
		if err != nil {
			return err
		}
		change = func(old payload.Object) (payload.Object, error) { return payload.SetAt(old, path, o) }
	}
	return a.changePayload(m.GetPointsSelector(), change)
}

// overwritePayload replaces whole payloads: a key in the request is ignored, as
// the public API does.
func (a *applier) overwritePayload(m *pb.SetPayloadPoints) error {
	o, err := payload.Of(m)
	if err != nil {
		return err
	}
	return a.changePayload(m.GetPointsSelector(), func(payload.Object) (payload.Object, error) { return o, nil })
}

func (a *applier) deletePayload(m *pb.DeletePayloadPoints) error {
	paths := make([]payload.Path, len(m.GetKeys()))
	for i, key := range m.GetKeys() {
		var err error
		if paths[i], err = payload.ParsePath(key); err != nil {
			return err
		}
	}
	return a.changePayload(m.GetPointsSelector(), func(o payload.Object) (payload.Object, error) {
		for _, p := range paths {
			o = payload.DeleteAt(o, p)
		}
		return o, nil
	})
}

func (a *applier) clearPayload(m *pb.ClearPayloadPoints) error {
	return a.changePayload(m.GetPoints(), func(payload.Object) (payload.Object, error) { return payload.Object{}, nil })
}

// changePayload gives each selected document the payload that change makes of
// its old one. A payload that can't be changed (too deep) stays as it is, and
// the first such error is the result.
//
// The documents are selected before the first one is changed. A change can't bring
// others into the filter that it was asked for.
func (a *applier) changePayload(sel *pb.PointsSelector, change func(payload.Object) (payload.Object, error)) error {
	docs, err := a.selected(sel, true)
	if err != nil {
		return err
	}
	var failed error
	for _, doc := range docs {
		o, err := change(a.s.docs.Payload(doc))
		if err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		a.replacePayload(doc, o)
	}
	return failed
}

// selected returns the documents of a selector: those of a list of IDs in its
// order and each once, those of a filter in ascending order. When need is set a
// missing ID is noted.
func (a *applier) selected(sel *pb.PointsSelector, need bool) ([]uint32, error) {
	switch x := sel.GetPointsSelectorOneOf().(type) {
	case *pb.PointsSelector_Points:
		return a.selectedIDs(x.Points.GetIds(), need)
	case *pb.PointsSelector_Filter:
		// Without a caller's context: an operation that is in the log is applied to
		// its end, whoever has stopped waiting.
		return a.s.passing(context.Background(), a.st, x.Filter)
	default:
		return nil, apierror.New(apierror.BadInput, "No points selected: ids or a filter are required")
	}
}

func (a *applier) selectedIDs(list []*pb.PointId, need bool) ([]uint32, error) {
	ids := make([]point.ID, len(list))
	for i, p := range list {
		var err error
		if ids[i], err = point.FromProto(p); err != nil {
			return nil, err
		}
	}
	docs := make([]uint32, 0, len(ids))
	seen := make(map[uint32]bool, len(ids))
	for _, id := range ids {
		doc, ok := a.s.docs.LookupPinned(id)
		switch {
		case !ok && need:
			a.miss(id)
		case ok && !seen[doc]:
			seen[doc] = true
			docs = append(docs, doc)
		}
	}
	return docs, nil
}
