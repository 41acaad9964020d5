package payloadindex

import (
	"github.com/RoaringBitmap/roaring/v2"
	"github.com/tidwall/btree"
)

// entry is a pair of key and document.
type entry struct {
	key key
	doc uint32
}

func lessEntry(a, b entry) bool {
	if c := a.key.compare(b.key); c != 0 {
		return c < 0
	}
	return a.doc < b.doc
}

// mem is a layer in ordinary memory: the growing one, and frozen ones until
// they are written. Index.mu guards the growing one.
type mem struct {
	tree  *btree.BTreeG[entry]
	rows  map[uint32]row
	docs  *roaring.Bitmap
	flags [numFlags]*roaring.Bitmap
	bytes int
}

func newMem() *mem {
	m := &mem{
		tree: btree.NewBTreeGOptions(lessEntry, btree.Options{NoLocks: true}),
		rows: map[uint32]row{},
		docs: roaring.New(),
	}
	for i := range m.flags {
		m.flags[i] = roaring.New()
	}
	return m
}

// put makes the layer speak for doc, with r as its row.
func (m *mem) put(doc uint32, r row) {
	const perDoc, perEntry = 96, 64
	if old, ok := m.rows[doc]; ok {
		for _, k := range old.keys {
			m.tree.Delete(entry{k, doc})
			m.bytes -= perEntry + len(k.s)
		}
	} else {
		m.docs.Add(doc)
		m.bytes += perDoc
	}
	m.rows[doc] = r
	for _, k := range r.keys {
		m.tree.Set(entry{k, doc})
		m.bytes += perEntry + len(k.s)
	}
	for i, b := range m.flags {
		if r.flags>>i&1 != 0 {
			b.Add(doc)
		} else {
			b.Remove(doc)
		}
	}
}

func (m *mem) touched() *roaring.Bitmap { return m.docs }

func (m *mem) flagged(f flags) *roaring.Bitmap {
	for i, b := range m.flags {
		if f == 1<<i {
			return b
		}
	}
	return nil
}

func (m *mem) collect(sp span, check func(key) bool, c *collector) {
	var checked key
	passes, first := true, true
	m.tree.Ascend(entry{key: sp.lo}, func(e entry) bool {
		if !sp.open && e.key.compare(sp.hi) >= 0 {
			return false
		}
		if check != nil && (first || e.key != checked) {
			checked, first = e.key, false
			passes = check(e.key)
		}
		if passes {
			c.docs = append(c.docs, e.doc)
		}
		return true
	})
}

func (m *mem) entries(sp span) (n int) {
	if sp.open && sp.lo == (key{}) {
		return m.tree.Len()
	}
	const most = 1 << 12 // beyond, counting costs more than it is worth
	m.tree.Ascend(entry{key: sp.lo}, func(e entry) bool {
		if !sp.open && e.key.compare(sp.hi) >= 0 || n >= most {
			return false
		}
		n++
		return true
	})
	if n >= most {
		return m.tree.Len() // an estimate may be too high, never too low
	}
	return n
}

func (m *mem) counted(fn func(doc, count uint32)) {
	for doc, r := range m.rows {
		for _, n := range r.counts {
			fn(doc, n)
		}
	}
}

func (m *mem) keys(doc uint32, fn func(key)) {
	for _, k := range m.rows[doc].keys {
		fn(k)
	}
}

func (m *mem) next(sp span, descending bool, docs []uint32) (k key, out []uint32, ok bool) {
	found := func(e entry) bool {
		k, ok = e.key, true
		return false
	}
	switch {
	case !descending:
		m.tree.Ascend(entry{key: sp.lo}, found)
		ok = ok && (sp.open || k.compare(sp.hi) < 0)
	case sp.open:
		m.tree.Reverse(found)
		ok = ok && k.compare(sp.lo) >= 0
	default:
		m.tree.Descend(entry{key: sp.hi}, func(e entry) bool {
			if e.key == sp.hi {
				return true
			}
			return found(e)
		})
		ok = ok && k.compare(sp.lo) >= 0
	}
	if !ok {
		return key{}, docs, false
	}
	m.tree.Ascend(entry{key: k}, func(e entry) bool {
		if e.key != k {
			return false
		}
		docs = append(docs, e.doc)
		return true
	})
	return k, docs, true
}

func (m *mem) size() int { return m.bytes }
