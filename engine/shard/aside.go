package shard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/sextantdb/sextant/engine/oplog"
)

// A shard in quarantine makes no checkpoints, so the log of its disk could never let
// go of what the shard hasn't in files: it would grow until the disk is full, and
// take all other shards down. So the shard takes these records with it, into a
// small log in its own directory, and releases them. They are replayed from there
// when it opens again and what was wrong is over.

// asideDir is the shard's own log, damagedDir has links to the log files whose
// records of the shard couldn't be read: nobody reads them, but perhaps somebody
// wants to.
func (s *Shard) asideDir() string   { return path.Join(s.o.Dir, "log") }
func (s *Shard) damagedDir() string { return path.Join(s.o.Dir, "log.damaged") }

// asideStream is the only stream of a shard's own log.
const asideStream = "aside"

// setLogAside copies what the log has of a shard in quarantine into the shard's
// directory, and releases it.
func (s *Shard) setLogAside(ctx context.Context) error {
	// Whoever is in between comes to its end, and nobody appends after that.
	s.submitMu.Lock()
	last := s.o.Log.Last().Seq
	s.submitMu.Unlock()
	if s.o.Log.Durable().Seq < last {
		return errors.New("set log aside: its last operations aren't written yet")
	}
	err := s.copyLog(ctx, max(s.o.Log.First(), s.Flushed().Seq+1))
	if errors.Is(err, oplog.ErrCorrupted) {
		err = s.o.Log.Keep(s.damagedDir())
	}
	if err != nil {
		return fmt.Errorf("set log aside: %w", err)
	}
	s.o.Logger.WarnContext(ctx, "the log of a shard in quarantine was moved into its directory", "dir", s.o.Dir, "last", last)
	return s.o.Log.Release(last)
}

// copyLog copies the log from a sequence on. What an earlier attempt has copied stays.
func (s *Shard) copyLog(ctx context.Context, from uint64) (err error) {
	aside, err := oplog.Open(oplog.Options{FS: s.o.FS, Dir: s.asideDir()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, aside.Close()) }()
	to := aside.Stream(asideStream)
	if have := to.Last().Seq; have >= from {
		from = have + 1
	} else if have+1 < from {
		// Nothing, or what is left from an earlier quarantine that is over.
		before := s.Flushed()
		if before.Seq != from-1 {
			if before, err = s.o.Log.At(ctx, from-1); err != nil {
				return err
			}
		}
		if err := to.Reset(ctx, before); err != nil {
			return err
		}
	}
	var ticket *oplog.Ticket
	err = s.o.Log.Read(ctx, from, func(r oplog.Record) error {
		ticket = to.Append(r.Epoch, r.Seq, r.Data)
		return ticket.Err()
	})
	if ticket != nil {
		err = errors.Join(err, ticket.Wait(ctx))
	}
	return err
}

// readLog reads the log from a sequence on: first what was set aside, if the log
// has released it.
func (s *Shard) readLog(ctx context.Context, from uint64, fn func(oplog.Record) error) (err error) {
	first := s.o.Log.First()
	if from >= first {
		return s.o.Log.Read(ctx, from, fn)
	}
	if !s.aside {
		return s.o.Log.Read(ctx, from, fn) // which tells what is wrong
	}
	aside, err := oplog.Open(oplog.Options{FS: s.o.FS, Dir: s.asideDir()})
	if err != nil {
		return fmt.Errorf("log that was set aside: %w", err)
	}
	defer func() { err = errors.Join(err, aside.Close()) }()
	next := from
	err = aside.Stream(asideStream).Read(ctx, from, func(r oplog.Record) error {
		if r.Seq >= first {
			return nil
		}
		next = r.Seq + 1
		return fn(r)
	})
	if err != nil {
		return fmt.Errorf("log that was set aside: %w", err)
	}
	if next < first {
		return fmt.Errorf("log that was set aside: ends at %d before %d: %w", next-1, first-1, oplog.ErrCorrupted)
	}
	return s.o.Log.Read(ctx, first, fn)
}

// hasAside tells whether there is a log that was set aside.
func (s *Shard) hasAside() (bool, error) {
	_, err := s.o.FS.Stat(s.asideDir())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// dropAside removes what was set aside, when a checkpoint has all of it.
func (s *Shard) dropAside() error {
	if !s.aside {
		return nil
	}
	s.aside = false
	return errors.Join(s.o.FS.RemoveAll(s.asideDir()), s.o.FS.RemoveAll(s.damagedDir()))
}
