package shardcall

import (
	"context"
	"errors"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// fault is an error on its way to another process. Clients see the kind and message of
// the first apierror in a chain, logs see the whole text, and callers ask whether a
// context has ended: that much is kept.
type fault struct {
	text    string // of the whole chain
	public  bool   // kind and message are set
	kind    apierror.Kind
	message string
	ended   ending
	moved   *Moved
}

// ending says which end of a context is behind an error.
type ending uint64

const (
	notEnded ending = iota
	timedOut
	cancelled
)

// faultOf returns nil for no error.
func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{text: err.Error()}
	if e, ok := errors.AsType[*apierror.Error](err); ok {
		f.public, f.kind, f.message = true, e.Kind, e.Msg
	}
	f.moved, _ = errors.AsType[*Moved](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.ended = timedOut
	case errors.Is(err, context.Canceled):
		f.ended = cancelled
	}
	return f
}

// err returns the error again.
func (f *fault) err() error {
	if f == nil {
		return nil
	}
	var cause error
	if f.moved != nil {
		cause = f.moved
	}
	switch f.ended {
	case notEnded:
	case timedOut:
		cause = context.DeadlineExceeded
	case cancelled:
		cause = context.Canceled
	}
	if f.public {
		cause = &apierror.Error{Kind: f.kind, Msg: f.message, Err: cause}
	}
	if cause != nil && cause.Error() == f.text {
		return cause
	}
	return &elsewhere{f.text, cause}
}

// elsewhere is an error of another process whose text says more than its cause.
type elsewhere struct {
	text  string
	cause error
}

func (e *elsewhere) Error() string { return e.text }
func (e *elsewhere) Unwrap() error { return e.cause }

// Numbers of a fault's fields.
const (
	faultText    = 1
	faultKind    = 2 // kind + 1
	faultMessage = 3
	faultEnded   = 4
	faultMoved   = 5 // flags: 1 it moved, 2 outcome unknown, 4 committed
	faultLeader  = 6
)

func (f *fault) encode() []byte {
	b := putBytes(nil, faultText, []byte(f.text))
	if f.public {
		b = putNumber(b, faultKind, uint64(f.kind)+1)
		b = putBytes(b, faultMessage, []byte(f.message))
	}
	b = putNumber(b, faultEnded, uint64(f.ended))
	if f.moved == nil {
		return b
	}
	flags := uint64(1)
	if f.moved.Unknown {
		flags |= 2
	}
	if f.moved.Committed {
		flags |= 4
	}
	return putNumber(putNumber(b, faultMoved, flags), faultLeader, uint64(f.moved.Leader))
}

func decodeFault(b []byte) (*fault, error) {
	f := &fault{}
	var leader topology.PeerID
	err := eachField(b, func(num int, n uint64, data []byte) error {
		switch num {
		case faultText:
			f.text = string(data)
		case faultKind:
			if n > 0 {
				f.public, f.kind = true, apierror.Kind(min(n-1, 1<<31)) //nolint:gosec // bounded
			}
		case faultMessage:
			f.message = string(data)
		case faultEnded:
			f.ended = ending(n)
		case faultMoved:
			f.moved = &Moved{Unknown: n&2 != 0, Committed: n&4 != 0}
		case faultLeader:
			leader = topology.PeerID(n)
		}
		return nil
	})
	if f.moved != nil {
		f.moved.Leader = leader
	}
	return f, err
}

// Moved says that a copy of a shard can't answer: it doesn't lead, or isn't in sync. The call may
// be made again elsewhere, a write under the same ID.
type Moved struct {
	// Leader leads the shard as far as is known, 0 for nobody.
	Leader topology.PeerID
	// Unknown says that the write may have been done, Committed that it was.
	Unknown, Committed bool
}

// Error implements error.
func (e *Moved) Error() string {
	switch {
	case e.Unknown:
		return "the shard's leadership was lost before the outcome of the write was known"
	case e.Leader == 0:
		return "no copy of the shard that could answer is known here"
	default:
		return "another node leads the shard"
	}
}
