package text

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/words"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Tokenizer says how a text is cut into words.
type Tokenizer uint8

// The tokenizers of the public API.
const (
	// Word cuts at everything that is neither a letter nor a number.
	Word Tokenizer = iota
	// Whitespace cuts at white space only.
	Whitespace
	// Prefix cuts as Word does; a stored word stands for all its prefixes.
	Prefix
	// Multilingual cuts at the word boundaries of Unicode Standard Annex 29.
	Multilingual
)

var tokenizerNames = [...]string{"word", "whitespace", "prefix", "multilingual"}

// String returns the name in the public API.
func (t Tokenizer) String() string {
	if int(t) < len(tokenizerNames) {
		return tokenizerNames[t]
	}
	return "unknown"
}

// ParseTokenizer returns the tokenizer with a name. The error has kind BadInput.
func ParseTokenizer(name string) (Tokenizer, error) {
	for i, n := range tokenizerNames {
		if strings.EqualFold(n, name) {
			return Tokenizer(i), nil
		}
	}
	return 0, apierror.New(apierror.BadInput,
		"unknown tokenizer `%s`, expected one of `prefix`, `whitespace`, `word`, `multilingual`", name)
}

// split returns the raw words of a text: parts of it, in order.
func (t Tokenizer) split(text string) iter.Seq[string] {
	switch t {
	case Whitespace:
		return strings.FieldsSeq(text)
	case Multilingual:
		return splitUAX29(text)
	default:
		return strings.FieldsFuncSeq(text, func(r rune) bool { return !isAlphanumeric(r) })
	}
}

// splitUAX29 yields the segments between word boundaries that have at least one
// letter or number. Scripts written without spaces, for which the annex leaves
// words to a dictionary, give one ideograph a segment.
func splitUAX29(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for seg := words.FromString(text); seg.Next(); {
			word := seg.Value()
			if strings.ContainsFunc(word, isAlphanumeric) && !yield(word) {
				return
			}
		}
	}
}

// isAlphanumeric is the Unicode property Alphabetic or any number. The vowel
// signs of Indic scripts are alphabetic without being letters.
func isAlphanumeric(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Other_Alphabetic, r)
}
