package quantization_test

import (
	"fmt"
	"testing"

	"github.com/sextantdb/sextant/engine/quantization"
	"github.com/sextantdb/sextant/engine/vector"
)

func BenchmarkCodec(b *testing.B) {
	for _, config := range []quantization.Config{
		{}, {Method: quantization.Turbo}, {Method: quantization.Binary}, {Method: quantization.Binary, Encoding: quantization.TwoBits},
	} {
		for _, dim := range []int{128, 768, 1536} {
			d := clustered(dim, 1000, 1)
			e := encode(b, d, vector.Euclid, config)
			q, encoder := e.codec.NewQuery(e.store.Rows()), e.codec.NewEncoder()
			ids, out := make([]uint32, 32), make([]float32, 1000)
			for i := range ids {
				ids[i] = uint32(i * 31 % 1000)
			}
			for _, f := range []struct {
				name string
				call func()
			}{
				{"encode", func() { encoder.Encode(d.rows[0], e.store.Rows(), 0) }},
				{"prepare", func() { q.Prepare(d.queries[0]) }},
				{"prepare_row", func() { q.PrepareRow(3) }},
				{"score32", func() { q.Score(ids, out) }},
				{"scan1000", func() { q.ScoreRange(0, out) }},
			} {
				b.Run(fmt.Sprintf("%s/%s/%d", e.codec.Kind(), f.name, dim), func(b *testing.B) {
					for b.Loop() {
						f.call()
					}
				})
			}
		}
	}
}
