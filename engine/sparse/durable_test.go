package sparse

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/fsx"
)

// operation is an Upsert, or a Delete when del is set.
type operation struct {
	doc     uint32
	indices []uint32
	values  []float32
	del     bool
}

// replica is an index with the log and the manifest that a shard would keep.
type replica struct {
	cfg  Config
	dir  *segment.Dir
	ix   *Index
	log  []operation
	open *openCheckpoint
}

type openCheckpoint struct {
	segment.Checkpoint
	seq     int
	written bool
	files   []segment.FileInfo
}

// start opens what is in a directory and replays the rest of the log.
func start(fsys fsx.FS, cfg Config, log []operation) (*replica, error) {
	r := &replica{cfg: cfg, dir: &segment.Dir{FS: fsys, Path: "/shard"}, log: log}
	m, err := r.dir.Load()
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, segment.ErrCorrupted) {
		m = &segment.Manifest{}
		err = r.dir.Store(m)
	}
	if err != nil {
		return nil, err
	}
	r.ix, err = Open(Options{Dir: r.dir, Files: m.Files["sparse"], Config: cfg})
	if err != nil {
		return nil, err
	}
	r.ix.limits = smallLimits
	for _, op := range log[m.Seq:] {
		if err := r.apply(op); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *replica) apply(op operation) error {
	if op.del {
		return r.ix.Delete(op.doc)
	}
	return r.ix.Upsert(op.doc, op.indices, op.values)
}

func (r *replica) do(op operation) error {
	r.log = append(r.log, op)
	return r.apply(op)
}

func (r *replica) freeze() { r.open = &openCheckpoint{Checkpoint: r.ix.Freeze(), seq: len(r.log)} }

func (r *replica) write() (err error) {
	r.open.files, err = r.open.Write(context.Background(), r.dir)
	r.open.written = err == nil
	return err
}

func (r *replica) commit() error {
	m := &segment.Manifest{Seq: uint64(r.open.seq), Files: map[string][]segment.FileInfo{"sparse": r.open.files}}
	if err := r.dir.Store(m); err != nil {
		return err
	}
	if err := r.open.Commit(); err != nil {
		return err
	}
	r.open = nil
	return r.dir.RemoveDead()
}

func (r *replica) abort() {
	r.open.Abort()
	r.open = nil
}

// expect returns the oracle after a log.
func expect(cfg Config, log []operation) *oracle {
	o := newOracle(cfg)
	for _, op := range log {
		if op.del {
			delete(o.docs, op.doc)
		} else {
			o.upsert(op.doc, op.indices, op.values)
		}
	}
	return o
}

// Checkpoints in their steps, background work, operations, reopening after a
// clean stop, a kill or a power cut, in any order: nothing is lost or invented.
func TestSurvivesAnything(t *testing.T) {
	const dims, maxDoc = 12, 60
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		mem := fsx.NewMem()
		require.NoError(t, mem.MkdirAll("/shard"))
		r, err := start(mem, cfg, nil)
		require.NoError(t, err)
		reopen := func(t *rapid.T, next *fsx.Mem) {
			mem = next
			r, err = start(mem, cfg, r.log)
			require.NoError(t, err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"upsert": func(t *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(t, "n") {
					op := operation{doc: rapid.Uint32Range(0, maxDoc).Draw(t, "doc")}
					op.indices, op.values = drawVector(t, dims)
					require.NoError(t, r.do(op))
				}
			},
			"delete": func(t *rapid.T) {
				require.NoError(t, r.do(operation{doc: rapid.Uint32Range(0, maxDoc).Draw(t, "doc"), del: true}))
			},
			"step": func(t *rapid.T) {
				_, err := r.ix.Step(context.Background())
				require.NoError(t, err)
			},
			"checkpoint": func(t *rapid.T) {
				switch {
				case r.open == nil:
					r.freeze()
				case !r.open.written:
					require.NoError(t, r.write())
				default:
					seq := r.open.seq
					require.NoError(t, r.commit())
					requireFiles(t, r, expect(cfg, r.log[:seq]))
				}
			},
			"abort": func(*rapid.T) {
				if r.open != nil {
					r.abort()
				}
			},
			"close": func(t *rapid.T) {
				if r.open == nil {
					require.NoError(t, r.ix.Close())
					reopen(t, mem)
				}
			},
			"kill": func(t *rapid.T) { reopen(t, mem.KillClone()) },
			"cut": func(t *rapid.T) {
				reopen(t, mem.CrashClone(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))))
			},
			"": func(t *rapid.T) {
				o := expect(cfg, r.log)
				require.Equal(t, len(o.docs), r.ix.Len())
				requireAgrees(t, r.ix, o, drawQuery(t, dims, maxDoc))
				requireVector(t, r.ix, o, rapid.Uint32Range(0, maxDoc).Draw(t, "doc"))
			},
		})
	})
}

// requireFiles compares what the manifest's files hold, without the log after
// them, with the oracle: they are one version of the index, not more or less.
func requireFiles(t tb, r *replica, o *oracle) {
	t.Helper()
	m, err := r.dir.Load()
	require.NoError(t, err)
	ix, err := Open(Options{Dir: r.dir, Files: m.Files["sparse"], Config: r.cfg})
	require.NoError(t, err)
	require.Equal(t, len(o.docs), ix.Len())
	for doc := range o.docs {
		requireVector(t, ix, o, doc)
	}
	require.NoError(t, ix.Close())
}

// Background work and deletes between Freeze and Write don't reach the files.
func TestFilesHoldTheFrozenVersion(t *testing.T) {
	mem := fsx.NewMem()
	require.NoError(t, mem.MkdirAll("/shard"))
	r, err := start(mem, Config{}, nil)
	require.NoError(t, err)
	for doc := range uint32(6) {
		require.NoError(t, r.do(operation{doc: doc, indices: []uint32{1}, values: []float32{1}}))
	}
	r.freeze()
	o := expect(r.cfg, r.log)
	require.NoError(t, r.do(operation{doc: 3, del: true}))
	settle(t, r.ix)
	require.NoError(t, r.do(operation{doc: 4, del: true}))
	require.NoError(t, r.write())
	require.NoError(t, r.commit())
	requireFiles(t, r, o)
	require.Equal(t, 4, r.ix.Len())
}

// script is a fixed life of an index with checkpoints; it stops at the first
// error and returns the log up to there.
func script(fsys fsx.FS, cfg Config) (log []operation, err error) {
	r, err := start(fsys, cfg, nil)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		op := operation{doc: uint32(rng.IntN(30)), del: i%9 == 8}
		op.indices, op.values = randomVector(rng, 10, 1+rng.IntN(4))
		if err := r.do(op); err != nil {
			return r.log, err
		}
		switch i % 20 {
		case 5, 10:
			_, err = r.ix.Step(context.Background())
		case 12:
			r.freeze()
		case 14:
			err = r.write()
		case 15:
			err = r.commit()
		}
		if err != nil {
			return r.log, err
		}
	}
	return r.log, r.ix.Close()
}

func TestEveryCrashPoint(t *testing.T) {
	cfg := Config{IDF: true}
	for n := int64(1); ; n++ {
		mem := fsx.NewMem()
		require.NoError(t, mem.MkdirAll("/shard"))
		log, err := script(fsx.NewFault(mem, fsx.StopAt(n)), cfg)
		if err == nil {
			require.Greater(t, n, int64(40))
			return
		}
		require.ErrorIs(t, err, fsx.ErrStopped)
		o := expect(cfg, log)
		for _, left := range []*fsx.Mem{mem.KillClone(), mem.CrashClone(rand.New(rand.NewPCG(uint64(n), 1)))} {
			r, err := start(left, cfg, log)
			require.NoError(t, err, "stop %d", n)
			requireAgrees(t, r.ix, o, Query{Indices: []uint32{0, 1, 2, 3}, Values: []float32{1, 2, 1, 1}, K: 100})
		}
	}
}

// A failed checkpoint leaves the index as it was, and the next one works.
func TestFailedWrite(t *testing.T) {
	mem := fsx.NewMem()
	require.NoError(t, mem.MkdirAll("/shard"))
	fault := fsx.NewFault(mem, nil)
	r, err := start(fault, Config{}, nil)
	require.NoError(t, err)
	for doc := range uint32(10) {
		require.NoError(t, r.do(operation{doc: doc, indices: []uint32{doc}, values: []float32{1}}))
	}
	fault.SetInject(func(op fsx.Op) error {
		if op.Kind == fsx.OpSync {
			return errors.New("disk says no")
		}
		return nil
	})
	r.freeze()
	require.ErrorContains(t, r.write(), "disk says no")
	r.abort()
	fault.SetInject(nil)
	r.freeze()
	require.NoError(t, r.write())
	require.NoError(t, r.commit())
	again, err := start(mem, Config{}, r.log)
	require.NoError(t, err)
	require.Equal(t, 10, again.ix.Len())
}

// A flipped byte anywhere is either harmless or reported; never a wrong answer.
func TestFlippedBytes(t *testing.T) {
	mem := fsx.NewMem()
	require.NoError(t, mem.MkdirAll("/shard"))
	r, err := start(mem, Config{IDF: true}, nil)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 200 {
		op := operation{doc: uint32(rng.IntN(150)), del: i%9 == 8}
		op.indices, op.values = randomVector(rng, 10, 1+rng.IntN(4))
		require.NoError(t, r.do(op))
	}
	r.freeze()
	require.NoError(t, r.write())
	require.NoError(t, r.commit())
	o := expect(r.cfg, r.log)
	m, err := r.dir.Load()
	require.NoError(t, err)
	q := Query{Indices: []uint32{0, 1, 2, 5}, Values: []float32{1, 2, 1, 1}, K: 1000}
	found := 0
	for _, file := range m.Files["sparse"] {
		for off := int64(0); off < file.Size; off += 1 + int64(rng.IntN(7)) {
			left := mem.KillClone()
			require.NoError(t, fsx.FlipBits(left, "/shard/"+file.Name, off, 1<<rng.IntN(8)))
			if err := tryAll(t, left, o, m.Files["sparse"], q); err != nil {
				require.True(t, errors.Is(err, segment.ErrCorrupted) || errors.Is(err, segment.ErrForeign) || errors.Is(err, segment.ErrNewer), err)
				found++
			}
		}
	}
	require.Greater(t, found, 100)
}

// tryAll opens an index and asks for everything; answers that come must be right.
func tryAll(t *testing.T, fsys fsx.FS, o *oracle, files []segment.FileInfo, q Query) error {
	t.Helper()
	ix, err := Open(Options{Dir: &segment.Dir{FS: fsys, Path: "/shard"}, Files: files, Config: Config{IDF: o.idf}})
	if err != nil {
		return err
	}
	defer func() { require.NoError(t, ix.Close()) }()
	hits, _, searchErr := ix.Search(t.Context(), q)
	if searchErr == nil {
		requireHits(t, o.search(q), hits, q.K)
	}
	for doc := range o.docs {
		indices, values, ok, err := ix.Vector(doc)
		if err != nil {
			return err
		}
		require.True(t, ok)
		for i, term := range indices {
			require.InDelta(t, o.docs[doc][term], values[i], 0)
		}
	}
	return searchErr
}

// Searches go on with the old files while a checkpoint replaces them.
func TestMappedPartsOutliveTheirView(t *testing.T) {
	mem := fsx.NewMem()
	require.NoError(t, mem.MkdirAll("/shard"))
	r, err := start(mem, Config{}, nil)
	require.NoError(t, err)
	for doc := range uint32(8) {
		require.NoError(t, r.do(operation{doc: doc, indices: []uint32{1}, values: []float32{1}}))
	}
	r.freeze()
	require.NoError(t, r.write())
	require.NoError(t, r.commit())
	snap := r.ix.snapshot([]uint32{1})
	for doc := range uint32(8) {
		require.NoError(t, r.do(operation{doc: doc, del: true}))
	}
	settle(t, r.ix)
	require.Empty(t, r.ix.view.parts)
	score, shares, err := snap.score(3, nil, []uint32{1}, []float64{1})
	require.NoError(t, err)
	require.True(t, shares)
	require.InDelta(t, 1, score, 0)
	snap.view.release()
	require.Zero(t, snap.view.parts[0].refs.Load())
}

func TestFilesOfAnotherDatatype(t *testing.T) {
	mem := fsx.NewMem()
	require.NoError(t, mem.MkdirAll("/shard"))
	r, err := start(mem, Config{Datatype: vector.Float16}, nil)
	require.NoError(t, err)
	for doc := range uint32(8) {
		require.NoError(t, r.do(operation{doc: doc, indices: []uint32{1}, values: []float32{1.0001}}))
	}
	r.freeze()
	require.NoError(t, r.write())
	require.NoError(t, r.commit())
	again, err := start(mem, Config{}, r.log)
	require.NoError(t, err)
	settle(t, again.ix)
	hits, _, err := again.ix.Search(t.Context(), Query{Indices: []uint32{1}, Values: []float32{1}, K: 1})
	require.NoError(t, err)
	require.Equal(t, []vector.Hit{{Doc: 0, Score: 1.0001}}, hits)
}
