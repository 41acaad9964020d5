// Package filter compiles the filters of the public API and evaluates them:
// document by document from payloads, or as a set from the payload indexes, with
// the same answer. What an index changes about a condition (tokens of other
// options, UUIDs in any textual form) it changes for both ways.
//
// Callers: engine/shard compiles a filter once per search or operation. The
// doors call Validate before a request is accepted.
//
// Semantics are those of the public API and listed in DESIGN.md.
package filter

import (
	"context"

	"github.com/RoaringBitmap/roaring/v2"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/point"
)

// Source is the shard that a filter is evaluated on. Its methods are called from
// several goroutines.
type Source interface {
	// Index returns the index of a field, by the text of its JSON path; nil when
	// there is none.
	Index(field string) *payloadindex.Index
	// Payload returns the payload of a live document.
	Payload(doc uint32) payload.Object
	// Lookup finds the live document of a point.
	Lookup(id point.ID) (doc uint32, ok bool)
	// ID returns the point of a live document.
	ID(doc uint32) point.ID
	// HasVector tells whether a document has the vector; known is false when the
	// collection has no vector of this name.
	HasVector(name string, doc uint32) (has, known bool)
	// Live returns the live documents. The set is only read.
	Live() *roaring.Bitmap
	// Count returns the number of live documents.
	Count() int
}

// Program is a compiled filter. It is immutable and safe for concurrent use, but
// belongs to the schema at Compile: after an index was made or dropped the
// filter is compiled again.
type Program struct {
	src  Source
	root node // nil lets everything pass
	// conditions is how many there are.
	conditions int
}

// Validate checks a filter without evaluating it.
func Validate(f *pb.Filter) error {
	_, err := Compile(f, nil)
	return err
}

// Compile checks f and prepares its evaluation on src. A nil filter lets every
// document pass. src may be nil, for Validate: the Program is then of no use.
func Compile(f *pb.Filter, src Source) (*Program, error) {
	p := &Program{src: src}
	if f == nil {
		return p, nil
	}
	c := compiler{src: src}
	root, err := c.filter(f, "filter", 1)
	if err != nil {
		return nil, err
	}
	p.conditions = c.conditions
	if all, ok := root.(and); !ok || len(all) > 0 {
		p.root = root
	}
	return p, nil
}

// Conditions returns how many conditions there are, by which a Match takes its time.
func (p *Program) Conditions() int { return p.conditions }

// All reports whether every document passes, whatever is in it.
func (p *Program) All() bool { return p.root == nil }

// Match tells whether a live document passes, as of now.
func (p *Program) Match(doc uint32) bool {
	return p.root == nil || p.root.match(&env{src: p.src, doc: doc})
}

// Estimate returns how many live documents pass: at least, probably, at most.
// The limits are those of the indexes at the moment of the call.
func (p *Program) Estimate() (least, expected, most int) {
	total := p.src.Count()
	if p.root == nil {
		return total, total, total
	}
	e := p.root.estimate(total)
	return e.Min, e.Exp, e.Max
}

// CanBitmap reports whether Bitmap is cheap: the indexes leave no more than a
// small part of the documents to look at.
func (p *Program) CanBitmap() bool {
	const few, part = 2048, 50
	total := p.src.Count()
	return p.root == nil || p.root.estimate(total).Unsure <= max(few, total/part)
}

// Bitmap returns the live documents that pass. It costs what CanBitmap says, and
// ends early with ctx's error. The set belongs to the caller.
func (p *Program) Bitmap(ctx context.Context) (*roaring.Bitmap, error) {
	if p.root == nil {
		return p.src.Live().Clone(), nil
	}
	a := p.root.approx(p.src)
	out := a.low.over(p.src)
	if a.exact {
		return out, nil
	}
	unsure := a.high.minus(a.low).over(p.src)
	var passing []uint32
	for it := unsure.Iterator(); it.HasNext(); {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if doc := it.Next(); p.Match(doc) {
			passing = append(passing, doc)
		}
	}
	out.AddMany(passing)
	return out, nil
}
