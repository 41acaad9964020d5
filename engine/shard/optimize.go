package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/segment"
)

// optimizer is the background side of a shard: it indexes what has been
// written, tidies up what has been deleted, and makes checkpoints.
type optimizer struct {
	wake chan struct{}
	// logged counts the bytes of log since the last checkpoint.
	logged *budget.Unsaved
	// started says that the optimizer has looked for work since the shard was
	// opened.
	started atomic.Bool
	failure atomic.Pointer[error]

	// mu makes steps and checkpoints exclude each other, and guards the rest.
	mu sync.Mutex
	// manifest is that of the last checkpoint, attached the sum of the attachment in it.
	manifest *segment.Manifest
	attached uint64
	// last is when the last checkpoint ended, or the shard was opened, and took
	// how long it took.
	last time.Time
	took time.Duration
	// stepped says that a step has changed something since the last checkpoint.
	stepped bool
}

// poke wakes the optimizer when it sleeps. It never blocks: one wake-up is kept,
// and it stands for all that come while the optimizer works.
func (o *optimizer) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// optimizeLoop works until ctx ends: steps while there is something to do, then
// sleep until an operation has been applied. quiet means that none has for
// CheckpointIdle; when there was nothing to do then, nothing will be before the next one.
func (s *Shard) optimizeLoop(ctx context.Context) {
	idle := time.NewTimer(s.o.CheckpointIdle)
	defer idle.Stop()
	for quiet := false; ctx.Err() == nil; {
		more, err := s.optimizeOnce(ctx, quiet)
		done := quiet && !more && err == nil && s.written()
		s.optimizer.started.Store(true)
		s.fail(ctx, err)
		if more && err == nil {
			quiet = false
			continue
		}
		// The files of a shard in quarantine are left as they are, but the log has to go
		// on without it.
		if s.Err() != nil && !s.o.Replicated && s.o.Log.Holds() {
			s.fail(ctx, s.setLogAside(ctx))
		}
		if done && s.Err() == nil {
			idle.Stop()
		} else {
			idle.Reset(s.o.CheckpointIdle)
		}
		wake := s.optimizer.wake
		if err != nil {
			wake = nil // try again later, not with the next operation
		}
		select {
		case <-ctx.Done():
		case <-wake:
			quiet = false
		case <-idle.C:
			quiet = true
		}
	}
}

// optimizeOnce does one step, and a checkpoint when one is due: quiet makes it
// due when there is anything to write.
func (s *Shard) optimizeOnce(ctx context.Context, quiet bool) (more bool, err error) {
	if err := s.Err(); err != nil {
		return false, nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("optimizer panicked: %v\n%s", r, debug.Stack())
			s.quarantine(err)
		}
	}()
	if s.state.Load().optimizing() {
		if more, err = s.step(ctx); err != nil {
			return false, err
		}
	}
	if s.due(quiet && !more) {
		return more, s.checkpointAtWork(ctx)
	}
	return more, nil
}

// checkpointAtWork is checkpoint with the graphs growing meanwhile: its writer waits
// for the disk, and under a load processors would be idle until it is done.
func (s *Shard) checkpointAtWork(ctx context.Context) error {
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	defer s.docs.Pin().Release()
	end := s.stepBeside(ctx)
	_, err := s.checkpointLocked(ctx)
	if end() {
		s.optimizer.stepped = true // perhaps after its index was written
	}
	return err
}

// stepBeside begins to step the dense indexes, which may be stepped beside a
// checkpoint. What it returns ends that, and tells whether a step was done.
// optimizer.mu is held until then.
func (s *Shard) stepBeside(ctx context.Context) (end func() (stepped bool)) {
	st := s.state.Load()
	if !st.optimizing() {
		return func() bool { return false }
	}
	ctx, cancel := context.WithCancel(ctx)
	stepped := make(chan bool)
	go func() {
		steps := 0
		defer func() {
			if r := recover(); r != nil {
				s.quarantine(fmt.Errorf("optimizer panicked: %v\n%s", r, debug.Stack()))
			}
			stepped <- steps > 0
		}()
		for more := true; more && ctx.Err() == nil; {
			more = false
			for x := range maps.Values(st.dense) {
				if !x.Pending() {
					continue
				}
				again, err := s.stepIndex(ctx, x)
				if err != nil {
					return // the next step meets it again
				}
				steps++
				more = more || again
			}
		}
	}()
	return func() bool {
		cancel()
		return <-stepped
	}
}

// stepIndex lets one index do a piece of its work under a slot of the process's budget.
func (s *Shard) stepIndex(ctx context.Context, x tended) (more bool, err error) {
	release, err := s.o.Budget.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return x.Step(ctx)
}

// written tells whether there is nothing that files don't have.
func (s *Shard) written() bool {
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	return !s.optimizer.stepped && s.applied.Load() == s.Flushed().Seq
}

// due says whether it is time for a checkpoint: when nothing else is to do; when
// much log has come together, here or in all shards; and from time to time, so that not too much of a
// long build is lost. The latter two leave time between checkpoints in proportion
// to what one takes, because a graph is written as a whole: under a steady load a
// fifth of the time goes into checkpoints at most, under a trickle 5 %, and half of it when memory is short.
func (s *Shard) due(idle bool) bool {
	if s.written() {
		return false
	}
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	since, took := time.Since(s.optimizer.last), s.optimizer.took
	pressure := s.optimizer.logged.Pressure()
	return idle ||
		(pressure >= 1 || s.optimizer.logged.Load() >= s.o.CheckpointBytes) && since >= 4*took ||
		pressure >= 2 && since >= took ||
		since >= max(12*s.o.CheckpointIdle, 20*took)
}

// fail remembers a failure for Info, or that there is none any more.
func (s *Shard) fail(ctx context.Context, err error) {
	switch {
	case err == nil:
		s.optimizer.failure.Store(nil)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
	case isDamage(err):
		s.quarantine(err)
	default:
		s.optimizer.failure.Store(&err)
		s.o.Logger.ErrorContext(ctx, "optimizer failed", "dir", s.o.Dir, "error", err)
	}
}

// step lets each index that has work do a bounded piece of it. One after the other: an index uses as many processors as it
// may, and the pieces are small enough that none waits long for its turn.
func (s *Shard) step(ctx context.Context) (more bool, err error) {
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	defer s.docs.Pin().Release() // a dropped index stays open until we are done
	for name, x := range s.state.Load().tended() {
		if !x.Pending() {
			continue
		}
		again, err := s.stepIndex(ctx, x)
		// Also after an error: part of the step may have been done.
		s.optimizer.stepped = true
		if err != nil {
			return false, fmt.Errorf("optimize %s: %w", name, err)
		}
		more = more || again
	}
	return more, nil
}

// Optimize works until no index has anything left to do.
func (s *Shard) Optimize(ctx context.Context) error {
	for {
		leave, err := s.enter()
		if err != nil {
			return err
		}
		more, err := s.step(ctx)
		leave()
		if err != nil || !more {
			return err
		}
	}
}

// Checkpoint writes everything applied so far into files, makes them the shard's
// state and lets go of the log up to there.
func (s *Shard) Checkpoint(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.checkpoint(ctx)
}

// checkpoint is Checkpoint for those who are inside already.
//
// The order of its steps is what a power cut may come between: files are written
// and synced while the old manifest still counts; the new manifest takes effect in
// one step (persist); only then do the components let go of the old files, are
// those removed, and is the log shortened. A cut before leaves the old state with
// its log; one after leaves at most files and log that nobody needs.
func (s *Shard) checkpoint(ctx context.Context) error {
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	_, err := s.checkpointLocked(ctx)
	return err
}

// checkpointLocked is checkpoint for whoever holds optimizer.mu and wants to know what
// was written.
func (s *Shard) checkpointLocked(ctx context.Context) (f frozen, err error) {
	if err := s.Err(); err != nil {
		return f, err
	}
	defer s.docs.Pin().Release()
	start := time.Now()
	defer func() { s.optimizer.last, s.optimizer.took = time.Now(), time.Since(start) }()
	if err := s.between(ctx, func() { f = s.freeze(!s.optimizer.stepped) }); err != nil {
		return f, err
	}
	if err := s.persist(ctx, &f); err != nil {
		for _, name := range f.names {
			f.parts[name].Abort()
		}
		err = fmt.Errorf("write checkpoint at %d: %w", f.manifest.Seq, err)
		if isDamage(err) {
			s.quarantine(err)
		}
		return f, err
	}
	// The new manifest counts. What was logged since the freeze waits for the next
	// checkpoint, so the counter isn't set to zero.
	s.optimizer.logged.Add(-f.logged)
	s.optimizer.stepped = false
	s.flushed.Store(new(f.position()))
	s.optimizer.manifest, s.optimizer.attached = &f.manifest, xxhash.Sum64(f.attachment)
	for _, name := range f.names {
		err = errors.Join(err, f.parts[name].Commit())
	}
	return f, errors.Join(err, s.dir.RemoveDead(), s.dropAside(), s.release(f.position()))
}

// frozen is the state of a shard between two operations.
type frozen struct {
	manifest segment.Manifest              // with the files that stay
	logged   int64                         // bytes of log that it covers
	parts    map[string]segment.Checkpoint // by name in the manifest
	names    []string                      // of parts, in order
	last     *oplog.Ticket                 // of the last operation; nil when it was in the log before
	// attachment is the owner's state.
	attachment []byte
	err        error
}

// position is the one of the last operation in it.
func (f *frozen) position() oplog.Position {
	return oplog.Position{Epoch: f.manifest.Epoch, Seq: f.manifest.Seq, Chain: f.manifest.Chain}
}

// freeze is called by the applier, between two operations: what it collects is the
// state after one operation, the same in all components. It does no I/O. tidied says that
// components are as the last checkpoint has them unless an operation has changed them.
//
// When none has, all files stay, and a checkpoint is a manifest with another position: that is
// so for every shard of a node after a start or an election, which write only what belongs to
// the replication itself.
func (s *Shard) freeze(tidied bool) frozen {
	st := s.state.Load()
	f := frozen{parts: map[string]segment.Checkpoint{}, logged: s.optimizer.logged.Load(), last: s.lastLog}
	f.manifest = segment.Manifest{
		Epoch: s.at.Epoch, Seq: s.at.Seq, Chain: s.at.Chain, NextDoc: uint32(s.docs.Next()),
		Files: map[string][]segment.FileInfo{},
	}
	f.manifest.Config, f.err = encodeConfig(st)
	if old := s.optimizer.manifest; tidied && s.changed <= s.Flushed().Seq && len(old.Files[docsName]) > 0 {
		f.manifest.Files = maps.Clone(old.Files)
	} else {
		f.parts[docsName] = s.docs.Freeze()
		for name, c := range st.persistent() {
			f.parts[name] = c.Freeze()
		}
	}
	s.attach(&f)
	f.names = slices.Sorted(maps.Keys(f.parts))
	return f
}

// attach takes in the owner's state.
func (s *Shard) attach(f *frozen) {
	kept := f.manifest.Files[attachmentName]
	delete(f.manifest.Files, attachmentName)
	if s.o.Hooks.Attachment == nil {
		return
	}
	switch f.attachment = s.o.Hooks.Attachment(); {
	case len(f.attachment) == 0:
	case len(kept) > 0 && xxhash.Sum64(f.attachment) == s.optimizer.attached:
		f.manifest.Files[attachmentName] = kept
	default:
		f.parts[attachmentName] = &attachment{bytes: f.attachment}
	}
}

// persist writes a frozen state and makes it the shard's.
func (s *Shard) persist(ctx context.Context, f *frozen) error {
	if f.err != nil {
		return f.err
	}
	for _, name := range f.names {
		files, err := f.parts[name].Write(ctx, s.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.manifest.Files[name] = files
	}
	// The files must not be ahead of the log, or a power cut would leave a shard
	// that has operations which its log doesn't know.
	if f.last != nil {
		// A ticket that has failed may be of an operation that was written since.
		if err := f.last.Wait(ctx); err != nil && s.o.Log.Durable().Seq < f.manifest.Seq {
			return err
		}
	}
	return s.dir.Store(&f.manifest)
}

// allFiles lists the files of a manifest, always in the same order.
func allFiles(m *segment.Manifest) (files []segment.FileInfo) {
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		files = append(files, m.Files[name]...)
	}
	return files
}

// Verify reads every byte of the shard's files. Damage puts the shard into
// quarantine, also in parts that no query has come to.
func (s *Shard) Verify(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	readers, err := s.openAll()
	for _, r := range readers {
		if err == nil {
			s.o.Budget.Yield()
			err = r.VerifyAll(ctx)
		}
		_ = r.Close() // it was only read
	}
	return s.damage(err)
}

// openAll opens the files of the last checkpoint. They can be read after they
// have become dead.
func (s *Shard) openAll() (readers []*segment.Reader, err error) {
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	for _, info := range allFiles(s.optimizer.manifest) {
		r, err := s.dir.OpenAny(info)
		if err != nil {
			return readers, err
		}
		readers = append(readers, r)
	}
	return readers, nil
}
