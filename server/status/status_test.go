package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sextantdb/sextant/internal/apierror"
)

func TestEveryKindHasAStatus(t *testing.T) {
	for kind, want := range map[apierror.Kind]struct {
		http int
		grpc codes.Code
		text string
	}{
		apierror.Internal:       {500, codes.Internal, "Service internal error: m"},
		apierror.BadInput:       {400, codes.InvalidArgument, "Wrong input: m"},
		apierror.BadRequest:     {400, codes.InvalidArgument, "Bad request: m"},
		apierror.Format:         {400, codes.InvalidArgument, "Format error in JSON body: m"},
		apierror.Validation:     {422, codes.InvalidArgument, "Validation error in JSON body: m"},
		apierror.NotFound:       {404, codes.NotFound, "Not found: m"},
		apierror.AlreadyExists:  {409, codes.AlreadyExists, "Wrong input: m"},
		apierror.Unauthorized:   {401, codes.Unauthenticated, "m"},
		apierror.Forbidden:      {403, codes.PermissionDenied, "Forbidden: m"},
		apierror.Timeout:        {408, codes.DeadlineExceeded, "Timeout: m"},
		apierror.RateLimited:    {429, codes.ResourceExhausted, "Rate limiting exceeded: m"},
		apierror.Unavailable:    {503, codes.Unavailable, "Shard temporarily unavailable: m"},
		apierror.Precondition:   {500, codes.FailedPrecondition, "Pre-condition failure: m"},
		apierror.StorageFull:    {507, codes.ResourceExhausted, "Insufficient storage: m"},
		apierror.NotImplemented: {501, codes.Unimplemented, "m"},
		apierror.Standalone:     {405, codes.Unimplemented, "m"},
		apierror.Inference:      {400, codes.InvalidArgument, "m"},
	} {
		err := fmt.Errorf("do something: %w", apierror.New(kind, "m"))
		code, text := HTTP(err)
		require.Equal(t, want.http, code, want.text)
		require.Equal(t, want.text, text)
		require.Equal(t, want.grpc, grpcstatus.Code(GRPC(err)), want.text)
	}
}

func TestErrorsWithoutKind(t *testing.T) {
	code, text := HTTP(errors.New("disk gone"))
	require.Equal(t, http.StatusInternalServerError, code)
	require.Equal(t, "Service internal error: disk gone", text)
	code, _ = HTTP(fmt.Errorf("search: %w", context.DeadlineExceeded))
	require.Equal(t, http.StatusRequestTimeout, code)
	require.Equal(t, codes.DeadlineExceeded, grpcstatus.Code(GRPC(context.DeadlineExceeded)))
	require.Equal(t, codes.Canceled, grpcstatus.Code(GRPC(context.Canceled)))
	require.True(t, IsClientGone(fmt.Errorf("read: %w", context.Canceled)))
}

func TestGRPCKeepsWhatIsAStatus(t *testing.T) {
	require.NoError(t, GRPC(nil))
	given := grpcstatus.Error(codes.DataLoss, "x")
	require.Equal(t, given, GRPC(given))
	require.Equal(t, "Validation error in body: [limit: x]", grpcstatus.Convert(GRPC(apierror.New(apierror.Validation, "[limit: x]"))).Message())
}

type limited struct{ after time.Duration }

func (limited) Error() string               { return "slow down" }
func (l limited) RetryAfter() time.Duration { return l.after }
func (limited) Unwrap() error               { return apierror.New(apierror.RateLimited, "slow down") }

func TestRetryAfterRoundsUp(t *testing.T) {
	seconds, ok := RetryAfter(fmt.Errorf("x: %w", limited{after: 1500 * time.Millisecond}))
	require.True(t, ok)
	require.Equal(t, 2, seconds)
	_, ok = RetryAfter(errors.New("x"))
	require.False(t, ok)
}
