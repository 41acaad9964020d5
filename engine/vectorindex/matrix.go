package vectorindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/sextantdb/sextant/internal/apierror"
)

// FromMatrix makes an index in memory, without files, of rows of float32 that lie
// one after the other: row i becomes document i. All background work is done when
// it returns, so that searches show what the index can do. It is how benchmarks
// and programs that only want nearest neighbours use the package.
func FromMatrix(ctx context.Context, o Options, matrix []float32) (*Index, error) {
	o.Dir, o.Files = nil, nil
	ix, err := Open(o)
	if err != nil {
		return nil, err
	}
	if err := ix.fill(ctx, matrix); err != nil {
		return nil, fmt.Errorf("index matrix: %w", errors.Join(err, ix.Close()))
	}
	return ix, nil
}

// fill upserts the rows of a matrix and does the background work.
func (ix *Index) fill(ctx context.Context, matrix []float32) error {
	dim := ix.format.dim
	if len(matrix)%dim != 0 {
		return apierror.New(apierror.BadInput, "%d numbers are not rows of %d", len(matrix), dim)
	}
	for i := range len(matrix) / dim {
		if err := ix.Upsert(uint32(i), matrix[i*dim:(i+1)*dim]); err != nil {
			return err
		}
	}
	for more := true; more; {
		var err error
		if more, err = ix.Step(ctx); err != nil {
			return err
		}
	}
	return nil
}
