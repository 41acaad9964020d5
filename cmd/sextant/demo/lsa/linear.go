package lsa

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// entry is an element of a sparse row.
type entry struct {
	term   int32
	weight float32
}

// sparseMatrix is a matrix by rows, of which there are len(offsets)-1.
type sparseMatrix struct {
	offsets []int
	entries []entry
	columns int
}

// times returns the product with a dense matrix.
func (s *sparseMatrix) times(q *mat.Dense) *mat.Dense {
	_, width := q.Dims()
	out := mat.NewDense(len(s.offsets)-1, width, nil)
	// Never cancelled, so it can't fail.
	_ = parallel(context.Background(), len(s.offsets)-1, func(i int) {
		to := out.RawRowView(i)
		for _, e := range s.entries[s.offsets[i]:s.offsets[i+1]] {
			w := float64(e.weight)
			for j, x := range q.RawRowView(int(e.term)) {
				to[j] += w * x
			}
		}
	})
	return out
}

// transposedTimes returns the product of the transposed matrix with a dense one.
// Workers share the columns of the result, so that sums have one order.
func (s *sparseMatrix) transposedTimes(y *mat.Dense) *mat.Dense {
	_, width := y.Dims()
	out := mat.NewDense(s.columns, width, nil)
	const strip = 32
	// Never cancelled, so it can't fail.
	_ = parallel(context.Background(), (width+strip-1)/strip, func(n int) {
		from, to := n*strip, min((n+1)*strip, width)
		for i := range len(s.offsets) - 1 {
			row := y.RawRowView(i)[from:to]
			for _, e := range s.entries[s.offsets[i]:s.offsets[i+1]] {
				w := float64(e.weight)
				sum := out.RawRowView(int(e.term))[from:to]
				for j, x := range row {
					sum[j] += w * x
				}
			}
		}
	})
	return out
}

// gaussian returns a matrix of independent normal numbers.
func gaussian(rows, columns int, seed uint64) *mat.Dense {
	r := rand.New(rand.NewPCG(seed, 0x5e87a47))
	data := make([]float64, rows*columns)
	for i := range data {
		data[i] = r.NormFloat64()
	}
	return mat.NewDense(rows, columns, data)
}

var errDecomposition = errors.New("matrix decomposition failed")

// orthonormalize makes the columns of a tall matrix orthonormal, keeping their
// span: through the eigenvectors of the Gram matrix, which is several times as
// fast as a QR decomposition. One pass is enough between iterations, two make up
// for the squared condition. Directions that vanish become zero columns.
func orthonormalize(q *mat.Dense, passes int) error {
	for range passes {
		values, vectors, err := leading(q)
		if err != nil {
			return err
		}
		for j, v := range values {
			scale := 0.0
			if v > 1e-10*values[0] {
				scale = 1 / v
			}
			for i := range values {
				vectors.Set(i, j, vectors.At(i, j)*scale)
			}
		}
		var out mat.Dense
		out.Mul(q, vectors)
		q.Copy(&out)
	}
	return nil
}

// leading returns the singular values of a tall matrix, largest first, and its
// right singular vectors as columns, each with its largest element positive.
func leading(y *mat.Dense) ([]float64, *mat.Dense, error) {
	_, n := y.Dims()
	var gram mat.Dense
	gram.Mul(y.T(), y) // has all CPUs, unlike the product made for symmetric ones
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(n, gram.RawMatrix().Data), true) {
		return nil, nil, errDecomposition
	}
	values := eigen.Values(nil)
	var ascending mat.Dense
	eigen.VectorsTo(&ascending)
	vectors := mat.NewDense(n, n, nil)
	for j := range n {
		column := mat.Col(nil, n-1-j, &ascending)
		top := slices.MaxFunc(column, compareMagnitude)
		for i, x := range column {
			vectors.Set(i, j, math.Copysign(1, top)*x)
		}
	}
	slices.Reverse(values)
	for i, v := range values {
		values[i] = math.Sqrt(max(v, 0))
	}
	return values, vectors, nil
}

func compareMagnitude(a, b float64) int {
	switch a, b = math.Abs(a), math.Abs(b); {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// parallel calls do for 0 to n−1 from as many goroutines as there are CPUs.
func parallel(ctx context.Context, n int, do func(i int)) error {
	const batch = 16
	var (
		mu   sync.Mutex // guards next
		next int
		wg   sync.WaitGroup
	)
	take := func() (from, to int) {
		mu.Lock()
		defer mu.Unlock()
		from = next
		// Small batches at the end, or when there are few: all CPUs have work.
		next = min(n, from+max(1, min(batch, (n-from)/workers())))
		return from, next
	}
	for range workers() {
		wg.Go(func() {
			for from, to := take(); from < to && ctx.Err() == nil; from, to = take() {
				for i := from; i < to; i++ {
					do(i)
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
