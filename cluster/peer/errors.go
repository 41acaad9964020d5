package peer

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/internal/apierror"
)

// ErrUnreachable is a peer that couldn't be reached, or whose connection broke: whether
// a call was carried out isn't known. The errors that wrap it are of kind
// apierror.Unavailable.
var ErrUnreachable = errors.New("peer is unreachable")

// ErrDown is an ErrUnreachable that was known before the call: nothing was sent.
var ErrDown = fmt.Errorf("%w: it is known to be down", ErrUnreachable)

// kinds are the numbers that kinds of errors have on the wire.
var kinds = map[apierror.Kind]peerpb.Error_Kind{
	apierror.Internal:       peerpb.Error_KIND_INTERNAL,
	apierror.BadInput:       peerpb.Error_KIND_BAD_INPUT,
	apierror.BadRequest:     peerpb.Error_KIND_BAD_REQUEST,
	apierror.Format:         peerpb.Error_KIND_FORMAT,
	apierror.Validation:     peerpb.Error_KIND_VALIDATION,
	apierror.NotFound:       peerpb.Error_KIND_NOT_FOUND,
	apierror.AlreadyExists:  peerpb.Error_KIND_ALREADY_EXISTS,
	apierror.Unauthorized:   peerpb.Error_KIND_UNAUTHORIZED,
	apierror.Forbidden:      peerpb.Error_KIND_FORBIDDEN,
	apierror.Timeout:        peerpb.Error_KIND_TIMEOUT,
	apierror.RateLimited:    peerpb.Error_KIND_RATE_LIMITED,
	apierror.Unavailable:    peerpb.Error_KIND_UNAVAILABLE,
	apierror.Precondition:   peerpb.Error_KIND_PRECONDITION,
	apierror.StorageFull:    peerpb.Error_KIND_STORAGE_FULL,
	apierror.NotImplemented: peerpb.Error_KIND_NOT_IMPLEMENTED,
	apierror.Standalone:     peerpb.Error_KIND_STANDALONE,
	apierror.Inference:      peerpb.Error_KIND_INFERENCE,
}

// kindFromPB is the way back; a kind that this version doesn't know is internal.
func kindFromPB(k peerpb.Error_Kind) apierror.Kind {
	for kind, wire := range kinds {
		if wire == k {
			return kind
		}
	}
	return apierror.Internal
}

// errorToPB makes a message of a handler's error, nil of nil.
func errorToPB(err error) *peerpb.Error {
	if err == nil {
		return nil
	}
	out := new(peerpb.Error)
	if e, ok := errors.AsType[*apierror.Error](err); ok {
		out.Kind, out.Text = kinds[e.Kind], e.Msg
		return out
	}
	kind := apierror.Internal
	if errors.Is(err, context.DeadlineExceeded) {
		kind = apierror.Timeout
	}
	out.Kind, out.Text = kinds[kind], err.Error()
	return out
}

// errorFromPB is the way back.
func errorFromPB(e *peerpb.Error) error {
	if e == nil {
		return nil
	}
	public := &apierror.Error{Kind: kindFromPB(e.GetKind()), Msg: e.GetText()}
	if public.Kind == apierror.Timeout {
		public.Err = context.DeadlineExceeded // whichever of the two clocks noticed first
	}
	return public
}

// errorFromGRPC says what a failure of a connection or a handshake means to the caller.
func errorFromGRPC(ctx context.Context, who string, err error) error {
	if r := refusedOf(err); r != nil {
		return &apierror.Error{Kind: apierror.Unavailable, Msg: fmt.Sprintf("%s: %v", who, r), Err: r}
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.DeadlineExceeded:
		return &apierror.Error{Kind: apierror.Timeout, Msg: who + " didn't answer in time", Err: context.DeadlineExceeded}
	case codes.Canceled:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fallthrough // the connection was given up, not the call
	case codes.Unavailable:
		return unreachable(who, ErrUnreachable, s.Message())
	default:
		return apierror.New(apierror.Internal, "%s: %s: %w", who, s.Code(), err)
	}
}

// unreachable makes the error of a peer that can't be reached.
func unreachable(who string, sentinel error, why string) error {
	msg := who + " is unreachable"
	if why != "" {
		msg += ": " + why
	}
	return &apierror.Error{Kind: apierror.Unavailable, Msg: msg, Err: sentinel}
}
