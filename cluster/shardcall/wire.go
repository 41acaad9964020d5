package shardcall

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/timelimit"
)

// Here are the messages around the public ones. They are written by hand in the format
// of protocol buffers: few, small, and nobody else's business.

// errMalformed says that bytes aren't what a peer of ours sends.
var errMalformed = errors.New("malformed message")

// method is what is called. The numbers go over the wire.
type method uint64

const (
	callSubmit   method = 1
	callQuery    method = 2
	callFill     method = 3
	callRetrieve method = 4
	callScroll   method = 5
	callCount    method = 6
	callFacet    method = 7
	callInfo     method = 8
)

// request is one call. Field numbers are those of the comments.
type request struct {
	method method        // 1
	left   time.Duration // 2: microseconds that the caller waits; 0 is no bound
	// limit and spare are the allowance for the answer; without bound limit is 0.
	limit int64  // 3
	spare int64  // 4
	body  []byte // 5: the method's message
}

// newRequest takes time and allowance from ctx.
func newRequest(ctx context.Context, m method, body []byte) (*request, error) {
	r := &request{method: m, body: body}
	if at, ok := ctx.Deadline(); ok {
		if r.left = time.Until(at); r.left <= 0 {
			return nil, context.DeadlineExceeded
		}
		r.left = max(r.left, time.Microsecond)
	}
	if limit, left, ok := shard.Allowance(ctx); ok {
		r.limit, r.spare = max(limit, 1), max(left, 0)
	}
	return r, nil
}

// context gives ctx the request's time and allowance.
func (r *request) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.limit > 0 {
		ctx = shard.WithRestOfAllowance(ctx, r.limit, r.spare)
	}
	if r.left == 0 {
		return ctx, func() {}
	}
	return timelimit.Within(ctx, r.left)
}

func (r *request) encode() []byte {
	b := make([]byte, 0, len(r.body)+48)
	b = putNumber(b, 1, uint64(r.method))
	b = putNumber(b, 2, uint64(r.left/time.Microsecond)) //nolint:gosec // not negative
	b = putNumber(b, 3, uint64(r.limit))                 //nolint:gosec // not negative
	b = putNumber(b, 4, uint64(r.spare))                 //nolint:gosec // not negative
	return putBytes(b, 5, r.body)
}

func decodeRequest(b []byte) (*request, error) {
	r := &request{}
	return r, eachField(b, func(num int, n uint64, data []byte) error {
		const most = 1 << 62
		switch num {
		case 1:
			r.method = method(n)
		case 2:
			r.left = time.Duration(min(n, most/1000)) * time.Microsecond //nolint:gosec // bounded
		case 3:
			r.limit = int64(min(n, most)) //nolint:gosec // bounded
		case 4:
			r.spare = int64(min(n, most)) //nolint:gosec // bounded
		case 5:
			r.body = data
		}
		return nil
	})
}

// response answers a call.
type response struct {
	fault *fault // 1: instead of a body
	spent int64  // 2: bytes of the allowance
	body  []byte // 3
}

func (r *response) encode() []byte {
	b := make([]byte, 0, len(r.body)+16)
	if r.fault != nil {
		b = putBytes(b, 1, r.fault.encode())
	}
	b = putNumber(b, 2, uint64(r.spent)) //nolint:gosec // not negative
	return putBytes(b, 3, r.body)
}

func decodeResponse(b []byte) (*response, error) {
	r := &response{}
	return r, eachField(b, func(num int, n uint64, data []byte) (err error) {
		switch num {
		case 1:
			r.fault, err = decodeFault(data)
		case 2:
			r.spent = int64(min(n, 1<<62)) //nolint:gosec // bounded
		case 3:
			r.body = data
		}
		return err
	})
}

func putNumber(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

func putBytes(b []byte, num protowire.Number, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), data)
}

// eachField hands over numbers and byte strings, and skips what no node of this version
// writes. data shares b's memory.
func eachField(b []byte, f func(num int, n uint64, data []byte) error) error {
	for len(b) > 0 {
		num, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errMalformed
		}
		b = b[size:]
		var n uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(num, typ, b)
		}
		if size < 0 {
			return errMalformed
		}
		b = b[size:]
		if typ != protowire.VarintType && typ != protowire.BytesType {
			continue
		}
		if err := f(int(num), n, data); err != nil {
			return err
		}
	}
	return nil
}

// unmarshal reads a public message.
func unmarshal(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}
