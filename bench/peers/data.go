package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/sextantdb/sextant/bench/dataset"
)

// data generates or reads the vectors and finds the true answers.
func (o options) data(ctx context.Context) (set dataset.Set, err error) {
	if o.base == "" {
		shape := dataset.Clustered(o.rows, o.queries, o.dim)
		shape.HeavyTail, shape.Duplicates, shape.Seed = o.heavyTail, o.duplicates, o.seed
		set = dataset.Generate(shape)
		set.Name = fmt.Sprintf("generated %d×%d", o.rows, o.dim)
	} else if set, err = o.read(); err != nil {
		return set, err
	}
	if o.metric == "cosine" {
		set.Base, set.Queries = normalized(set.Base), normalized(set.Queries)
	}
	set.Truth, err = dataset.Truth(ctx, set.Base, set.Queries, o.kind(), o.k, nil)
	return set, err
}

// kind is how the rows of data are compared.
func (o options) kind() dataset.Metric {
	if o.metric == "l2" {
		return dataset.L2
	}
	return dataset.Dot // rows of length 1 for cosine
}

func (o options) read() (set dataset.Set, err error) {
	set.Name = filepath.Base(o.base)
	if set.Base, err = dataset.ReadMatrix(o.base, o.dim); err != nil {
		return set, err
	}
	if o.query == "" {
		set.Base, set.Queries, err = draw(set.Base, o.queries)
		return set, err
	}
	if set.Queries, err = dataset.ReadMatrix(o.query, o.dim); err != nil {
		return set, err
	}
	if set.Queries.Dim != set.Base.Dim {
		return set, fmt.Errorf("%s has dimension %d, %s has %d", o.query, set.Queries.Dim, o.base, set.Base.Dim)
	}
	return set, nil
}

// draw takes n rows out of m, always the same ones, and leaves the others in
// their order. They come from everywhere: neighbours in a file are often alike,
// so its last rows alone would ask about one corner of the data.
func draw(m dataset.Matrix, n int) (rest, drawn dataset.Matrix, err error) {
	if n >= m.Rows() {
		return rest, drawn, fmt.Errorf("%d rows are too few for %d queries", m.Rows(), n)
	}
	isDrawn := make([]bool, m.Rows())
	for _, row := range rand.New(rand.NewPCG(1, 0)).Perm(m.Rows())[:n] {
		isDrawn[row] = true
	}
	rest = dataset.Matrix{Dim: m.Dim, Data: make([]float32, 0, len(m.Data)-n*m.Dim)}
	drawn = dataset.Matrix{Dim: m.Dim, Data: make([]float32, 0, n*m.Dim)}
	for row, is := range isDrawn {
		if is {
			drawn.Data = append(drawn.Data, m.Row(row)...)
		} else {
			rest.Data = append(rest.Data, m.Row(row)...)
		}
	}
	return rest, drawn, nil
}

// normalized returns the rows at length 1, without those that have no direction.
func normalized(m dataset.Matrix) dataset.Matrix {
	out := dataset.Matrix{Dim: m.Dim, Data: make([]float32, 0, len(m.Data))}
	for i := range m.Rows() {
		row, sum := m.Row(i), 0.0
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		if sum == 0 {
			continue
		}
		scale := 1 / math.Sqrt(sum)
		for _, x := range row {
			out.Data = append(out.Data, float32(float64(x)*scale))
		}
	}
	return out
}
