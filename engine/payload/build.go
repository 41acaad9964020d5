package payload

import (
	"encoding/binary"
	"math"
)

// The append functions write one encoded value to the end of b. Arrays and maps
// are opened by begin, which returns where they start, and closed by end.

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return binary.AppendUvarint(append(b, tagNeg), uint64(-1-n))
	}
	return binary.AppendUvarint(append(b, tagUint), uint64(n))
}

func appendUint(b []byte, n uint64) []byte {
	return binary.AppendUvarint(append(b, tagUint), n)
}

// appendFloat writes null for what JSON can't express.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, tagNull)
	}
	return binary.LittleEndian.AppendUint64(append(b, tagFloat), math.Float64bits(f))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, tagTrue)
	}
	return append(b, tagFalse)
}

func appendKey(b, key []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(key))), key...)
}

func appendString(b []byte, s string) []byte {
	b = append(b, tagString)
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func begin(b []byte, tag byte) ([]byte, int) {
	b = append(b, tag, 0, 0, 0, 0)
	return b, len(b)
}

func end(b []byte, start int) []byte {
	binary.LittleEndian.PutUint32(b[start-4:], uint32(len(b)-start))
	return b
}

// dedup makes the entries of b from start on an object: of a key that occurs
// several times the last value stays, at the place of the first.
func dedup(b []byte, start int) []byte {
	if !hasDuplicates(b[start:]) {
		return b
	}
	last := map[string]Value{}
	for key, v := range Object(b[start:]).All() {
		last[string(key)] = v
	}
	out := make([]byte, 0, len(b)-start)
	for key := range Object(b[start:]).All() {
		if v, ok := last[string(key)]; ok {
			out = append(appendKey(out, key), v...)
			delete(last, string(key))
		}
	}
	return append(b[:start], out...)
}
