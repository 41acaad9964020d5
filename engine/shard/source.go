package shard

import (
	"github.com/RoaringBitmap/roaring/v2"

	"github.com/sextantdb/sextant/engine/filter"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/payloadindex"
	"github.com/sextantdb/sextant/engine/point"
)

// source is a shard as filters see it. Whoever evaluates one holds a pin.
type source struct {
	s  *Shard
	st *state
}

var _ filter.Source = source{}

func (s *Shard) source(st *state) source { return source{s, st} }

// Index returns the index of a field, nil when there is none.
func (x source) Index(name string) *payloadindex.Index { return x.st.fields[name].index }

// Payload returns the payload of a document, valid while the pin is held.
func (x source) Payload(doc uint32) payload.Object { return x.s.docs.Payload(doc) }

// Lookup finds the live document of a point.
func (x source) Lookup(id point.ID) (uint32, bool) { return x.s.docs.LookupPinned(id) }

// ID returns the point of a document.
func (x source) ID(doc uint32) point.ID {
	id, _ := x.s.docs.ID(doc)
	return id
}

// HasVector tells whether a document has a vector of a name, and whether there
// is such a name.
func (x source) HasVector(name string, doc uint32) (has, known bool) {
	if v, ok := x.st.dense[name]; ok {
		return v.Has(doc), true
	}
	if v, ok := x.st.sparse[name]; ok {
		return v.Has(doc), true
	}
	return false, false
}

// Live returns the live documents; the set is shared and must not be changed.
func (x source) Live() *roaring.Bitmap { return x.s.docs.LiveBitmap() }

// Count returns the number of live documents.
func (x source) Count() int { return x.s.docs.Len() }
