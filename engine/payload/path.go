package payload

import (
	"strconv"
	"strings"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Path is a parsed JSON path: a key, then keys, indexes and wildcards.
//
//	a.b   a[0]   a[].b   "quo.ted".x
//
// The zero Path selects nothing. Paths are immutable.
type Path struct {
	steps []step
	text  string
}

type stepKind uint8

const (
	stepKey stepKind = iota
	stepIndex
	stepWildcard
)

type step struct {
	kind  stepKind
	key   string
	index int
}

// maxSteps bounds the length of a path; no Object has anything deeper.
const maxSteps = MaxDepth

// ParsePath reads a path. The error is of kind BadInput and quotes the text.
func ParsePath(text string) (Path, error) {
	p := pathParser{rest: text}
	steps, ok := p.parse()
	if !ok || len(steps) > maxSteps {
		return Path{}, apierror.New(apierror.BadInput, "Invalid JSON path: '%s'", text)
	}
	return Path{steps: steps, text: text}, nil
}

// String returns the path as it was written.
func (p Path) String() string { return p.text }

// IsZero reports whether p is the zero Path.
func (p Path) IsZero() bool { return len(p.steps) == 0 }

type pathParser struct{ rest string }

func (p *pathParser) parse() (steps []step, ok bool) {
	for {
		key, ok := p.key()
		if !ok {
			return nil, false
		}
		steps = append(steps, step{kind: stepKey, key: key})
		for strings.HasPrefix(p.rest, "[") {
			s, ok := p.bracket()
			if !ok {
				return nil, false
			}
			steps = append(steps, s)
		}
		if p.rest == "" {
			return steps, true
		}
		if p.rest[0] != '.' {
			return nil, false
		}
		p.rest = p.rest[1:]
	}
}

// key reads a key, quoted or plain. A plain one is of letters, digits and
// everything else that has no meaning in a path.
func (p *pathParser) key() (string, bool) {
	if strings.HasPrefix(p.rest, `"`) {
		closing := strings.IndexByte(p.rest[1:], '"')
		if closing < 0 {
			return "", false
		}
		key := p.rest[1 : 1+closing]
		p.rest = p.rest[closing+2:]
		return key, true
	}
	n := strings.IndexAny(p.rest, `.[]"`)
	if n < 0 {
		n = len(p.rest)
	}
	key := p.rest[:n]
	p.rest = p.rest[n:]
	return key, n > 0
}

// bracket reads "[]" or "[12]".
func (p *pathParser) bracket() (step, bool) {
	closing := strings.IndexByte(p.rest, ']')
	if closing < 0 {
		return step{}, false
	}
	inner := p.rest[1:closing]
	p.rest = p.rest[closing+1:]
	if inner == "" {
		return step{kind: stepWildcard}, true
	}
	n, err := strconv.ParseUint(inner, 10, 31)
	if err != nil || inner[0] == '+' {
		return step{}, false
	}
	return step{kind: stepIndex, index: int(n)}, true
}

// Visit calls fn with each value that p selects in o, in order, until fn
// returns false. Keys go through objects only and indexes and wildcards through
// arrays only: `a.b` selects nothing when a is an array.
func (p Path) Visit(o Object, fn func(Value) bool) {
	if len(p.steps) > 0 {
		visit(p.steps[1:], o.Get(p.steps[0].key), fn)
	}
}

func visit(steps []step, v Value, fn func(Value) bool) bool {
	for i, s := range steps {
		switch s.kind {
		case stepKey:
			o, _ := v.Object()
			v = o.Get(s.key)
		case stepIndex:
			v = v.element(s.index)
		case stepWildcard:
			for e := range v.Elements() {
				if !visit(steps[i+1:], e, fn) {
					return false
				}
			}
			return true
		}
		if len(v) == 0 {
			return true
		}
	}
	return len(v) == 0 || fn(v)
}

func (v Value) element(i int) Value {
	for e := range v.Elements() {
		if i == 0 {
			return e
		}
		i--
	}
	return nil
}

// First returns the first value that p selects in o, Missing when none.
func (p Path) First(o Object) (first Value) {
	p.Visit(o, func(v Value) bool {
		first = v
		return false
	})
	return first
}

// EachScalar calls fn with each value that p selects, arrays replaced by their
// elements (one level only), until fn returns false. This is how conditions and
// indexes look at a field.
func (p Path) EachScalar(o Object, fn func(Value) bool) {
	p.Visit(o, func(v Value) bool {
		if v.Kind() != Array {
			return fn(v)
		}
		for e := range v.Elements() {
			if !fn(e) {
				return false
			}
		}
		return true
	})
}

// Covers reports whether a change at key changes what p selects: one of the two
// begins with the other. Indexes and wildcards count as equal.
func (p Path) Covers(other Path) bool {
	for i := range min(len(p.steps), len(other.steps)) {
		a, b := p.steps[i], other.steps[i]
		if (a.kind == stepKey) != (b.kind == stepKey) || a.key != b.key {
			return false
		}
		if a.kind == stepIndex && b.kind == stepIndex && a.index != b.index {
			return false
		}
	}
	return true
}
