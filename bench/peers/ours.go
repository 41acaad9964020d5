package main

import (
	"context"
	"syscall"
	"time"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/engine/vectorindex"
	"github.com/sextantdb/sextant/internal/fsx"
)

// ours is the dense index of this engine, as a shard uses it.
type ours struct {
	dir    string
	set    dataset.Set
	metric string
	index  *vectorindex.Index
}

func (*ours) name() string    { return "sextant" }
func (*ours) version() string { return tier() }

// tier names the kernels that this machine gets.
func tier() string { return distance.Detect().Tier().String() }

func (s *ours) build(ctx context.Context, o options) (cost, error) {
	kind := map[string]vector.Distance{"l2": vector.Euclid, "dot": vector.Dot, "cosine": vector.Cosine}[s.metric]
	fs := fsx.OS{}
	if err := fs.MkdirAll(s.dir); err != nil {
		return cost{}, err
	}
	var err error
	s.index, err = vectorindex.Open(vectorindex.Options{
		Dir: &segment.Dir{FS: fs, Path: s.dir},
		Config: vectorindex.Config{
			Dim: s.set.Base.Dim, Distance: kind, M: o.m, EfConstruct: o.efc, MaxIndexingThreads: o.threads,
		},
		Seed: 7,
	})
	if err != nil {
		return cost{}, err
	}
	cpu, start := cpuSeconds(), time.Now()
	for row := range s.set.Base.Rows() {
		if err := s.index.Upsert(uint32(row), s.set.Base.Row(row)); err != nil {
			return cost{}, err
		}
	}
	for more := true; more; {
		if more, err = s.index.Step(ctx); err != nil {
			return cost{}, err
		}
	}
	return cost{CPU: cpuSeconds() - cpu, Wall: time.Since(start).Seconds()}, nil
}

// settings are the ef alone: how many candidates are compared again is the
// index's business.
func (*ours) settings(ef, _ int) []setting { return []setting{{Ef: ef}} }

func (s *ours) search(ctx context.Context, how setting, k int) (answers, error) {
	found := make([][]uint32, s.set.Queries.Rows())
	cpu, start := cpuSeconds(), time.Now()
	for q := range found {
		hits, _, err := s.index.Search(ctx, vectorindex.Query{Vector: s.set.Queries.Row(q), K: k, Ef: how.Ef})
		if err != nil {
			return answers{}, err
		}
		rows := make([]uint32, len(hits))
		for i, h := range hits {
			rows[i] = h.Doc
		}
		found[q] = rows
	}
	return answers{found: found, wall: time.Since(start).Seconds(), cpu: cpuSeconds() - cpu}, nil
}

func (s *ours) close() error {
	if s.index == nil {
		return nil
	}
	return s.index.Close()
}

// cpuSeconds is the processor time of this process so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
