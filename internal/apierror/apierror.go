// Package apierror holds the one error type that carries a meaning for the
// client of the database: what kind of failure it is, and a sentence. Every
// layer may return one (wrapped or not); server/status alone maps kinds to HTTP
// status and gRPC code. An error without a kind is an internal error.
package apierror

import (
	"errors"
	"fmt"
)

// Kind classifies an error by what the client can do about it.
type Kind int

const (
	// Internal is a fault of ours: "Service internal error: …".
	Internal Kind = iota
	// BadInput is a request that makes no sense against the current state:
	// "Wrong input: …", 400.
	BadInput
	// BadRequest is a request refused by a rule: "Bad request: …", 400.
	BadRequest
	// Format is a body that can't be read: "Format error in JSON body: …", 400.
	Format
	// Validation is a value outside its limits: "Validation error in JSON body:
	// …", 422.
	Validation
	// NotFound is a thing that does not exist: "Not found: …", 404.
	NotFound
	// AlreadyExists is a name that is taken: "Wrong input: …", 409.
	AlreadyExists
	// Unauthorized is a missing or unknown key, 401, plain text.
	Unauthorized
	// Forbidden is a key that may not do this: "Forbidden: …", 403.
	Forbidden
	// Timeout is an operation out of time: "Timeout: …", 408.
	Timeout
	// RateLimited is a client over its budget: "Rate limiting exceeded: …", 429.
	RateLimited
	// Unavailable is a shard that can't answer now: "Shard temporarily unavailable: …", 503.
	Unavailable
	// Precondition is a state that forbids it: "Pre-condition failure: …", 500.
	Precondition
	// StorageFull is a full disk or quota: "Insufficient storage: …", 507.
	StorageFull
	// NotImplemented is a part of the public API that isn't built yet, 501.
	NotImplemented
	// Standalone is a cluster operation on a node without a cluster, 405.
	Standalone
	// Inference is a failed embedding, 400, without prefix.
	Inference
)

var prefixes = map[Kind]string{
	Internal:      "Service internal error: ",
	BadInput:      "Wrong input: ",
	BadRequest:    "Bad request: ",
	Format:        "Format error in JSON body: ",
	Validation:    "Validation error in JSON body: ",
	NotFound:      "Not found: ",
	AlreadyExists: "Wrong input: ",
	Forbidden:     "Forbidden: ",
	Timeout:       "Timeout: ",
	RateLimited:   "Rate limiting exceeded: ",
	Unavailable:   "Shard temporarily unavailable: ",
	Precondition:  "Pre-condition failure: ",
	StorageFull:   "Insufficient storage: ",
}

// Error is a failure with a kind. Its text begins with the kind's public prefix,
// which clients compare.
type Error struct {
	Kind Kind
	// Msg is the text without prefix.
	Msg string
	// Err is the cause, for errors.Is and the log; not shown to clients.
	Err error
}

// Error returns prefix and message.
func (e *Error) Error() string { return prefixes[e.Kind] + e.Msg }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind. A %w verb keeps the cause.
func New(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the first Error in err's chain, Internal when
// there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
