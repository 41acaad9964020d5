package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// twoVectors has a dense and a sparse name.
func twoVectors() *pb.CollectionConfig {
	c := singleVector(3, pb.Distance_Cosine)
	c.Params.SparseVectorsConfig = &pb.SparseVectorConfig{Map: map[string]*pb.SparseVectorParams{"s": {}}}
	c.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: new(uint64(1)), VacuumMinVectorNumber: new(uint64(10))}
	return c
}

// full is a point with everything that a checksum covers.
func full(n int, rng *rand.Rand) *pb.PointStruct {
	return numbered(n, &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{Vectors: &pb.NamedVectors{Vectors: map[string]*pb.Vector{
		"":  dense(rng.Float32(), rng.Float32(), 1).GetVector(),
		"s": {Vector: &pb.Vector_Sparse{Sparse: &pb.SparseVector{Indices: []uint32{uint32(rng.IntN(9))}, Values: []float32{1}}}},
	}}}})
}

func ids(from, to int) *pb.PointsSelector {
	list := &pb.PointsIdsList{}
	for i := from; i < to; i++ {
		list.Ids = append(list.Ids, point.Num(uint64(i)).Proto())
	}
	return &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Points{Points: list}}
}

// everyChange has an operation of each kind that changes points, on points of which many
// are there.
func everyChange(t *testing.T, rng *rand.Rand) []Op {
	t.Helper()
	set := func(op func(*pb.SetPayloadPoints) (Op, error), from int) Op {
		out, err := op(&pb.SetPayloadPoints{
			PointsSelector: ids(from, from+20), Payload: map[string]*pb.Value{"x": pb.NewValueInt(rng.Int64())},
		})
		require.NoError(t, err)
		return out
	}
	var again []*pb.PointStruct
	for i := range 20 {
		again = append(again, full(10*i, rng))
	}
	return []Op{
		upsertOf(t, again...), upsertOf(t, full(1000, rng), full(1001, rng)),
		Delete(&pb.DeletePoints{Points: ids(20, 40)}), upsertOf(t, full(25, rng)),
		set(SetPayload, 40), set(OverwritePayload, 60),
		DeletePayload(&pb.DeletePayloadPoints{PointsSelector: ids(80, 100), Keys: []string{"n"}}),
		ClearPayload(&pb.ClearPayloadPoints{Points: ids(100, 120)}),
		UpdateVectors(&pb.UpdatePointVectors{Points: []*pb.PointVectors{
			{Id: point.Num(121).Proto(), Vectors: full(0, rng).GetVectors()}, {Id: point.Num(122).Proto(), Vectors: dense(1, 2, 3)},
		}}),
		DeleteVectors(&pb.DeletePointVectors{PointsSelector: ids(130, 140), Vectors: &pb.VectorsSelector{Names: []string{"s"}}}),
		DeleteVectors(&pb.DeletePointVectors{PointsSelector: ids(140, 150), Vectors: &pb.VectorsSelector{Names: []string{""}}}),
	}
}

func upload(t *testing.T, rng *rand.Rand, n int) Op {
	t.Helper()
	var points []*pb.PointStruct
	for i := range n {
		points = append(points, full(i, rng))
	}
	return upsertOf(t, points...)
}

// A checksum is that of the state after one operation, whatever is applied, built,
// written and dropped while it is made, and whichever documents were read before.
func TestChecksumOfAMoment(t *testing.T) {
	for _, steps := range []int{0, 1, 2, 3} {
		t.Run(fmt.Sprint("steps=", steps), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			s := replicated(t, fsx.NewMem(), Options{Config: twoVectors()})
			applyAll(t, s, entry(t, 1, 1, upload(t, rng, 200)), entry(t, 1, 2, Delete(&pb.DeletePoints{Points: ids(150, 160)})))
			want, err := s.Checksum(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 190, want.Points)
			require.Equal(t, oplog.Position{Epoch: 1, Seq: 2, Chain: 102}, want.Position)

			var c *scan
			require.NoError(t, s.between(t.Context(), func() { c, err = s.beginScan() }))
			require.NoError(t, err)
			for range steps {
				require.True(t, c.step())
			}
			_, err = s.Checksum(t.Context())
			require.Equal(t, apierror.Unavailable, apierror.KindOf(err), "one at a time")
			seq := uint64(2)
			for range 2 {
				for _, op := range everyChange(t, rng) {
					seq++
					applyAll(t, s, entry(t, 1, seq, op))
				}
				require.NoError(t, s.Checkpoint(t.Context()))
				require.NoError(t, s.Optimize(t.Context()))
			}
			seq++
			applyAll(t, s, entry(t, 1, seq, SetConfig(singleVector(3, pb.Distance_Cosine)))) // without "s"
			require.NoError(t, s.Checkpoint(t.Context()))
			got, err := c.run(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, got)
			after, err := s.Checksum(t.Context())
			require.NoError(t, err)
			require.NotEqual(t, want.Sum, after.Sum)
		})
	}
}

// Every part of a point counts: replicas that differ in one of them disagree, and those
// that got the same operations agree.
func TestChecksumTellsDifferences(t *testing.T) {
	base := func() *pb.PointStruct { return full(7, rand.New(rand.NewPCG(9, 9))) }
	variants := map[string]func(p *pb.PointStruct){
		"same":    func(*pb.PointStruct) {},
		"id":      func(p *pb.PointStruct) { p.Id = point.Num(8).Proto() },
		"payload": func(p *pb.PointStruct) { p.Payload["n"] = pb.NewValueInt(6) },
		"key":     func(p *pb.PointStruct) { p.Payload["m"] = p.Payload["n"]; delete(p.Payload, "n") },
		"dense":   func(p *pb.PointStruct) { p.Vectors.GetVectors().Vectors[""].GetDense().Data[1] += 1e-3 },
		"no dense": func(p *pb.PointStruct) {
			delete(p.Vectors.GetVectors().Vectors, "")
		},
		"weight":    func(p *pb.PointStruct) { p.Vectors.GetVectors().Vectors["s"].GetSparse().Values[0] = 2 },
		"index":     func(p *pb.PointStruct) { p.Vectors.GetVectors().Vectors["s"].GetSparse().Indices[0] = 12 },
		"no sparse": func(p *pb.PointStruct) { delete(p.Vectors.GetVectors().Vectors, "s") },
	}
	sums := map[uint64]string{}
	for name, change := range variants {
		p := base()
		change(p)
		for twice := range 2 {
			s := replicated(t, fsx.NewMem(), Options{Config: twoVectors()})
			applyAll(t, s, entry(t, 1, 1, upsertOf(t, p)))
			got, err := s.Checksum(t.Context())
			require.NoError(t, err)
			if twice == 0 {
				require.NotContains(t, sums, got.Sum, "%s", name)
			}
			sums[got.Sum] = name
			applyAll(t, s, entry(t, 1, 2, upsertOf(t, p)))
			later, err := s.Checksum(t.Context())
			require.NoError(t, err)
			require.NotEqual(t, got.Sum, later.Sum, "the version counts")
			require.EqualValues(t, 1, later.Points)
		}
	}
	require.Len(t, sums, len(variants))
}

// Entries that ask for it give the checksum of the state after them: replicas with
// different lives agree on each, also when one of them goes on without waiting.
func TestChecksumEntries(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	entries := []Entry{entry(t, 1, 1, upload(t, rng, 500))}
	for range 6 {
		for _, op := range everyChange(t, rng) {
			entries = append(entries, entry(t, 1, uint64(len(entries)+1), op))
		}
		e := entry(t, 1, uint64(len(entries)+1), Op{})
		e.Checksum = true
		entries = append(entries, e)
	}
	restless := replicatedRestless(t, entries)
	calm := replicated(t, fsx.NewMem(), Options{Config: twoVectors()})
	var want []Checksum
	for _, e := range entries {
		ticket, err := calm.Apply(t.Context(), e)
		require.NoError(t, err)
		if e.Checksum {
			sum, err := ticket.Checksum(t.Context())
			require.NoError(t, err)
			require.Equal(t, e.Position, sum.Position)
			want = append(want, sum)
		}
	}
	require.Equal(t, want, restless)
	ticket, err := calm.Apply(t.Context(), entry(t, 1, uint64(len(entries)+1), Op{}))
	require.NoError(t, err)
	_, err = ticket.Checksum(t.Context())
	require.Error(t, err, "not asked for")
}

// replicatedRestless applies entries to a shard that is checkpointed, optimized and
// opened again all the time, and returns the checksums.
func replicatedRestless(t *testing.T, entries []Entry) (sums []Checksum) {
	t.Helper()
	mem := fsx.NewMem()
	o := Options{Config: twoVectors(), FS: mem, Dir: "shard", Replicated: true, CheckpointBytes: 1, CheckpointIdle: 1}
	open := func() *Shard {
		s, err := Open(t.Context(), o)
		require.NoError(t, err)
		return s
	}
	s := open()
	var pending *Ticket
	for i, e := range entries {
		if e.Checksum && pending != nil {
			sum, err := pending.Checksum(t.Context())
			require.NoError(t, err)
			sums = append(sums, sum)
		}
		ticket, err := s.Apply(t.Context(), e)
		require.NoError(t, err)
		if e.Checksum {
			pending = ticket
		}
		if i%17 == 16 && pending != nil {
			sum, err := pending.Checksum(t.Context())
			require.NoError(t, err)
			sums = append(sums, sum)
			pending = nil
			require.NoError(t, s.Close())
			s = open()
		}
	}
	if pending != nil {
		sum, err := pending.Checksum(t.Context())
		require.NoError(t, err)
		sums = append(sums, sum)
	}
	require.NoError(t, s.Close())
	return sums
}

// A checksum ends with its context, or the shard, and the next one works.
func TestChecksumEnds(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	s := replicated(t, fsx.NewMem(), Options{Config: twoVectors()})
	applyAll(t, s, entry(t, 1, 1, upload(t, rng, 300)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Checksum(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Checksum(t.Context())
	require.NoError(t, err)

	e := entry(t, 1, 2, Op{})
	e.Checksum = true
	ticket, err := s.Apply(t.Context(), e)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	if _, err := ticket.Checksum(t.Context()); err != nil {
		require.Truef(t, errors.Is(err, context.Canceled) || apierror.KindOf(err) == apierror.Unavailable, "%v", err)
	}
	_, err = s.Checksum(t.Context())
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
}

// A checksum reads what is stored, so it finds bytes that have rotted, and says so
// rather than give another sum.
func TestChecksumFindsDamage(t *testing.T) {
	mem := fsx.NewMem()
	s := replicated(t, mem, Options{Config: twoVectors()})
	applyAll(t, s, entry(t, 1, 1, upload(t, rand.New(rand.NewPCG(5, 5)), 300)))
	want, err := s.Checksum(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	files, err := mem.ReadDir("shard")
	require.NoError(t, err)
	for _, f := range files {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			copied := mem.KillClone()
			info, err := f.Info()
			require.NoError(t, err)
			require.NoError(t, fsx.FlipBits(copied, "shard/"+f.Name(), rng.Int64N(info.Size()), 1<<rng.IntN(8)))
			again, err := Open(t.Context(), Options{FS: copied, Dir: "shard", Replicated: true, Manual: true})
			require.NoError(t, err)
			got, err := again.Checksum(t.Context())
			if err == nil {
				require.Equal(t, want, got, f.Name())
			} else {
				require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
			}
			_ = again.Close()
		}
	}
}
