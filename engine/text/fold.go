package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// foldLetters are Latin letters and signs without a canonical or compatibility
// decomposition that ends in ASCII.
var foldLetters = map[rune]string{
	'Æ': "AE", 'æ': "ae", 'Ǽ': "AE", 'ǽ': "ae", 'Œ': "OE", 'œ': "oe", 'ß': "ss", 'ẞ': "SS",
	'Ø': "O", 'ø': "o", 'Ǿ': "O", 'ǿ': "o", 'Đ': "D", 'đ': "d", 'Ð': "D", 'ð': "d",
	'Þ': "TH", 'þ': "th", 'Ł': "L", 'ł': "l", 'Ħ': "H", 'ħ': "h", 'ı': "i", 'Ŧ': "T", 'ŧ': "t",
	'Ŋ': "N", 'ŋ': "n", 'ĸ': "q", 'Ƀ': "B", 'ƀ': "b", 'Ɖ': "D", 'ɖ': "d", 'Ɓ': "B", 'ɓ': "b",
	'Ƈ': "C", 'ƈ': "c", 'Ɗ': "D", 'ɗ': "d", 'Ə': "A", 'ə': "a", 'Ɛ': "E", 'ɛ': "e", 'Ƒ': "F",
	'ƒ': "f", 'Ɠ': "G", 'ɠ': "g", 'Ɨ': "I", 'ɨ': "i", 'Ƙ': "K", 'ƙ': "k", 'Ɵ': "O", 'ɵ': "o",
	'Ƥ': "P", 'ƥ': "p", 'Ƭ': "T", 'ƭ': "t", 'Ʋ': "V", 'ʋ': "v", 'Ƴ': "Y", 'ƴ': "y", 'Ƶ': "Z",
	'ƶ': "z", 'ȷ': "j", 'ɐ': "a", 'ɑ': "a", 'ɔ': "o", 'Ɔ': "O", 'ʙ': "B", 'ɢ': "G", 'ʜ': "H",
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '“': "\"", '”': "\"", '„': "\"", '‐': "-", '‑': "-",
	'‒': "-", '–': "-", '—': "-", '«': "\"", '»': "\"",
}

// foldASCII replaces letters with diacritics, ligatures, full-width forms and
// Latin letters with strokes by their ASCII likeness. What has none stays: other
// scripts keep their marks, which carry meaning there.
func foldASCII(s string) string {
	if isASCII(s) {
		return s
	}
	var out strings.Builder
	out.Grow(len(s))
	afterLatin := false // the last written letter was ASCII
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			out.WriteRune(r)
			afterLatin = true
		case afterLatin && unicode.Is(unicode.Mn, r):
			// A combining mark on a letter that is ASCII already.
		default:
			repl, ok := foldRune(r)
			afterLatin = ok
			if !ok {
				out.WriteRune(r)
			} else {
				out.WriteString(repl)
			}
		}
	}
	return out.String()
}

// foldRune returns the ASCII likeness of one rune, if it has one.
func foldRune(r rune) (string, bool) {
	if repl, ok := foldLetters[r]; ok {
		return repl, true
	}
	decomposed := norm.NFKD.String(string(r))
	var out strings.Builder
	for _, d := range decomposed {
		switch {
		case d < utf8.RuneSelf:
			out.WriteRune(d)
		case unicode.Is(unicode.Mn, d):
		default:
			repl, ok := foldLetters[d]
			if !ok {
				return "", false
			}
			out.WriteString(repl)
		}
	}
	return out.String(), out.Len() > 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
