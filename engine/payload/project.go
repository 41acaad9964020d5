package payload

// Include returns the part of o that the paths select, with what lies on the way there: objects and
// arrays, also when nothing in them is selected, and other values where a path would go on. Of `a[0]` an array
// with one element stays.
func Include(o Object, paths []Path) Object { return includeMap(nil, o, suffixes(paths)) }

// Exclude returns o without what the paths select.
func Exclude(o Object, paths []Path) Object {
	return excludeMap(make([]byte, 0, len(o)), o, suffixes(paths))
}

// suffixes returns the steps of each path: what is still to go from the root.
func suffixes(paths []Path) [][]step {
	all := make([][]step, 0, len(paths))
	for _, p := range paths {
		if len(p.steps) > 0 {
			all = append(all, p.steps)
		}
	}
	return all
}

// intoKey returns what is left of each path after the key.
func intoKey(paths [][]step, key []byte) (rest [][]step) {
	for _, p := range paths {
		if p[0].kind == stepKey && p[0].key == string(key) {
			rest = append(rest, p[1:])
		}
	}
	return rest
}

// intoElement returns what is left of each path after element i.
func intoElement(paths [][]step, i int) (rest [][]step) {
	for _, p := range paths {
		if p[0].kind == stepWildcard || p[0].kind == stepIndex && p[0].index == i {
			rest = append(rest, p[1:])
		}
	}
	return rest
}

// ends reports whether a path ends here.
func ends(paths [][]step) bool {
	for _, p := range paths {
		if len(p) == 0 {
			return true
		}
	}
	return false
}

func includeMap(b []byte, o Object, paths [][]step) []byte {
	for key, v := range o.All() {
		if sub := intoKey(paths, key); len(sub) > 0 {
			b = include(appendKey(b, key), v, sub)
		}
	}
	return b
}

func include(b []byte, v Value, paths [][]step) []byte {
	switch {
	case ends(paths):
		return append(b, v...)
	case v.Kind() == Map:
		o, _ := v.Object()
		b, start := begin(b, tagMap)
		return end(includeMap(b, o, paths), start)
	case v.Kind() == Array:
		b, start := begin(b, tagArray)
		i := 0
		for e := range v.Elements() {
			if sub := intoElement(paths, i); len(sub) > 0 {
				b = include(b, e, sub)
			}
			i++
		}
		return end(b, start)
	default:
		return append(b, v...)
	}
}

func excludeMap(b []byte, o Object, paths [][]step) []byte {
	for key, v := range o.All() {
		sub := intoKey(paths, key)
		if !ends(sub) {
			b = exclude(appendKey(b, key), v, sub)
		}
	}
	return b
}

// exclude copies v without what the paths, none of which ends here, select.
func exclude(b []byte, v Value, paths [][]step) []byte {
	if len(paths) == 0 {
		return append(b, v...)
	}
	switch v.Kind() {
	case Map:
		o, _ := v.Object()
		b, start := begin(b, tagMap)
		return end(excludeMap(b, o, paths), start)
	case Array:
		b, start := begin(b, tagArray)
		i := 0
		for e := range v.Elements() {
			if sub := intoElement(paths, i); !ends(sub) {
				b = exclude(b, e, sub)
			}
			i++
		}
		return end(b, start)
	default:
		return append(b, v...)
	}
}
