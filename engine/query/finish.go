package query

import (
	"math"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/engine/vector"
)

// Public turns an inner score (larger is better) into the one that clients see:
// a distance for Euclid (the root) and Manhattan, the score itself for the
// others.
func Public(d vector.Distance, score float32) float32 {
	switch d {
	case vector.Euclid:
		return float32(math.Sqrt(math.Abs(float64(score))))
	case vector.Manhattan:
		return float32(math.Abs(float64(score)))
	default:
		return score
	}
}

// Passes says whether a public score is better than the threshold, strictly, as
// clients mean it: less than it for distances, more than it for similarities.
func Passes(d vector.Distance, public, threshold float32) bool {
	if d == vector.Euclid || d == vector.Manhattan {
		return public < threshold
	}
	return public > threshold
}

// Cut shortens a list that is sorted best first to the hits that pass the
// threshold; nil keeps all.
func Cut(d vector.Distance, hits []Scored, threshold *float32) []Scored {
	if threshold == nil {
		return hits
	}
	for i, h := range hits {
		if !Passes(d, Public(d, h.Score), *threshold) {
			return hits[:i]
		}
	}
	return hits
}

// ByOrder returns the order of an order_by query: by value, and equal values by
// ID. Hits without a value come last.
func ByOrder(dir pb.Direction) func(a, b Scored) int {
	return func(a, b Scored) int {
		c := compareOrder(a.Order, b.Order)
		if dir == pb.Direction_Desc {
			c = compareOrder(b.Order, a.Order)
		}
		if c != 0 {
			return c
		}
		return a.ID.Compare(b.ID)
	}
}

// ByID orders hits by ID, as scrolling does.
func ByID(a, b Scored) int { return a.ID.Compare(b.ID) }

// CompareOrder compares two values of order_by; integers and floats compare by
// value.
func CompareOrder(a, b *pb.OrderValue) int { return compareOrder(a, b) }

func compareOrder(a, b *pb.OrderValue) int {
	x, xInt := a.GetVariant().(*pb.OrderValue_Int)
	y, yInt := b.GetVariant().(*pb.OrderValue_Int)
	if xInt && yInt {
		switch {
		case x.Int < y.Int:
			return -1
		case x.Int > y.Int:
			return 1
		default:
			return 0
		}
	}
	fx, fy := orderFloat(a), orderFloat(b)
	switch {
	case fx < fy:
		return -1
	case fx > fy:
		return 1
	default:
		return 0
	}
}

func orderFloat(v *pb.OrderValue) float64 {
	switch v := v.GetVariant().(type) {
	case *pb.OrderValue_Int:
		return float64(v.Int)
	case *pb.OrderValue_Float:
		return v.Float
	default:
		return math.Inf(1)
	}
}
