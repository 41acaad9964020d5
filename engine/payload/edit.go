package payload

import (
	"bytes"
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Merge returns dst with the keys of src set: those that exist keep their
// place, the others come after. A key that is null in src is taken away, also when
// it is null in dst.
func Merge(dst, src Object) Object {
	if len(src) == 0 {
		return dst
	}
	var gone [][]byte
	for key, v := range src.All() {
		if v.Kind() == Null {
			gone = append(gone, key)
		}
	}
	b := make([]byte, 0, len(dst)+len(src))
	return dedup(appendWithout(appendWithout(b, dst, gone), src, gone), 0)
}

// appendWithout appends the entries of o, but for some keys.
func appendWithout(b []byte, o Object, keys [][]byte) []byte {
	if len(keys) == 0 {
		return append(b, o...)
	}
	for key, v := range o.All() {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			b = append(appendKey(b, key), v...)
		}
	}
	return b
}

// SetAt returns dst with src merged into the object at p. Objects and arrays that are
// missing on the way are made, other values in their place are replaced. An array that is
// made is empty, so that nothing comes into it, and an index out of range changes
// nothing. The error, of kind BadInput, is about depth.
func SetAt(dst Object, p Path, src Object) (Object, error) {
	if len(p.steps) == 0 {
		return Merge(dst, src), nil
	}
	b := setMap(make([]byte, 0, len(dst)+len(src)+16), dst, p.steps, src)
	// src may be as deep as it may be by itself.
	if !checkMap(b, 1) {
		return nil, apierror.New(apierror.BadInput, "Payload is nested too deeply, the limit is %d", MaxDepth)
	}
	return b, nil
}

// setMap appends o with src set at steps, of which the first is a key.
func setMap(b []byte, o Object, steps []step, src Object) []byte {
	found := false
	for key, v := range o.All() {
		b = appendKey(b, key)
		if string(key) == steps[0].key {
			found = true
			b = setValue(b, v, steps[1:], src)
		} else {
			b = append(b, v...)
		}
	}
	if !found {
		b = setValue(appendKey(b, []byte(steps[0].key)), nil, steps[1:], src)
	}
	return b
}

// setValue appends what v, which may be Missing, becomes.
func setValue(b []byte, v Value, steps []step, src Object) []byte {
	if len(steps) == 0 || steps[0].kind == stepKey {
		o, _ := v.Object()
		b, start := begin(b, tagMap)
		if len(steps) == 0 {
			b = append(b, Merge(o, src)...)
		} else {
			b = setMap(b, o, steps, src)
		}
		return end(b, start)
	}
	b, start := begin(b, tagArray)
	i := 0
	for e := range v.Elements() { // none of what is no array
		if steps[0].kind == stepWildcard || steps[0].index == i {
			b = setValue(b, e, steps[1:], src)
		} else {
			b = append(b, e...)
		}
		i++
	}
	return end(b, start)
}

// DeleteAt returns o without the keys that p selects. A path that ends with a
// wildcard empties the array; one that ends with an index changes nothing, as
// elements have no identity to delete them by.
func DeleteAt(o Object, p Path) Object {
	if len(p.steps) == 0 {
		return o
	}
	return deleteMap(make([]byte, 0, len(o)), o, p.steps)
}

func deleteMap(b []byte, o Object, steps []step) []byte {
	for key, v := range o.All() {
		switch {
		case string(key) != steps[0].key:
			b = append(appendKey(b, key), v...)
		case len(steps) > 1:
			b = deleteValue(appendKey(b, key), v, steps[1:])
		}
	}
	return b
}

func deleteValue(b []byte, v Value, steps []step) []byte {
	s := steps[0]
	switch {
	case s.kind == stepKey && v.Kind() == Map:
		o, _ := v.Object()
		b, start := begin(b, tagMap)
		return end(deleteMap(b, o, steps), start)
	case s.kind == stepKey || v.Kind() != Array || s.kind == stepIndex && len(steps) == 1:
		return append(b, v...)
	}
	b, start := begin(b, tagArray)
	i := 0
	for e := range v.Elements() {
		switch {
		case s.kind == stepIndex && s.index != i:
			b = append(b, e...)
		case len(steps) > 1:
			b = deleteValue(b, e, steps[1:])
		}
		i++
	}
	return end(b, start)
}
