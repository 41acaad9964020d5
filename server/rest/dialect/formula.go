package dialect

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/jsonx"
)

// expression reads a term of a formula: a number, a variable, an object whose
// one member names the operation, or a condition.
func expression(r *jsonx.Reader) *pb.Expression {
	switch r.Kind() {
	case jsonx.Number:
		return &pb.Expression{Variant: &pb.Expression_Constant{Constant: r.Float32()}}
	case jsonx.String:
		return &pb.Expression{Variant: &pb.Expression_Variable{Variable: r.Text()}}
	case jsonx.Object:
		return objectExpression(r)
	default:
		r.NoVariant("Expression")
		return nil
	}
}

func objectExpression(r *jsonx.Reader) *pb.Expression {
	e := &pb.Expression{}
	var cond *conditionParts
	for key := range r.Fields() {
		if operationOf(r, key, e) {
			continue
		}
		if cond == nil {
			cond = &conditionParts{}
		}
		cond.member(r, key)
	}
	switch {
	case r.Err() != nil:
		return nil
	case e.Variant == nil && cond != nil:
		e.Variant = &pb.Expression_Condition{Condition: cond.condition(r)}
	case e.Variant == nil || cond != nil:
		r.NoVariant("Expression")
	}
	return e
}

// operationOf reads the member key into e when it names an operation.
func operationOf(r *jsonx.Reader, key string, e *pb.Expression) bool {
	switch key {
	case "geo_distance":
		e.Variant = &pb.Expression_GeoDistance{GeoDistance: geoDistance(r)}
	case "datetime":
		e.Variant = &pb.Expression_Datetime{Datetime: r.Text()}
	case "datetime_key":
		e.Variant = &pb.Expression_DatetimeKey{DatetimeKey: r.Text()}
	case "mult":
		e.Variant = &pb.Expression_Mult{Mult: &pb.MultExpression{Mult: list(r, expression)}}
	case "sum":
		e.Variant = &pb.Expression_Sum{Sum: &pb.SumExpression{Sum: list(r, expression)}}
	case "div":
		e.Variant = &pb.Expression_Div{Div: division(r)}
	case "neg":
		e.Variant = &pb.Expression_Neg{Neg: expression(r)}
	case "abs":
		e.Variant = &pb.Expression_Abs{Abs: expression(r)}
	case "sqrt":
		e.Variant = &pb.Expression_Sqrt{Sqrt: expression(r)}
	case "pow":
		e.Variant = &pb.Expression_Pow{Pow: power(r)}
	case "exp":
		e.Variant = &pb.Expression_Exp{Exp: expression(r)}
	case "log10":
		e.Variant = &pb.Expression_Log10{Log10: expression(r)}
	case "ln":
		e.Variant = &pb.Expression_Ln{Ln: expression(r)}
	case "lin_decay":
		e.Variant = &pb.Expression_LinDecay{LinDecay: decay(r)}
	case "exp_decay":
		e.Variant = &pb.Expression_ExpDecay{ExpDecay: decay(r)}
	case "gauss_decay":
		e.Variant = &pb.Expression_GaussDecay{GaussDecay: decay(r)}
	default:
		return false
	}
	return true
}

func geoDistance(r *jsonx.Reader) *pb.GeoDistance {
	g := &pb.GeoDistance{}
	has := false
	for key := range r.Fields() {
		switch key {
		case "origin":
			g.Origin = geoPoint(r)
		case "to":
			g.To, has = r.Text(), true
		default:
			r.Skip()
		}
	}
	r.Missing(g.Origin == nil, "origin")
	r.Missing(!has, "to")
	return g
}

func division(r *jsonx.Reader) *pb.DivExpression {
	d := &pb.DivExpression{}
	for key := range r.Fields() {
		switch key {
		case "left":
			d.Left = expression(r)
		case "right":
			d.Right = expression(r)
		case "by_zero_default":
			d.ByZeroDefault = new(r.Float32())
		default:
			r.Skip()
		}
	}
	r.Missing(d.Left == nil, "left")
	r.Missing(d.Right == nil, "right")
	return d
}

func power(r *jsonx.Reader) *pb.PowExpression {
	p := &pb.PowExpression{}
	for key := range r.Fields() {
		switch key {
		case "base":
			p.Base = expression(r)
		case "exponent":
			p.Exponent = expression(r)
		default:
			r.Skip()
		}
	}
	r.Missing(p.Base == nil, "base")
	r.Missing(p.Exponent == nil, "exponent")
	return p
}

func decay(r *jsonx.Reader) *pb.DecayParamsExpression {
	d := &pb.DecayParamsExpression{}
	for key := range r.Fields() {
		switch key {
		case "x":
			d.X = expression(r)
		case "target":
			d.Target = expression(r)
		case "scale":
			d.Scale = new(r.Float32())
		case "midpoint":
			d.Midpoint = new(r.Float32())
		default:
			r.Skip()
		}
	}
	r.Missing(d.X == nil, "x")
	return d
}
