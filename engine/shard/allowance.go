package shard

import (
	"context"
	"sync/atomic"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// An answer is built in memory, and a request of a few bytes can ask for all points
// with all vectors, many times over in a batch. So each request has an allowance of
// bytes, which all its queries and all shards share; the read that would exceed it
// fails before it has taken the memory.

// pointBytes is what a point in an answer takes besides payload and vectors.
const pointBytes = 64

// allowance is what an answer may still take.
type allowance struct {
	limit int64
	left  atomic.Int64
}

type allowanceKey struct{}

// WithAllowance returns a context under which reads together return points of so many
// bytes at most. A context that has an allowance keeps it.
func WithAllowance(ctx context.Context, bytes int64) context.Context {
	if allowanceOf(ctx) != nil {
		return ctx
	}
	return WithRestOfAllowance(ctx, bytes, bytes)
}

// WithRestOfAllowance returns a context with an allowance of limit bytes of which only
// left are still there: a part of a request whose other parts are answered elsewhere.
func WithRestOfAllowance(ctx context.Context, limit, left int64) context.Context {
	a := &allowance{limit: limit}
	a.left.Store(left)
	return context.WithValue(ctx, allowanceKey{}, a)
}

// Allowance returns the bytes that the answer may take in all and what is left of them,
// less than 0 after a read that was refused. ok is false when there is no bound.
func Allowance(ctx context.Context) (limit, left int64, ok bool) {
	a := allowanceOf(ctx)
	if a == nil {
		return 0, 0, false
	}
	return a.limit, a.left.Load(), true
}

// Spend takes bytes out of ctx's allowance that a read elsewhere has used.
func Spend(ctx context.Context, bytes int64) error { return allowanceOf(ctx).spend(bytes) }

func allowanceOf(ctx context.Context) *allowance {
	a, _ := ctx.Value(allowanceKey{}).(*allowance)
	return a
}

// SpendPoints takes the answer's points out of ctx's allowance that no read has: hits
// without payload and vectors.
func SpendPoints(ctx context.Context, n int) error {
	return allowanceOf(ctx).spend(int64(n) * pointBytes)
}

// spend takes bytes out of the allowance. nil has no bound.
func (a *allowance) spend(bytes int64) error {
	if a == nil || a.left.Add(-bytes) >= 0 {
		return nil
	}
	return apierror.New(apierror.BadRequest,
		"The answer would take more than %d MiB. Ask for fewer points at once, or without vectors or payload", a.limit>>20)
}

// vectorBytes is the memory of the vectors of a point.
func vectorBytes(v *pb.VectorsOutput) (n int64) {
	for _, one := range v.GetVectors().GetVectors() {
		n += oneVectorBytes(one)
	}
	return n + oneVectorBytes(v.GetVector())
}

func oneVectorBytes(v *pb.VectorOutput) int64 {
	return 4 * int64(len(v.GetDense().GetData())+len(v.GetSparse().GetIndices())+len(v.GetSparse().GetValues()))
}
