// Package shard is one local shard replica: an operation log, a document store
// and its secondary indexes, and the optimizer that tends them.
//
// Callers: cluster/coordinator (through cluster/replication) submits operations
// and reads. Each operation is appended to the log and applied, in the log's
// order, by one goroutine; what it depends on (filters of deletes and updates,
// conditions of upserts) is evaluated when it is applied, by rules that depend
// on nothing but the log up to it, so that all replicas agree. DESIGN.md tells
// the life of an operation.
package shard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/semaphore"

	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/docstore"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/arena"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Options says where a shard is and how it works. The zero value of a field is
// its default, unless it says otherwise.
type Options struct {
	// FS is the file system, Dir the shard's own directory on it, which is made
	// when missing. Both are required.
	FS  fsx.FS
	Dir string
	// Log is the shard's stream in the log of its disk. Required, except in replicated
	// form. The shard is the only one to append to it while it is open.
	Log *oplog.Stream
	// Epoch is the leadership term under which operations are appended.
	Epoch uint64
	// Replicated makes the shard one copy of several: it neither appends to a log nor
	// reads one. Open brings it to where its files are, and its owner gives it the
	// entries after that (Apply) when they are committed and durable. Log and Epoch mean
	// nothing then.
	Replicated bool
	// Hooks connect a replicated shard with its owner.
	Hooks Hooks
	// Config is the configuration of a new shard, with all defaults filled in;
	// nil is one without vectors. An existing shard has its own, which SetConfig
	// changes; this one is then ignored.
	Config *pb.CollectionConfig
	// Kernels compare vectors; nil detects them.
	Kernels *distance.Kernels
	// Budget is the processor time shared with other shards; nil is unlimited.
	Budget *budget.Budget
	// Account counts the memory outside the heap; nil counts nothing.
	Account *arena.Account
	// Logger is where the shard reports what no caller hears; nil is silent.
	Logger *slog.Logger
	// Seed makes what the optimizer builds reproducible.
	Seed uint64

	// QueueBytes bounds the operations that are appended but not applied, 64 MiB
	// by default. Submit waits for room.
	QueueBytes int64
	// CheckpointBytes is how much log makes a checkpoint due, 64 MiB by default.
	CheckpointBytes int64
	// CheckpointIdle is after how much time without operations what is in the log
	// alone is written to files, 5 s by default. With operations it happens after
	// twelve times that, or later when checkpoints take long.
	CheckpointIdle time.Duration
	// Manual leaves optimizing and checkpoints to calls of Optimize and
	// Checkpoint. For tests, and tools that must not write.
	Manual bool

	// docNumbers is for tests: how many document numbers there are.
	docNumbers uint64
}

func (o *Options) setDefaults() {
	if o.Config == nil {
		o.Config = &pb.CollectionConfig{}
	}
	if o.Kernels == nil {
		o.Kernels = distance.Detect()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = 64 << 20
	}
	if o.CheckpointBytes <= 0 {
		o.CheckpointBytes = 64 << 20
	}
	if o.CheckpointIdle <= 0 {
		o.CheckpointIdle = 5 * time.Second
	}
}

// Shard is an open shard replica. Its methods are safe for concurrent use.
//
// Locks, in the order in which they may be taken: use (for reading), optimizer.mu.
// submitMu is never held together with another. None is held by the applier.
type Shard struct {
	o    Options
	dir  *segment.Dir
	docs *docstore.Store

	// state says which components there are. The applier replaces it.
	state atomic.Pointer[state]
	// broken is why the shard is in quarantine: nothing is read or applied.
	broken atomic.Pointer[error]

	room *semaphore.Weighted // bytes of the queue
	// submitMu guards tail and closed, and keeps log and queue in one order.
	submitMu sync.Mutex
	tail     oplog.Position // of the last operation queued
	closed   bool
	queue    chan *Ticket
	queued   atomic.Int64
	// calls are functions that the applier runs between two operations.
	calls       chan func()
	applierDone chan struct{}
	applied     atomic.Uint64  // sequence of the last applied operation
	at          oplog.Position // its position; the applier's
	lastLog     *oplog.Ticket  // its ticket; the applier's
	changed     uint64         // sequence of the last one that may have changed a component; the applier's
	waiters     waiters        // for applied
	// flushed is the position of the last checkpoint.
	flushed atomic.Pointer[oplog.Position]
	// attachment is what Open has found of the owner's state.
	attachment []byte
	// scanning is the checksum that is being computed, if one is.
	scanning atomic.Pointer[scan]
	exports  atomic.Uint64 // counts exports, for their names
	// changes counts beginnings and ends of applications: it is odd during one.
	changes atomic.Uint64
	filters filterCache

	optimizer optimizer
	aside     bool           // a log was set aside; belongs to Open, then to checkpoints
	workers   sync.WaitGroup // the optimizer
	// background is the context of what the shard does by itself; stop ends it.
	background context.Context
	stop       context.CancelFunc
	// use counts reads, so that Close waits for them.
	use sync.RWMutex
	// shut is set when the components are closed; guarded by use.
	shut      bool
	closeDone chan struct{}
}

// Open opens the shard in o.Dir, or creates it: it reads the manifest, opens the
// components and applies the log from the manifest's position.
//
// When files or log are damaged it returns a shard in quarantine and no error:
// Err tells why, every call refuses, and the other shards of the process work.
func Open(ctx context.Context, o Options) (*Shard, error) {
	o.setDefaults()
	s := &Shard{
		o: o, dir: &segment.Dir{FS: o.FS, Path: o.Dir},
		room: semaphore.NewWeighted(o.QueueBytes),
		// Every ticket takes at least minWeight of the room, so there are never more.
		queue: make(chan *Ticket, o.QueueBytes/minWeight+1), calls: make(chan func()),
		applierDone: make(chan struct{}), closeDone: make(chan struct{}),
	}
	s.state.Store(&state{})
	s.flushed.Store(&oplog.Position{})
	s.background, s.stop = context.WithCancel(context.Background())
	s.optimizer.wake, s.optimizer.last = make(chan struct{}, 1), time.Now()
	s.optimizer.logged = o.Budget.Unsaved()
	switch err := s.recover(ctx); {
	case err == nil:
	case isDamage(err):
		s.quarantine(err)
	default:
		s.stop()
		s.closeComponents()
		return nil, fmt.Errorf("open shard %s: %w", o.Dir, err)
	}
	if opened := o.Hooks.Opened; opened != nil && s.Err() == nil {
		if err := opened(s.attachment); err != nil {
			s.stop()
			s.closeComponents()
			return nil, fmt.Errorf("open shard %s: %w", o.Dir, err)
		}
	}
	go s.applyLoop()
	if !o.Manual {
		s.workers.Go(func() { s.optimizeLoop(s.background) })
	}
	return s, nil
}

// isDamage tells bytes that can't be trusted from failures of the moment.
func isDamage(err error) bool {
	return errors.Is(err, segment.ErrCorrupted) || errors.Is(err, oplog.ErrCorrupted) ||
		errors.Is(err, segment.ErrForeign) || errors.Is(err, segment.ErrNewer)
}

// recover opens what the manifest names, and brings a shard that has a log to its end.
func (s *Shard) recover(ctx context.Context) error {
	m, err := s.manifest()
	if err != nil {
		return err
	}
	if err := s.openComponents(m); err != nil {
		return err
	}
	s.at = oplog.Position{Epoch: m.Epoch, Seq: m.Seq, Chain: m.Chain}
	s.applied.Store(m.Seq)
	s.flushed.Store(new(s.at))
	s.optimizer.manifest = m
	if err := s.dropExports(); err != nil {
		return err
	}
	if s.o.Replicated {
		s.attachment, err = s.readAttachment(m)
		s.optimizer.attached = xxhash.Sum64(s.attachment)
	} else {
		err = s.catchUp(ctx)
	}
	s.tail = s.at
	return err
}

// catchUp brings the shard to the end of its log: the operations after the manifest's
// are applied by the same code as the first time, which makes the same documents with
// the same numbers.
func (s *Shard) catchUp(ctx context.Context) (err error) {
	if s.aside, err = s.hasAside(); err != nil {
		return err
	}
	last := s.o.Log.Last()
	if last.Seq > s.at.Seq {
		err := s.replay(ctx, s.at.Seq+1)
		if errors.Is(err, oplog.ErrReleased) {
			err = fmt.Errorf("%w: %w", oplog.ErrCorrupted, err) // nobody released what files lack
		}
		if err != nil {
			return fmt.Errorf("replay log: %w", err)
		}
	}
	// A log that has lost its end, or something else in its place, has lost what came after it, too.
	if s.at.Seq > last.Seq && last.Seq > 0 || s.at.Seq == last.Seq && s.at.Chain != last.Chain && s.at.Chain != 0 {
		return fmt.Errorf("files end with operation %v, the log with %v: %w", s.at, last, oplog.ErrCorrupted)
	}
	// The stream knows its end before its records are read. A log that ends
	// earlier has lost operations that somebody was told are safe.
	if s.at.Seq < last.Seq {
		return fmt.Errorf("replay log: ends at %d before %d: %w", s.at.Seq, last.Seq, oplog.ErrCorrupted)
	}
	// Manifests of earlier versions have no chain value.
	if s.at.Seq == last.Seq {
		s.at = last
	}
	return nil
}

// manifest loads the manifest, or stores the first one.
func (s *Shard) manifest() (*segment.Manifest, error) {
	if err := s.o.FS.MkdirAll(s.o.Dir); err != nil {
		return nil, err
	}
	m, err := s.dir.Load()
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	// A bad configuration must fail before it is stored: no start would get past it.
	if _, err := NewSchema(s.o.Config); err != nil {
		return nil, err
	}
	config, err := encodeConfig(&state{config: s.o.Config})
	if err != nil {
		return nil, err
	}
	m = &segment.Manifest{Config: config}
	return m, s.dir.Store(m)
}

// replay applies the log from a sequence on. Sequences have no gaps, so one that
// isn't the next is damage, even where every checksum is right.
func (s *Shard) replay(ctx context.Context, from uint64) error {
	want := from
	return s.readLog(ctx, from, func(r oplog.Record) error {
		if r.Seq != want {
			return fmt.Errorf("operation %d where %d should be: %w", r.Seq, want, oplog.ErrCorrupted)
		}
		want++
		op, err := DecodeOp(r.Data)
		if err != nil {
			// A record whose checksum is right: written by a newer version.
			return fmt.Errorf("operation %d: %w: %w", r.Seq, err, segment.ErrNewer)
		}
		s.optimizer.logged.Add(int64(len(r.Data)))
		_ = s.apply(r.Position, op) // whoever submitted it has heard the result, or nobody will
		return s.Err()
	})
}

// quarantine takes the shard out of service.
func (s *Shard) quarantine(err error) {
	err = apierror.New(apierror.Unavailable, "shard is in quarantine: %w", err)
	if s.broken.CompareAndSwap(nil, &err) {
		s.o.Logger.Error("shard is in quarantine", "dir", s.o.Dir, "error", err)
		s.waiters.wake(math.MaxUint64)
	}
}

// Err returns why the shard is in quarantine, nil when it isn't.
func (s *Shard) Err() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

var errClosed = apierror.New(apierror.Unavailable, "shard is closed")

// enter begins a use of the components. The returned function ends it.
//
// use keeps all of them open, because Close takes it for writing before it closes
// anything; the pin keeps open what a change of configuration drops meanwhile.
func (s *Shard) enter() (leave func(), err error) {
	s.use.RLock()
	if s.shut {
		s.use.RUnlock()
		return nil, errClosed
	}
	if err := s.Err(); err != nil {
		s.use.RUnlock()
		return nil, err
	}
	pin := s.docs.Pin()
	return func() {
		pin.Release()
		s.use.RUnlock()
	}, nil
}

// enterRead is enter for a query, to which background work gives way.
func (s *Shard) enterRead() (func(), error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	s.o.Budget.Begin()
	return func() {
		s.o.Budget.End()
		leave()
	}, nil
}

// Close applies what is queued, writes a last checkpoint and releases
// everything. It is idempotent. A shard that isn't closed loses nothing that
// was acknowledged. The log stays open: it isn't the shard's.
func (s *Shard) Close() error {
	s.submitMu.Lock()
	first := !s.closed
	if s.closed = true; first {
		close(s.queue)
	}
	s.submitMu.Unlock()
	if !first {
		<-s.closeDone
		return nil
	}
	// One after the other: nothing new is queued, the optimizer ends, the queue is
	// applied to its end, all of it is written, and the last reader leaves.
	defer close(s.closeDone)
	s.stop()
	s.workers.Wait()
	<-s.applierDone
	var err error
	if s.Err() == nil {
		err = s.checkpoint(context.Background())
	}
	s.use.Lock()
	defer s.use.Unlock()
	s.shut = true
	s.closeComponents()
	return err
}
