package filter

import "github.com/RoaringBitmap/roaring/v2"

// set is a set of documents, or with complement set everything but them. Its
// bitmap is never changed, so that sets can share it.
type set struct {
	docs       *roaring.Bitmap
	complement bool
}

func nothing() set    { return set{docs: roaring.New()} }
func everything() set { return set{docs: roaring.New(), complement: true} }

func (s set) not() set { return set{s.docs, !s.complement} }

func (s set) and(o set) set {
	switch {
	case s.complement && o.complement:
		return set{roaring.Or(s.docs, o.docs), true}
	case s.complement:
		return set{roaring.AndNot(o.docs, s.docs), false}
	case o.complement:
		return set{roaring.AndNot(s.docs, o.docs), false}
	default:
		return set{roaring.And(s.docs, o.docs), false}
	}
}

func (s set) minus(o set) set { return s.and(o.not()) }

// empty reports whether s certainly holds nothing.
func (s set) empty() bool { return !s.complement && s.docs.IsEmpty() }

// over returns the live documents of s, to be changed by the caller.
func (s set) over(src Source) *roaring.Bitmap {
	if s.complement {
		return roaring.AndNot(src.Live(), s.docs)
	}
	return s.docs.Clone()
}

// approx encloses the documents that satisfy a condition: all of low do, and
// none outside high. exact says that the two are equal.
type approx struct {
	low, high set
	exact     bool
}

func exactly(s set) approx { return approx{s, s, true} }

// unknown is the approx of a condition that no index can answer.
func unknown() approx { return approx{low: nothing(), high: everything()} }

func (a approx) not() approx { return approx{a.high.not(), a.low.not(), a.exact} }

func (a approx) and(b approx) approx {
	low := a.low.and(b.low)
	if a.exact && b.exact {
		return exactly(low)
	}
	high := a.high.and(b.high)
	return approx{low, high, high.empty()}
}

func (a approx) or(b approx) approx { return a.not().and(b.not()).not() }
