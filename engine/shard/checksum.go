package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cespare/xxhash/v2"

	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Checksum is what replicas compare: at one position it is the same on all of them,
// however their files and indexes came to be.
type Checksum struct {
	// Position is that of the state.
	oplog.Position
	// Points is the number of live points.
	Points uint64
	// Sum is the sum of the hashes of ID, version, payload and vectors of each point.
	Sum uint64
}

// Checksum reads the state after the last applied operation and returns its checksum.
// Operations go on meanwhile. There is one at a time: a second call fails with
// Unavailable.
func (s *Shard) Checksum(ctx context.Context) (Checksum, error) {
	leave, err := s.enter()
	if err != nil {
		return Checksum{}, err
	}
	defer leave()
	var c *scan
	if e := s.between(ctx, func() { c, err = s.beginScan() }); e != nil {
		return Checksum{}, e
	}
	if err != nil {
		return Checksum{}, err
	}
	return c.run(ctx)
}

// checksumResult is the checksum that an entry asked for.
type checksumResult struct {
	done chan struct{}
	sum  Checksum
	err  error // both are written before done is closed
}

// Checksum waits for the checksum of the state after an entry that asked for one.
func (t *Ticket) Checksum(ctx context.Context) (Checksum, error) {
	if t.checksum == nil {
		return Checksum{}, errors.New("the entry didn't ask for a checksum")
	}
	select {
	case <-t.checksum.done:
		return t.checksum.sum, t.checksum.err
	case <-ctx.Done():
		return Checksum{}, ctx.Err()
	}
}

// startChecksum begins the checksum that an entry asks for, which the applier has just
// applied.
func (s *Shard) startChecksum(r *checksumResult) {
	leave, err := s.enter()
	if err != nil {
		r.err = err
		close(r.done)
		return
	}
	c, err := s.beginScan()
	if err != nil {
		leave()
		r.err = err
		close(r.done)
		return
	}
	// It is inside, so Close waits for it, and it ends soon when Close stops the
	// background.
	go func() {
		defer leave()
		r.sum, r.err = c.run(s.background)
		close(r.done)
	}()
}

// scan reads all points as they were after one operation, while later ones are applied.
// Whatever is about to change a document that wasn't read yet has it read first.
type scan struct {
	s   *Shard
	pin docstore.Pin
	// st are the indexes of that moment. What a later configuration drops stays as it
	// was, and open, while the pin is held.
	st            *state
	dense, sparse []string // names, in order

	// mu guards the rest. The scan holds it for a few documents at a time.
	mu  sync.Mutex
	sum Checksum
	// next is the document to go on with, limit the first one that is too new, kept are
	// those from next on that were read because they were about to change.
	next, limit uint64
	kept        *roaring.Bitmap
	err         error
	vector      []float32
	buf         []byte
}

// scanDocs is how many document numbers a scan goes over at a time: what an operation
// waits for at most.
const scanDocs = 64

// beginScan begins a scan of what there is now. The applier calls it.
func (s *Shard) beginScan() (*scan, error) {
	st := s.state.Load()
	c := &scan{
		s: s, pin: s.docs.Pin(), st: st, dense: slices.Sorted(maps.Keys(st.dense)), sparse: slices.Sorted(maps.Keys(st.sparse)),
		sum: Checksum{Position: s.at}, limit: s.docs.Next(), kept: roaring.New(),
	}
	if !s.scanning.CompareAndSwap(nil, c) {
		c.pin.Release()
		return nil, apierror.New(apierror.Unavailable, "a checksum is being computed already")
	}
	return c, nil
}

// run reads what is left and returns the sum.
func (c *scan) run(ctx context.Context) (Checksum, error) {
	defer c.pin.Release()
	defer c.s.scanning.Store(nil)
	for more := true; more; {
		if err := errors.Join(ctx.Err(), c.s.Err()); err != nil {
			return Checksum{}, err
		}
		c.s.o.Budget.Yield()
		more = c.step()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// A payload that can't be read has put the shard into quarantine.
	if err := errors.Join(c.s.damage(c.err), c.s.Err()); err != nil {
		return Checksum{}, err
	}
	return c.sum, nil
}

func (c *scan) step() (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for end := min(c.next+scanDocs, c.limit); c.next < end; c.next++ {
		if doc := uint32(c.next); !c.kept.Contains(doc) && c.s.docs.Live(doc) {
			c.add(doc)
		}
	}
	return c.next < c.limit && c.err == nil
}

// keep reads a document that is about to change.
func (c *scan) keep(doc uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if uint64(doc) >= c.next && uint64(doc) < c.limit && c.kept.CheckedAdd(doc) {
		c.add(doc)
	}
}

// add adds a live document. What a hash covers is made up of parts that say how long
// they are, so that no two points give the same bytes. mu is held.
func (c *scan) add(doc uint32) {
	id, version, ok := c.s.docs.Head(doc)
	if !ok || c.err != nil {
		return
	}
	le := binary.LittleEndian
	isUUID, hi, lo := id.Parts()
	b := c.buf[:0]
	if isUUID {
		b = append(b, 'u')
	} else {
		b = append(b, 'n')
	}
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, hi), lo), version)
	o := c.s.docs.Payload(doc)
	b = append(le.AppendUint64(b, uint64(len(o))), o...)
	for _, name := range c.dense {
		v, ok, err := c.st.dense[name].Vector(doc, c.vector)
		if err != nil {
			c.err = err
			return
		}
		if ok {
			c.vector = v
			b = appendFloats(appendName(b, name), v)
		}
	}
	for _, name := range c.sparse {
		indices, values, ok, err := c.st.sparse[name].Vector(doc)
		if err != nil {
			c.err = err
			return
		}
		if ok {
			b = appendFloats(appendName(b, name), values)
			for _, i := range indices {
				b = le.AppendUint32(b, i)
			}
		}
	}
	c.buf = b
	c.sum.Points++
	c.sum.Sum += xxhash.Sum64(b)
}

func appendName(b []byte, name string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(name))), name...)
}

func appendFloats(b []byte, v []float32) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}
