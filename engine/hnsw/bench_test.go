package hnsw

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/sextantdb/sextant/engine/vector/distance"
)

// BenchmarkPool inserts distances in random order, as a walk does.
func BenchmarkPool(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	distances := make([]float32, 1<<16)
	for i := range distances {
		distances[i] = rng.Float32()
	}
	for _, limit := range []int{12, 32, 200, 1000, 4000} {
		b.Run(strconv.Itoa(limit), func(b *testing.B) {
			p := pool{kernels: distance.Detect()}
			p.reset(limit)
			for i := 0; b.Loop(); i++ {
				if len(p.items) == limit {
					p.items = p.items[:limit/2] // so that each is near enough
				}
				p.insert(Candidate{Distance: distances[i%len(distances)], Row: uint32(i)})
			}
		})
	}
}

// BenchmarkGather gathers the lists of a narrow search, in which half of the rows were
// seen before.
func BenchmarkGather(b *testing.B) {
	const bound, rows, hops, links = 300_000, 260, 13, 32
	rng := rand.New(rand.NewPCG(1, 2))
	met := make([]uint32, rows)
	for i := range met {
		met[i] = rng.Uint32N(bound)
	}
	lists := make([][]uint32, hops)
	for i := range lists {
		for range links {
			lists[i] = append(lists[i], met[rng.IntN(rows)])
		}
	}
	m := newMarks(bound)
	for b.Loop() {
		for _, l := range lists {
			m.gather(l)
		}
		m.reset()
	}
}
