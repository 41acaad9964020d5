package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// What happens when the disk is full. A node that can't store can't promise, so it waits until it can; it
// answers nobody meanwhile, and the others do without it. That is seldom, because of the reserve: a
// file that has no other use than to be removed then. What the group writes is small, so the room lasts for
// long, if others leave it alone (Options.OnShort). When there is room for a new reserve all is as before.

const (
	reserveName = "RESERVE"
	// roomRetry is how long to wait before a full disk is tried again.
	roomRetry = 50 * time.Millisecond
	// reserveTicks is after how many ticks a reserve is made again.
	reserveTicks = 20
	// snapshotTicks is for how many ticks no snapshot is taken after there was no room for one.
	snapshotTicks = 100
)

// isFull tells whether something failed because there is no room.
func isFull(err error) bool { return errors.Is(err, oplog.ErrFull) || fsx.IsFull(err) }

// reserve is room that is given up when there is none.
type reserve struct {
	fs   fsx.FS
	path string
	size int
	// short says that the reserve was given up, and that there is no room for another.
	short atomic.Bool
	tell  func(short bool)
}

func newReserve(o *Options) *reserve {
	return &reserve{fs: o.FS, path: path.Join(o.Dir, reserveName), size: int(o.Reserve), tell: o.OnShort}
}

func (r *reserve) set(short bool) {
	if r.short.Swap(short) != short {
		r.tell(short)
	}
}

// giveUp makes the reserve's room free.
func (r *reserve) giveUp() {
	if r.size == 0 || r.short.Load() {
		return
	}
	// Others are to know before there is room that isn't theirs.
	r.set(true)
	_ = r.fs.Remove(r.path) // one that isn't there is as good
	_ = r.fs.SyncDir(path.Dir(r.path))
}

// restore makes the reserve, if it isn't there. A failure that isn't for lack of room is no reason
// to do anything else.
func (r *reserve) restore() error {
	if r.size == 0 {
		return nil
	}
	if info, err := r.fs.Stat(r.path); err == nil && info.Size() == int64(r.size) {
		r.set(false)
		return nil
	}
	err := r.make()
	r.set(err != nil && isFull(err))
	return err
}

func (r *reserve) make() (err error) {
	f, err := r.fs.Create(r.path)
	if err != nil {
		return fmt.Errorf("make a reserve: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("make a reserve: %w", err), r.fs.Remove(r.path))
		}
	}()
	// A file system that compresses would reserve nothing for zeros.
	noise := make([]byte, r.size)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	if _, err := f.Write(noise); err != nil {
		return err
	}
	return f.Sync()
}

// untilRoom does something again and again while the disk is full.
func (d *disk) untilRoom(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !isFull(err) {
			return err
		}
		d.reserve.giveUp()
		t := time.NewTimer(roomRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// put appends a record, when there is room.
func (d *disk) put(ctx context.Context, record func() *oplog.Ticket) (t *oplog.Ticket, err error) {
	err = d.untilRoom(ctx, func() error {
		if t = record(); t.Refused() {
			return t.Err()
		}
		return nil
	})
	return t, err
}

// durable waits for a ticket, and those before. A record that was taken is written when there is room, also
// when its ticket has failed.
func (d *disk) durable(ctx context.Context, t *oplog.Ticket) error {
	return d.untilRoom(ctx, func() error {
		err := t.Wait(ctx)
		if err != nil && isFull(err) && d.entries.Durable() == d.entries.Last() && d.hard.Durable() == d.hard.Last() {
			return nil
		}
		return err
	})
}
