package oplog_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// BenchmarkGroupCommit appends synced records from many writers, each with its own
// stream: what a node's disk gives to all its shards. It reports appends per
// second and the 50th and 99th percentile of the time until durable.
func BenchmarkGroupCommit(b *testing.B) {
	for _, c := range []struct{ writers, bytes int }{{1, 4096}, {16, 4096}, {64, 4096}, {256, 512}, {256, 4096}, {8, 300 << 10}} {
		b.Run(fmt.Sprintf("writers=%d/bytes=%d", c.writers, c.bytes), func(b *testing.B) {
			l, err := oplog.Open(oplog.Options{FS: fsx.OS{}, Dir: filepath.ToSlash(b.TempDir())})
			require.NoError(b, err)
			data := make([]byte, c.bytes)
			var left atomic.Int64
			left.Store(int64(b.N))
			times := make([][]time.Duration, c.writers)
			b.SetBytes(int64(c.bytes))
			b.ReportAllocs()
			b.ResetTimer()
			var group errgroup.Group
			for w := range c.writers {
				s := l.Stream(strconv.Itoa(w))
				group.Go(func() error {
					for seq := uint64(1); left.Add(-1) >= 0; seq++ {
						start := time.Now()
						if err := s.Append(1, seq, data).Wait(b.Context()); err != nil {
							return err
						}
						times[w] = append(times[w], time.Since(start))
						if seq%256 == 0 {
							if err := s.Release(seq); err != nil {
								return err
							}
						}
					}
					return nil
				})
			}
			require.NoError(b, group.Wait())
			b.StopTimer()
			all := slices.Sorted(slices.Values(slices.Concat(times...)))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
			require.NoError(b, l.Close())
		})
	}
}
