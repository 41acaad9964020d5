// Package history says whether what clients saw of points that they wrote side by side can
// be true: with porcupine for writes and reads that must be linearizable, and by a weaker
// rule for reads that may be answered by any copy.
//
// A write whose outcome nobody knows may have happened at any time after it was sent, or
// never.
//
// Callers: package load, tests/robustness, tests/kubernetes.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what an operation does.
type Kind uint8

// The kinds.
const (
	// Upsert makes a point anew, with a value and no note.
	Upsert Kind = iota
	// SetNote sets the note of a point that exists.
	SetNote
	// Delete removes a point.
	Delete
	// Read reads a point as it is now.
	Read
	// AnyRead reads a point of any copy.
	AnyRead
)

func (k Kind) String() string {
	return [...]string{"upsert", "set note", "delete", "read", "read of any copy"}[k]
}

// Unknown is the end of an operation whose outcome isn't known.
const Unknown = time.Duration(math.MaxInt64)

// Point is what a point has. The zero value is a missing point; values and notes are never
// 0 and no two writes have the same.
type Point struct{ Value, Note int64 }

// Op is an operation on one point.
type Op struct {
	// Client is who did it, one thing at a time.
	Client int
	// ID is the point.
	ID   uint64
	Kind Kind
	// Value is what was written.
	Value int64
	// Got is what was read.
	Got Point
	// Call and Return are when it began and ended.
	Call, Return time.Duration
	// Visible says that the write was waited for until every read sees it.
	Visible bool
	// Where says who answered, for complaints.
	Where string
}

func (o Op) String() string {
	end := "never"
	if o.Return != Unknown {
		end = o.Return.String()
	}
	what := strconv.FormatInt(o.Value, 10)
	if o.Kind == Read || o.Kind == AnyRead {
		what = fmt.Sprint(o.Got)
	}
	return fmt.Sprintf("%v…%s client %d at %s: %v of point %d: %s (waited %v)", o.Call, end, o.Client, o.Where, o.Kind, o.ID, what, o.Visible)
}

// Log collects operations. It is safe for concurrent use.
type Log struct {
	start time.Time

	mu  sync.Mutex
	ops []Op // guarded by mu
}

// NewLog begins a history now.
func NewLog() *Log { return &Log{start: time.Now()} }

// Now is the time in the history.
func (l *Log) Now() time.Duration { return time.Since(l.start) }

// Add adds an operation that has ended, or will never be known.
func (l *Log) Add(o Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, o)
}

// Ops returns all operations so far.
func (l *Log) Ops() []Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ops)
}

// byPoint splits a history, in the order of the points.
func byPoint(ops []Op) [][]Op {
	of := map[uint64][]Op{}
	for _, o := range ops {
		of[o.ID] = append(of[o.ID], o)
	}
	var out [][]Op
	for _, list := range of {
		out = append(out, list)
	}
	slices.SortFunc(out, func(a, b []Op) int { return cmp.Compare(a[0].ID, b[0].ID) })
	return out
}

// model is one point under porcupine's eyes.
var model = porcupine.Model{ //nolint:gochecknoglobals // a constant in all but name
	Init: func() any { return Point{} },
	Step: func(state, input, _ any) (bool, any) {
		p, o := state.(Point), input.(Op) //nolint:forcetypeassert // of this model
		switch o.Kind {
		case Upsert:
			return true, Point{Value: o.Value}
		case SetNote:
			if p != (Point{}) {
				p.Note = o.Value
			}
			return true, p
		case Delete:
			return true, Point{}
		default:
			return p == o.Got, p
		}
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprint(input) },
}

// CheckNow tells why writes and reads of kind Read can't be linearized; nil when they can.
// It gives up on a point after some time, and says of how many it did.
func CheckNow(ops []Op, patience time.Duration) (undecided int, err error) {
	for _, list := range byPoint(ops) {
		list = seen(list)
		events := make([]porcupine.Operation, 0, len(list))
		for _, o := range list {
			if o.Kind != AnyRead {
				events = append(events, porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Return: int64(o.Return)})
			}
		}
		switch porcupine.CheckOperationsTimeout(model, events, patience) {
		case porcupine.Illegal:
			return undecided, fmt.Errorf("the history of point %d can't be true:\n%s", list[0].ID, show(list))
		case porcupine.Unknown:
			undecided++
		case porcupine.Ok:
		}
	}
	return undecided, nil
}

// seen leaves out writes of unknown outcome whose value nobody read: had they happened, then
// unseen, and the rest could be as true without them. It makes the search short.
func seen(ops []Op) []Op {
	got := map[int64]bool{}
	for _, o := range ops {
		if o.Kind == Read {
			got[o.Got.Value], got[o.Got.Note] = true, true
		}
	}
	return slices.DeleteFunc(slices.Clone(ops), func(o Op) bool {
		return o.Return == Unknown && (o.Kind == Upsert || o.Kind == SetNote) && !got[o.Value]
	})
}

// CheckAny tells which read of any copy can't be true: it saw something that nobody had sent,
// or that was overwritten, for all to see, before it began. Reads that exempt names are only
// held to the former.
func CheckAny(ops []Op, exempt func(Op) bool) error {
	for _, list := range byPoint(ops) {
		for _, r := range list {
			if r.Kind != AnyRead {
				continue
			}
			if err := checkRead(r, list, exempt(r)); err != nil {
				return fmt.Errorf("%w:\n%v\nof\n%s", err, r, show(list))
			}
		}
	}
	return nil
}

func checkRead(r Op, list []Op, lenient bool) error {
	if r.Got == (Point{}) {
		if !lenient && !missing(r, list) {
			return errors.New("a read misses a point that was there")
		}
		return nil
	}
	if err := checkPart(r, list, r.Got.Value, Upsert, lenient); err != nil {
		return err
	}
	if r.Got.Note == 0 {
		return nil
	}
	return checkPart(r, list, r.Got.Note, SetNote, lenient)
}

// checkPart checks one of the two values of a point.
func checkPart(r Op, list []Op, value int64, by Kind, lenient bool) error {
	at := slices.IndexFunc(list, func(o Op) bool { return o.Kind == by && o.Value == value })
	if at < 0 || list[at].Call > r.Return {
		return errors.New("a read has a value that nobody had sent")
	}
	if lenient {
		return nil
	}
	for _, o := range list {
		replaces := o.Kind == Upsert || o.Kind == Delete || o.Kind == by
		if replaces && o.Visible && o.Return < r.Call && list[at].Return < o.Call {
			return fmt.Errorf("a read has a value that was gone before it began, by\n%v", o)
		}
	}
	return nil
}

// missing tells whether a point can have been missing: nothing made it for all to see, or
// something may have removed it since.
func missing(r Op, list []Op) bool {
	for _, made := range list {
		if made.Kind != Upsert || !made.Visible || made.Return >= r.Call {
			continue
		}
		removed := slices.ContainsFunc(list, func(o Op) bool {
			return o.Kind == Delete && o.Return > made.Call && o.Call < r.Return
		})
		if !removed {
			return false
		}
	}
	return true
}

// show lists the operations in the order in which they began.
func show(ops []Op) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "  %v\n", o)
	}
	return b.String()
}
