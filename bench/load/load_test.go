package load_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/bench/load"
)

// exact is a server that compares everything, and leaves out the nearest row of
// every second query.
type exact struct {
	mu      sync.Mutex
	rows    map[int][]float32
	buckets map[int]int
	asked   int
	created load.Collection
}

func (e *exact) Create(_ context.Context, c load.Collection) error {
	e.created, e.rows, e.buckets = c, map[int][]float32{}, map[int]int{}
	return nil
}

func (e *exact) Upload(_ context.Context, first int, rows dataset.Matrix, buckets []int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range rows.Rows() {
		e.rows[first+i] = rows.Row(i)
		if buckets != nil {
			e.buckets[first+i] = buckets[i]
		}
	}
	return nil
}

func (e *exact) Ready(context.Context) (bool, error) { return true, nil }

func (e *exact) Search(ctx context.Context, v []float32, k, _, below int) ([]uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := dataset.Matrix{Dim: len(v)}
	for i := range len(e.rows) {
		all.Data = append(all.Data, e.rows[i]...)
	}
	truth, err := dataset.Truth(ctx, all, dataset.Matrix{Dim: len(v), Data: v}, dataset.L2, k, func(row int) bool {
		return below == 0 || e.buckets[row] < below
	})
	if e.asked++; e.asked%2 == 0 {
		return truth[0][1:], err
	}
	return truth[0], err
}

func (e *exact) Usage(context.Context) (load.Usage, error) { return load.Usage{Resident: 7}, nil }
func (e *exact) Close() error                              { return nil }

func TestRun(t *testing.T) {
	shape := dataset.Clustered(500, 20, 4)
	shape.Clusters = 3
	set := dataset.Generate(shape)
	target := &exact{}
	report, err := load.Run(t.Context(), target, set, load.Options{
		K: 5, M: 8, Batch: 33, Efs: []int{10, 20}, Selectivities: []float64{1, 0.3}, MinSeconds: 1e-9,
	})
	require.NoError(t, err)
	require.Equal(t, load.Collection{Dim: 4, M: 8, Filtered: true}, target.created)
	require.Len(t, target.rows, 500)
	for i, row := range target.rows {
		require.Equal(t, set.Base.Row(i), row)
	}
	require.EqualValues(t, 7, report.ResidentBytes)
	require.Len(t, report.Searches, 4)
	for _, s := range report.Searches {
		require.InDelta(t, 0.9, s.Recall, 1e-9, "one of five is missing in every second answer")
		require.Positive(t, s.QPS)
		require.LessOrEqual(t, s.P50, s.P99)
	}
	for _, name := range []string{"a.svg", "a.png"} {
		require.NoError(t, report.Picture(filepath.Join(t.TempDir(), name)))
	}
}

// What no search filters by isn't uploaded, so that an upload is compared with the
// making of its index.
func TestRunWithoutFilters(t *testing.T) {
	target := &exact{}
	_, err := load.Run(t.Context(), target, dataset.Generate(dataset.Clustered(50, 2, 4)), load.Options{Efs: []int{10}, MinSeconds: 1e-9})
	require.NoError(t, err)
	require.Equal(t, load.Collection{Dim: 4}, target.created)
	require.Len(t, target.rows, 50)
	require.Empty(t, target.buckets)
}
