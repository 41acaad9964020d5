//go:build unix

package dialect

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// perCPU runs fn and reports bytes per second of processor time, which other
// programs on the machine disturb less than they disturb the clock.
func perCPU(b *testing.B, bytes int, fn func() error) {
	b.Helper()
	b.ReportAllocs()
	before, n := cpuTime(b), 0
	for b.Loop() {
		require.NoError(b, fn())
		n++
	}
	b.ReportMetric(float64(n*bytes)/1e6/(cpuTime(b)-before).Seconds(), "MB/cpu-s")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// upsertBody is what the Python client sends: points with float32 vectors
// written as float64, and a small payload.
func upsertBody(points, dim int) []byte {
	b := []byte(`{"points": [`)
	x := uint32(1)
	for i := range points {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, `{"id": %d, "vector": [`, i)
		for j := range dim {
			if j > 0 {
				b = append(b, ", "...)
			}
			x = x*1664525 + 1013904223
			b = strconv.AppendFloat(b, float64(float32(x)/float32(math.MaxInt32)-1), 'g', -1, 64)
		}
		b = fmt.Appendf(b, `], "payload": {"city": "Berlin", "count": %d, "price": 12.5, "tags": ["a", "b"], "text": "some words about point %d"}}`, i, i)
	}
	return append(b, "]}"...)
}

func BenchmarkUpsert(b *testing.B) {
	body := upsertBody(100, 768)
	perCPU(b, len(body), func() error {
		_, err := UpsertPoints(body)
		return err
	})
}

func BenchmarkQuery(b *testing.B) {
	body := upsertBody(1, 128)
	start, end := strings.Index(string(body), `"vector": `)+10, strings.Index(string(body), "]")+1
	body = fmt.Appendf(nil, `{"query": %s, "filter": {"must": [{"key": "city", "match": {"value": "Berlin"}}]}, "limit": 10, "with_payload": true}`, body[start:end])
	perCPU(b, len(body), func() error {
		_, err := QueryPoints(body)
		return err
	})
}
