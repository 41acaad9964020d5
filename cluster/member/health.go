package member

import (
	"context"
	"time"

	"github.com/sextantdb/sextant/internal/fsx"
)

// The times of a disk that stalls.
const (
	// stallAfter is how long a write or sync of a log may take until the disk counts as stalled.
	stallAfter = 2 * time.Second
	// wellBelow is how long they may take on a disk that is to be well again, wellAfter for how
	// long that must have been so.
	wellBelow = 500 * time.Millisecond
	wellAfter = time.Second
	// lookEvery is how often the disk is looked at.
	lookEvery = 100 * time.Millisecond
)

// health judges a disk by how long the oldest change that is under way on it has been. It must say so while a stall
// lasts: whoever waits for the disk can't.
type health struct {
	stalled bool
	// wellSince is since when no change took long.
	wellSince time.Duration
}

// see takes a look at a time.
func (h *health) see(now, oldest time.Duration) (stalled bool) {
	switch {
	case oldest >= stallAfter:
		h.stalled = true
		h.wellSince = now
	case oldest >= wellBelow:
		h.wellSince = now
	case now >= h.wellSince+wellAfter:
		h.stalled = false
	}
	return h.stalled
}

// mind looks after the disk until ctx ends. A node whose disk stalls says so with its heartbeats, at once: the controller
// has others lead, and nobody waits for it. It couldn't hand over itself, since the consensus here waits for the
// disk as well.
func (m *Member) mind(ctx context.Context, disk *fsx.Watch) {
	var h health
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		stalled := h.see(m.now(), disk.Oldest())
		if m.stalled.Swap(stalled) == stalled {
			continue
		}
		if stalled {
			m.log.WarnContext(ctx, "the disk stalls: others are to lead", "for", disk.Oldest())
		} else {
			m.log.InfoContext(ctx, "the disk doesn't stall any more")
		}
		poke(m.boss.hurry)
	}
}
