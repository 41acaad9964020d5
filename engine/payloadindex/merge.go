package payloadindex

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// merge makes one image of layers, oldest first, that speaks for all that they
// speak for. When nothing lies below, documents without anything are forgotten.
func (ix *Index) merge(layers []layer, bottom bool) *image {
	b := newImageBuilder(ix.cfg.Kind.numeric())
	hidden := hiddenBy(layers)
	cursors := make([]mergeCursor, len(layers))
	for i, l := range layers {
		cursors[i] = mergeCursor{layer: l, hidden: hidden[i], rest: all(false), numeric: ix.cfg.Kind.numeric()}
		cursors[i].advance()
	}
	var docs []uint32
	for {
		least := -1
		for i := range cursors {
			if cursors[i].ok && (least < 0 || cursors[i].key.compare(cursors[least].key) < 0) {
				least = i
			}
		}
		if least < 0 {
			break
		}
		k := cursors[least].key
		docs = mergeKey(docs[:0], cursors, k)
		b.add(k, docs)
	}
	for i, l := range layers {
		l.counted(func(doc, n uint32) {
			if !hidden[i].Contains(doc) {
				b.count(doc, n)
			}
		})
	}
	touched := roaring.New()
	var flagged [numFlags]*roaring.Bitmap
	for f := range flagged {
		flagged[f] = stack(layers, func(l layer) *roaring.Bitmap { return l.flagged(1 << f) })
	}
	for _, l := range layers {
		touched.Or(l.touched())
	}
	if bottom {
		touched = stack(layers, func(l layer) *roaring.Bitmap { return l.flagged(present) })
	}
	return b.finish(touched, flagged)
}

// hiddenBy returns for each layer the documents that newer ones speak for.
func hiddenBy(layers []layer) []*roaring.Bitmap {
	hidden := make([]*roaring.Bitmap, len(layers))
	newer := roaring.New()
	for i := len(layers) - 1; i >= 0; i-- {
		hidden[i] = newer.Clone()
		newer.Or(layers[i].touched())
	}
	return hidden
}

// stack combines what layers say, oldest first. The result is the caller's.
func stack(layers []layer, of func(layer) *roaring.Bitmap) *roaring.Bitmap {
	if len(layers) == 0 {
		return roaring.New()
	}
	acc := of(layers[0])
	for i, l := range layers[1:] {
		if i == 0 {
			acc = roaring.AndNot(acc, l.touched())
		} else {
			acc.AndNot(l.touched())
		}
		acc.Or(of(l))
	}
	if len(layers) == 1 {
		// A set that may belong to the layer is copied when it is changed.
		return acc.Clone()
	}
	return acc
}

// mergeCursor walks over the keys of a layer in order.
type mergeCursor struct {
	layer  layer
	hidden *roaring.Bitmap
	rest   span // the keys to come
	ord    int  // of the next key, in an image
	key    key
	docs   []uint32 // of key; not to be changed
	ok     bool
	buf    []uint32

	numeric bool
}

func (c *mergeCursor) advance() {
	if m, isImage := c.layer.(*image); isImage {
		if c.ok = c.ord < m.numKeys(); c.ok {
			c.key = m.key(c.ord)
			c.docs = m.docs[m.starts[c.ord]:m.starts[c.ord+1]]
			c.ord++
		}
		return
	}
	if c.key, c.buf, c.ok = c.layer.next(c.rest, false, c.buf[:0]); c.ok {
		c.docs = c.buf
		c.rest = above(c.rest, c.key, c.numeric)
	}
}

// mergeKey appends the visible documents of k and advances the cursors at k.
func mergeKey(docs []uint32, cursors []mergeCursor, k key) []uint32 {
	lists := 0
	for i := range cursors {
		c := &cursors[i]
		if !c.ok || c.key != k {
			continue
		}
		n := len(docs)
		for _, d := range c.docs {
			if !c.hidden.Contains(d) {
				docs = append(docs, d)
			}
		}
		if len(docs) > n {
			lists++
		}
		c.advance()
	}
	if lists > 1 {
		slices.Sort(docs)
	}
	return docs
}
