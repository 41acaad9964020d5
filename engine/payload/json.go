package payload

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sextantdb/sextant/internal/apierror"
)

// FromJSON reads the JSON text of one object; null gives a nil Object. A key
// that occurs twice keeps the last value. The error is of kind Format.
func FromJSON(text []byte) (Object, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	o, err := Decode(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, apierror.New(apierror.Format, "trailing characters after the payload")
	}
	return o, nil
}

// Decode reads the next value of dec, which must be an object or null (a nil
// Object). dec should allow duplicate names, else they are an error. The error
// is of kind Format.
func Decode(dec *jsontext.Decoder) (Object, error) {
	switch kind := dec.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindNull:
	case jsontext.KindInvalid:
		_, err := dec.ReadToken()
		return nil, apierror.New(apierror.Format, "%w", err)
	default:
		return nil, apierror.New(apierror.Format, "invalid type: %s, expected a map", kind)
	}
	text, err := dec.ReadValue()
	if err != nil {
		return nil, apierror.New(apierror.Format, "%w", err)
	}
	if text[0] == 'n' {
		return nil, nil
	}
	// The binary form is about as long as compact text.
	p := parser{text: text, out: make([]byte, 0, len(text))}
	if err := p.value(0); err != nil {
		return nil, err
	}
	return slices.Clip(Object(p.out[5:])), nil
}

var errSyntax = errors.New("syntax error")

// parser turns JSON text that jsontext has found valid into binary form. It is
// an own pass, since tokens one by one cost three times as much.
type parser struct {
	text []byte
	pos  int
	out  []byte
}

// next skips blanks, commas and colons, whose places are known to be right, and
// returns the byte after them, 0 at the end.
func (p *parser) next() byte {
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
		default:
			return c
		}
	}
	return 0
}

func (p *parser) value(depth int) error {
	switch c := p.next(); c {
	case 'n':
		p.pos += len("null")
		p.out = append(p.out, tagNull)
	case 't':
		p.pos += len("true")
		p.out = append(p.out, tagTrue)
	case 'f':
		p.pos += len("false")
		p.out = append(p.out, tagFalse)
	case '"':
		p.out = append(p.out, tagString)
		return p.str()
	case '[', '{':
		if depth >= MaxDepth {
			return apierror.New(apierror.Format, "recursion limit exceeded")
		}
		return p.composite(c, depth)
	default:
		return p.number()
	}
	return nil
}

func (p *parser) composite(open byte, depth int) error {
	tag, closing := tagArray, byte(']')
	if open == '{' {
		tag, closing = tagMap, '}'
	}
	p.pos++
	var start int
	p.out, start = begin(p.out, tag)
	for {
		switch c := p.next(); {
		case c == closing:
			p.pos++
			if tag == tagMap {
				p.out = dedup(p.out, start)
			}
			if len(p.out)-start > math.MaxUint32 {
				return apierror.New(apierror.Format, "payload too large")
			}
			p.out = end(p.out, start)
			return nil
		case c == 0:
			return errSyntax
		case tag == tagMap:
			if err := p.str(); err != nil {
				return err
			}
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
	}
}

// str reads a string and writes its length and bytes.
func (p *parser) str() error {
	start := p.pos
	for p.pos++; p.pos < len(p.text) && p.text[p.pos] != '"'; p.pos++ {
		if p.text[p.pos] == '\\' {
			p.pos++
		}
	}
	if p.pos >= len(p.text) {
		return errSyntax
	}
	p.pos++
	raw := p.text[start:p.pos]
	if bytes.IndexByte(raw, '\\') < 0 {
		p.out = appendKey(p.out, raw[1:len(raw)-1])
		return nil
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return apierror.New(apierror.Format, "%w", err)
	}
	p.out = appendKey(p.out, s)
	return nil
}

func (p *parser) number() error {
	start := p.pos
	isFloat := false
scan:
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; c {
		case '.', 'e', 'E':
			isFloat = true
		case '-', '+', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		default:
			break scan
		}
	}
	s := string(p.text[start:p.pos])
	if !isFloat && s != "-0" {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			p.out = appendInt(p.out, n)
			return nil
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			p.out = appendUint(p.out, n)
			return nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return apierror.New(apierror.Format, "number out of range: %s", s)
	}
	p.out = appendFloat(p.out, f)
	return nil
}

// AppendJSON appends o as JSON text without blanks. Floats are printed in their
// shortest form and always with a point or an exponent.
func AppendJSON(dst []byte, o Object) []byte {
	dst = append(dst, '{')
	first := true
	for key, v := range o.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendQuote(dst, key), ':')
		dst = AppendValueJSON(dst, v)
	}
	return append(dst, '}')
}

// AppendValueJSON appends v as JSON text; a missing value is null.
func AppendValueJSON(dst []byte, v Value) []byte {
	switch v.Kind() {
	case Bool:
		return strconv.AppendBool(dst, v[0] == tagTrue)
	case Int:
		if n, ok := v.Int(); ok {
			return strconv.AppendInt(dst, n, 10)
		}
		n, _ := v.Uint()
		return strconv.AppendUint(dst, n, 10)
	case Float:
		f, _ := v.Float()
		return appendFloatJSON(dst, f)
	case String:
		s, _ := v.Text()
		return appendQuote(dst, s)
	case Array:
		dst = append(dst, '[')
		first := true
		for e := range v.Elements() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = AppendValueJSON(dst, e)
		}
		return append(dst, ']')
	case Map:
		o, _ := v.Object()
		return AppendJSON(dst, o)
	default:
		return append(dst, "null"...)
	}
}

// appendQuote appends a string literal; bytes that aren't UTF-8 (in an Object
// that was never checked) come out as U+FFFD.
func appendQuote(dst, s []byte) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(dst, bytes.ToValidUTF8(s, []byte("\uFFFD")))
	}
	return out
}

// appendFloatJSON prints the shortest digits that read back as f, with an
// exponent below 1e-5 and from 1e16 on, as the clients of the API expect.
func appendFloatJSON(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	start := len(dst)
	if a := math.Abs(f); a == 0 || a >= 1e-5 && a < 1e16 {
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// "1e-06" becomes "1e-6", "1e+21" becomes "1e21".
	at := start + bytes.IndexByte(dst[start:], 'e') + 1
	exponent, _ := strconv.Atoi(string(dst[at:]))
	return strconv.AppendInt(dst[:at], int64(exponent), 10)
}
