// Package status says how a failure looks on the wire: which HTTP status and
// which gRPC code a kind of error has. Both doors use it, so that one failure
// is the same failure on either.
package status

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/internal/apierror"
)

// ClientGone is the HTTP status noted, never sent, when the client hung up
// before its answer was ready.
const ClientGone = 499

// code is how one kind of error appears at each door.
type code struct {
	http int
	grpc codes.Code
}

func codeOf(kind apierror.Kind) code {
	switch kind {
	case apierror.BadInput, apierror.BadRequest, apierror.Format, apierror.Inference:
		return code{http.StatusBadRequest, codes.InvalidArgument}
	case apierror.Validation:
		return code{http.StatusUnprocessableEntity, codes.InvalidArgument}
	case apierror.NotFound:
		return code{http.StatusNotFound, codes.NotFound}
	case apierror.AlreadyExists:
		return code{http.StatusConflict, codes.AlreadyExists}
	case apierror.Unauthorized:
		return code{http.StatusUnauthorized, codes.Unauthenticated}
	case apierror.Forbidden:
		return code{http.StatusForbidden, codes.PermissionDenied}
	case apierror.Timeout:
		return code{http.StatusRequestTimeout, codes.DeadlineExceeded}
	case apierror.RateLimited:
		return code{http.StatusTooManyRequests, codes.ResourceExhausted}
	case apierror.Unavailable:
		return code{http.StatusServiceUnavailable, codes.Unavailable}
	case apierror.Precondition:
		return code{http.StatusInternalServerError, codes.FailedPrecondition}
	case apierror.StorageFull:
		return code{http.StatusInsufficientStorage, codes.ResourceExhausted}
	case apierror.NotImplemented:
		return code{http.StatusNotImplemented, codes.Unimplemented}
	case apierror.Standalone:
		return code{http.StatusMethodNotAllowed, codes.Unimplemented}
	case apierror.Internal:
		return code{http.StatusInternalServerError, codes.Internal}
	default:
		return code{http.StatusInternalServerError, codes.Internal}
	}
}

// Public returns err as clients may see it: an *apierror.Error is itself, the
// end of a context is a timeout, and everything else is internal.
func Public(err error) *apierror.Error {
	if e, ok := errors.AsType[*apierror.Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &apierror.Error{Kind: apierror.Timeout, Msg: "Operation timed out", Err: err}
	}
	if errors.Is(err, context.Canceled) {
		return &apierror.Error{Kind: apierror.Timeout, Msg: "Operation was cancelled", Err: err}
	}
	return &apierror.Error{Kind: apierror.Internal, Msg: err.Error(), Err: err}
}

// HTTP returns the status and the text with which err is answered over HTTP.
func HTTP(err error) (status int, text string) {
	e := Public(err)
	return codeOf(e.Kind).http, e.Error()
}

// GRPC returns err as a gRPC status. nil stays nil, and an error that is a
// status already is returned unchanged.
func GRPC(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(interface{ GRPCStatus() *grpcstatus.Status }); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return grpcstatus.Error(codes.Canceled, "Operation was cancelled")
	}
	e := Public(err)
	text := e.Error()
	if e.Kind == apierror.Validation {
		// There is no JSON body here.
		text = "Validation error in body: " + e.Msg
	}
	return grpcstatus.Error(codeOf(e.Kind).grpc, text)
}

// RetryAfter returns how long a refused client should wait, when err says so
// (by a method RetryAfter), in whole seconds rounded up.
func RetryAfter(err error) (seconds int, ok bool) {
	var r interface {
		error
		RetryAfter() time.Duration
	}
	if !errors.As(err, &r) {
		return 0, false
	}
	return int((r.RetryAfter() + time.Second - 1) / time.Second), true
}

// IsClientGone reports whether err only says that the client hung up.
func IsClientGone(err error) bool {
	return errors.Is(err, context.Canceled)
}
