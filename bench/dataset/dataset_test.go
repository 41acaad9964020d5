package dataset_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/bench/dataset"
)

func small() dataset.Set {
	s := dataset.Clustered(3000, 20, 24)
	s.Clusters = 10
	return dataset.Generate(s)
}

func TestGenerateIsReproducible(t *testing.T) {
	one, two := small(), small()
	require.Equal(t, one, two)
	require.Equal(t, 3000, small().Base.Rows())
}

func TestTruthIsTheTruth(t *testing.T) {
	set := small()
	even := func(row int) bool { return row%2 == 0 }
	truth, err := dataset.Truth(t.Context(), set.Base, set.Queries, dataset.L2, 10, even)
	require.NoError(t, err)
	for q, rows := range truth {
		far := func(row uint32) float64 {
			sum := 0.0
			for i, x := range set.Base.Row(int(row)) {
				d := float64(x) - float64(set.Queries.Row(q)[i])
				sum += d * d
			}
			return sum
		}
		all := make([]uint32, 0, set.Base.Rows())
		for r := range uint32(set.Base.Rows()) {
			if even(int(r)) {
				all = append(all, r)
			}
		}
		slices.SortFunc(all, func(a, b uint32) int {
			if far(a) < far(b) {
				return -1
			}
			return 1
		})
		require.Equal(t, all[:10], rows)
	}
	require.InDelta(t, 1, dataset.Recall(truth, truth, 10), 0)
	half := slices.Clone(truth)
	for i := range half {
		half[i] = half[i][:5]
	}
	require.InDelta(t, 0.5, dataset.Recall(truth, half, 10), 1e-9)
}

func TestDuplicatesAndTails(t *testing.T) {
	s := dataset.Clustered(2000, 1, 8)
	s.Duplicates, s.HeavyTail = 300, 1.5
	set := dataset.Generate(s)
	same, norms := 0, make([]float64, 0, 2000)
	for i := range set.Base.Rows() {
		if slices.Equal(set.Base.Row(i), set.Base.Row(0)) {
			same++
		}
		sum := 0.0
		for _, x := range set.Base.Row(i) {
			sum += float64(x) * float64(x)
		}
		norms = append(norms, math.Sqrt(sum))
	}
	require.Greater(t, same, 200)
	slices.Sort(norms)
	require.Greater(t, norms[1900], 5*norms[1000])
}

func TestFilesRoundTrip(t *testing.T) {
	set := small()
	name := filepath.Join(t.TempDir(), "base.fvecs")
	require.NoError(t, dataset.WriteMatrix(name, set.Base))
	got, err := dataset.ReadMatrix(name, 0)
	require.NoError(t, err)
	require.Equal(t, set.Base, got)

	require.NoError(t, os.Truncate(name, 4+24*4+2))
	_, err = dataset.ReadMatrix(name, 0)
	require.Error(t, err)
}

func TestNpy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.npy")
	header := "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"
	raw := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	raw = append(raw, header...)
	for i := range 6 {
		bits := math.Float32bits(float32(i) / 2)
		raw = append(raw, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	require.NoError(t, os.WriteFile(name, raw, 0o600))
	m, err := dataset.ReadMatrix(name, 0)
	require.NoError(t, err)
	require.Equal(t, dataset.Matrix{Dim: 3, Data: []float32{0, 0.5, 1, 1.5, 2, 2.5}}, m)

	require.NoError(t, os.WriteFile(name, raw[:len(raw)-1], 0o600))
	_, err = dataset.ReadMatrix(name, 0)
	require.Error(t, err)
}
