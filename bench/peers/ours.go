package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/engine/vector"
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

func (*ours) name() string { return "sextant" }

func (s *ours) build(ctx context.Context, o options) (cost, error) {
	distance := vector.Euclid
	if s.metric == "dot" {
		distance = vector.Dot
	}
	var err error
	s.index, err = vectorindex.Open(vectorindex.Options{
		Dir: &segment.Dir{FS: fsx.OS{}, Path: s.dir},
		Config: vectorindex.Config{
			Dim: s.set.Base.Dim, Distance: distance, M: o.m, EfConstruct: o.efc, MaxIndexingThreads: o.threads,
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

func (s *ours) search(ctx context.Context, ef, k int) ([][]uint32, float64, error) {
	found := make([][]uint32, s.set.Queries.Rows())
	start := time.Now()
	for q := range found {
		hits, _, err := s.index.Search(ctx, vectorindex.Query{Vector: s.set.Queries.Row(q), K: k, Ef: ef})
		if err != nil {
			return nil, 0, err
		}
		rows := make([]uint32, len(hits))
		for i, h := range hits {
			rows[i] = h.Doc
		}
		found[q] = rows
	}
	return found, time.Since(start).Seconds(), nil
}

func (s *ours) close() error {
	if s.index == nil {
		return nil
	}
	return errors.Join(s.index.Close())
}

// cpuSeconds is the processor time of this process so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
