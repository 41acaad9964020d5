package topology

import (
	"cmp"
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
)

// target returns the shard that gets the points.
func (t *Transfer) target() uint32 {
	if t.ToShard != nil {
		return *t.ToShard
	}
	return t.Shard
}

func compareTransfers(a, b *Transfer) int {
	return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.target(), b.target()), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// StartTransfer begins to fill a copy from another one: a new one on To, or one there
// that isn't in sync. A copy that is in sync has everything: then there is nothing to do,
// unless it is to be the only one of both. With ToShard it brings the points of one shard to another, whose
// copy on To is there already.
type StartTransfer struct {
	// Shard, ToShard, From, To, Sync, Method, Comment, Move and ByUser are as in
	// Transfer.
	Shard    ShardName
	ToShard  *uint32
	From, To PeerID
	Sync     bool
	Method   TransferMethod
	Comment  string
	Move     bool
	ByUser   bool
	// PinUntil, when not 0, keeps the placement as it will be then: a user asked.
	PinUntil int64
}

func (c StartTransfer) apply(s *State) error {
	col, sh, err := s.shardOf(c.Shard)
	if err != nil {
		return err
	}
	if err := c.check(s, col, sh); err != nil {
		return err
	}
	if c.ToShard == nil && !c.Move && sh.IsInSync(c.To) {
		return nil // it has everything
	}
	t := &Transfer{
		Shard: sh.ID, ToShard: c.ToShard, From: c.From, To: c.To, Sync: c.Sync, Method: c.Method, Comment: c.Comment,
		Move: c.Move, ByUser: c.ByUser, Started: s.index,
	}
	if c.ToShard != nil {
		to := *c.ToShard // the command stays the caller's
		t.ToShard = &to
	}
	if r, ok := col.Shard(t.target()).Replica(c.To); ok {
		t.Alloc = r.Alloc
	} else {
		t.Alloc, t.Added = s.newAlloc(), true
	}
	s.editShard(c.Shard, func(sh *Shard) {
		if t.Added {
			sh.setReplica(Replica{Peer: c.To, Alloc: t.Alloc, Kind: Joining})
		}
		if c.PinUntil != 0 {
			sh.Pin = Pin{Until: c.PinUntil}
			if c.Move {
				sh.Pin.Avoid = c.From
			}
		}
	})
	next := s.Incarnation(col.Incarnation).clone()
	next.Transfers = append(slices.Clip(next.Transfers), t)
	slices.SortFunc(next.Transfers, compareTransfers)
	s.put(next)
	return nil
}

func (c StartTransfer) check(s *State, col *Collection, sh *Shard) error {
	switch {
	case c.From == c.To && c.ToShard == nil:
		return apierror.New(apierror.Validation, `[to_peer_id: cannot transfer shard to itself, "to_peer_id" must be different than %d in "from_peer_id"]`, c.From)
	case s.Peer(c.From) == nil:
		return noPeer(c.From)
	case s.Peer(c.To) == nil:
		return noPeer(c.To)
	case !sh.IsInSync(c.From):
		return apierror.New(apierror.BadRequest, "Shard %d is not active on peer %d", sh.ID, c.From)
	}
	if err := checkMethod(c.Method, true); err != nil {
		return err
	}
	for _, t := range col.Transfers {
		if t.Shard == sh.ID && (t.From == c.From || t.From == c.To || t.To == c.From || t.To == c.To) {
			return apierror.New(apierror.BadRequest, "Shard %d is already involved in transfer %d -> %d", sh.ID, t.From, t.To)
		}
	}
	if c.ToShard != nil {
		return c.checkTarget(s, col, sh)
	}
	r, ok := sh.Replica(c.To)
	switch {
	case sh.IsInSync(c.To) && c.Move:
		return apierror.New(apierror.BadRequest, "Shard %d is already active on peer %d", sh.ID, c.To)
	case sh.IsInSync(c.To):
		return nil
	case ok && r.Kind != Voter && r.Kind != Joining:
		return apierror.New(apierror.BadRequest, "The copy of shard %d on peer %d isn't one to be in sync", sh.ID, c.To)
	case ok && s.alive(c.To):
		return nil
	default:
		return s.mayGet(c.To)
	}
}

// checkTarget is for transfers to another shard.
func (c StartTransfer) checkTarget(s *State, col *Collection, sh *Shard) error {
	to := col.Shard(*c.ToShard)
	switch {
	case *c.ToShard == sh.ID:
		return apierror.New(apierror.BadRequest, "Source and target shard must be different, both are %d", sh.ID)
	case to == nil:
		return apierror.New(apierror.NotFound, "Shard %d of collection %s does not exist", *c.ToShard, col.Name)
	case c.Move:
		return apierror.New(apierror.BadRequest, "Points that go to another shard are copied, not moved")
	}
	if _, ok := to.Replica(c.To); !ok {
		return noReplica(to, c.To)
	}
	if !s.alive(c.To) {
		return gone(c.To)
	}
	return nil
}

func checkMethod(m TransferMethod, orNone bool) error {
	switch m {
	case StreamRecords, Snapshot, WALDelta:
		return nil
	case "":
		if orNone {
			return nil
		}
	}
	return apierror.New(apierror.BadRequest, "Unknown transfer method %q", m)
}

// transfer finds a transfer.
func (s *State) transfer(k TransferKey) (*Collection, *Transfer, error) {
	col, _, err := s.shardOf(k.Shard)
	if err != nil {
		return nil, nil, err
	}
	if i := slices.IndexFunc(col.Transfers, k.names); i >= 0 {
		return col, col.Transfers[i], nil
	}
	return nil, nil, apierror.New(apierror.BadRequest, "There is no transfer for shard %d from %d to %d", k.Shard.Shard, k.From, k.To)
}

// AbortTransfer ends a transfer undone. A copy that was made for it is dropped.
type AbortTransfer struct {
	// Transfer names it.
	Transfer TransferKey
	// Reason is for people.
	Reason string
}

func (c AbortTransfer) apply(s *State) error {
	col, t, err := s.transfer(c.Transfer)
	if err != nil {
		return err
	}
	s.abortTransfers(col, func(o *Transfer) bool { return o == t })
	if c.Reason != "" {
		s.event(col, t.Shard, t.To, "the transfer from peer %d to peer %d was aborted: %s", t.From, t.To, c.Reason)
	}
	return nil
}

// FinishTransfer says that the points of one shard are all in another one. Transfers
// within a shard finish when their copy is in sync (AlterInSync).
type FinishTransfer struct {
	// Transfer names it; it has a ToShard.
	Transfer TransferKey
}

func (c FinishTransfer) apply(s *State) error {
	col, t, err := s.transfer(c.Transfer)
	if err != nil {
		return err
	}
	if t.ToShard == nil {
		return apierror.New(apierror.BadRequest, "The transfer of shard %d from %d to %d finishes when its copy is in sync", t.Shard, t.From, t.To)
	}
	s.removeTransfers(col, func(o *Transfer) bool { return o == t })
	to := col.name(t.target())
	waits := func(o *Transfer) bool { return o.ToShard != nil && *o.ToShard == to.Shard }
	if !slices.ContainsFunc(s.Incarnation(col.Incarnation).Transfers, waits) {
		s.editShard(to, func(sh *Shard) { sh.Partial = false })
	}
	return nil
}

// RestartTransfer begins a transfer again, another way.
type RestartTransfer struct {
	// Transfer names it.
	Transfer TransferKey
	// Method is the other way.
	Method TransferMethod
}

func (c RestartTransfer) apply(s *State) error {
	col, t, err := s.transfer(c.Transfer)
	if err != nil {
		return err
	}
	if err := checkMethod(c.Method, false); err != nil {
		return err
	}
	if t.Method == c.Method {
		return apierror.New(apierror.BadRequest, "Cannot restart transfer for shard %d from %d to %d, its configuration did not change", t.Shard, t.From, t.To)
	}
	s.changeTransfers(col, func(o *Transfer) *Transfer {
		if o != t {
			return o
		}
		again := *t
		again.Method, again.Started = c.Method, s.index
		return &again
	})
	return nil
}

// changeTransfers replaces transfers of a collection by what f returns, nil for none.
// The collection may have been put since col was looked up.
func (s *State) changeTransfers(col *Collection, f func(*Transfer) *Transfer) {
	cur := s.Incarnation(col.Incarnation)
	var list []*Transfer
	changed := false
	for _, t := range cur.Transfers {
		u := f(t)
		changed = changed || u != t
		if u != nil {
			list = append(list, u)
		}
	}
	if !changed {
		return
	}
	next := cur.clone()
	next.Transfers = list
	s.put(next)
}

func (s *State) removeTransfers(col *Collection, match func(*Transfer) bool) {
	s.changeTransfers(col, func(t *Transfer) *Transfer {
		if match(t) {
			return nil
		}
		return t
	})
}

// abortTransfers removes transfers, with the copies that were made for them.
func (s *State) abortTransfers(col *Collection, match func(*Transfer) bool) {
	for _, t := range s.Incarnation(col.Incarnation).Transfers {
		if !match(t) {
			continue
		}
		s.removeTransfers(col, func(o *Transfer) bool { return o == t })
		if !t.Added {
			continue
		}
		s.editShard(col.name(t.Shard), func(sh *Shard) {
			if r, ok := sh.Replica(t.To); ok && r.Alloc == t.Alloc && !sh.IsInSync(t.To) {
				sh.dropReplica(t.To)
			}
		})
		s.removeTransfers(col, func(o *Transfer) bool { return o.fills(t.Shard, t.To) })
	}
}

// fills tells whether a transfer fills a copy.
func (t *Transfer) fills(shard uint32, p PeerID) bool { return t.target() == shard && t.To == p }

// uses tells whether a transfer takes from a copy or fills it.
func (t *Transfer) uses(shard uint32, p PeerID) bool {
	return t.Shard == shard && t.From == p || t.fills(shard, p)
}

// finishTransfer removes a transfer whose copy is in sync; after a move the copy that it
// came from goes.
func (s *State) finishTransfer(name ShardName, t *Transfer) {
	col := s.Incarnation(name.Collection)
	s.removeTransfers(col, func(o *Transfer) bool { return o == t })
	if !t.Move {
		return
	}
	s.abortTransfers(col, func(o *Transfer) bool { return o.uses(t.Shard, t.From) })
	s.editShard(name, func(sh *Shard) {
		if sh.Preferred == t.From {
			sh.Preferred = t.To
		}
		if sh.Leader == t.From {
			sh.lead(t.To)
		}
		sh.dropReplica(t.From)
	})
}

// forgetTransfers removes the transfers within a shard, or to it, and keeps the copies.
func (s *State) forgetTransfers(name ShardName) {
	s.removeTransfers(s.Incarnation(name.Collection), func(t *Transfer) bool { return t.Shard == name.Shard && t.ToShard == nil })
}

// followAllocs gives transfers to a peer the number of the copy that is to be filled now.
func (s *State) followAllocs(col *Collection, p PeerID) {
	s.changeTransfers(col, func(t *Transfer) *Transfer {
		if t.To != p {
			return t
		}
		r, ok := s.Incarnation(col.Incarnation).Shard(t.target()).Replica(p)
		if !ok || r.Alloc == t.Alloc {
			return t
		}
		next := *t
		next.Alloc = r.Alloc
		return &next
	})
}
