package budget

import "sync/atomic"

// leastUnsaved is what isn't worth a checkpoint, however little memory there is.
const leastUnsaved = 1 << 20

// Unsaved counts the bytes of operations that one shard has applied and that no checkpoint has yet: they are in memory as
// well as in the log. All shards of a process share what memory there is for them. Its methods are safe for concurrent use.
type Unsaved struct {
	b *Budget
	n atomic.Int64
}

// Unsaved makes the count of one shard. Release it.
func (b *Budget) Unsaved() *Unsaved { return &Unsaved{b: b} }

// Add adds to the count, which must not become negative.
func (u *Unsaved) Add(delta int64) {
	now := u.n.Add(delta)
	if u.b == nil {
		return
	}
	u.b.unsaved.Add(delta)
	switch {
	case delta == 0:
	case now == delta:
		u.b.holders.Add(1)
	case now == 0:
		u.b.holders.Add(-1)
	}
}

// Load returns the count.
func (u *Unsaved) Load() int64 { return u.n.Load() }

// Release takes the count away.
func (u *Unsaved) Release() { u.Add(-u.n.Load()) }

// Pressure says whether this shard should make a checkpoint for the sake of all: from 1 on it should, since together they
// have that many times as much as they may, and this one has at least its share. With 0 others should, or nobody.
func (u *Unsaved) Pressure() float64 {
	if u.b == nil || u.b.maxUnsaved <= 0 {
		return 0
	}
	own, all := u.n.Load(), u.b.unsaved.Load()
	if own < leastUnsaved || all < u.b.maxUnsaved || own*max(1, u.b.holders.Load()) < all {
		return 0
	}
	return float64(all) / float64(u.b.maxUnsaved)
}
