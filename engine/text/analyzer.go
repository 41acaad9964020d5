package text

import (
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Options are the settings of a text index. The zero value is its default: the
// word tokenizer, lower-cased, nothing dropped, nothing stemmed.
type Options struct {
	// Tokenizer cuts the text.
	Tokenizer Tokenizer
	// KeepCase leaves upper-case letters as they are.
	KeepCase bool
	// ASCIIFolding replaces accented letters by their ASCII likeness.
	ASCIIFolding bool
	// MinLen and MaxLen bound the length of a token in characters; 0 is no bound.
	// For the prefix tokenizer they bound the prefixes.
	MinLen, MaxLen int
	// StopLanguages names the languages whose stop words are dropped.
	StopLanguages []Language
	// Stopwords are further words to drop.
	Stopwords []string
	// Stemmer is the language whose snowball stemmer is applied, "" for none.
	Stemmer Language
}

// MaxPrefix bounds the length of prefixes in characters when Options.MaxLen is
// larger or not given, so that the tokens of a long word don't grow with the
// square of its length. Queries are cut to it as well, and still find the word.
const MaxPrefix = 64

// Analyzer turns text into tokens. It is immutable: any number of goroutines
// may use one. The zero value is that of the default options.
type Analyzer struct {
	opts Options
	stop map[string]struct{}
	stem func(*snowballstem.Env) bool
}

// New makes an Analyzer. The error has kind BadInput, or NotImplemented for a
// language without a stemmer.
func New(opts Options) (*Analyzer, error) {
	if opts.MinLen < 0 || opts.MaxLen < 0 {
		return nil, apierror.New(apierror.BadInput, "token length bounds must not be negative")
	}
	if opts.MaxLen > 0 && opts.MinLen > opts.MaxLen {
		return nil, apierror.New(apierror.BadInput,
			"min_token_len %d is larger than max_token_len %d", opts.MinLen, opts.MaxLen)
	}
	a := &Analyzer{opts: opts}
	if opts.Stemmer != "" {
		if a.stem = stemmers[opts.Stemmer]; a.stem == nil {
			return nil, apierror.New(apierror.NotImplemented, "there is no stemmer for the language `%s`", opts.Stemmer)
		}
	}
	a.addStopwords()
	return a, nil
}

// addStopwords brings every stop word into the form in which tokens are
// compared with it.
func (a *Analyzer) addStopwords() {
	add := func(words []string) {
		for _, w := range words {
			if w = a.normalize(strings.ToValidUTF8(w, "")); w != "" {
				a.stop[w] = struct{}{}
			}
		}
	}
	if len(a.opts.StopLanguages) == 0 && len(a.opts.Stopwords) == 0 {
		return
	}
	a.stop = make(map[string]struct{})
	for _, lang := range a.opts.StopLanguages {
		add(Stopwords(lang))
	}
	add(a.opts.Stopwords)
}

// Document returns the tokens of a stored text in order. The position of a token
// for phrases is its ordinal: dropped words leave no gap. Tokens may share the
// memory of text.
func (a *Analyzer) Document(text string) iter.Seq[string] {
	if a.opts.Tokenizer == Prefix {
		return a.prefixes(text)
	}
	return a.tokens(text)
}

// Query returns the tokens that a query with this text asks for, in order.
func (a *Analyzer) Query(text string) iter.Seq[string] {
	if a.opts.Tokenizer != Prefix {
		return a.tokens(text)
	}
	return func(yield func(string) bool) {
		for word := range a.words(text) {
			if !yield(cutRunes(word, a.maxPrefix())) {
				return
			}
		}
	}
}

// tokens applies all stages.
func (a *Analyzer) tokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range a.words(text) {
			if a.lengthFits(word) && !yield(word) {
				return
			}
		}
	}
}

// prefixes yields, for every word, its prefixes from the least length up; a word
// shorter than that stands for itself.
func (a *Analyzer) prefixes(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range a.words(text) {
			for n := max(a.opts.MinLen, 1); n <= a.maxPrefix(); n++ {
				prefix := cutRunes(word, n)
				if !yield(prefix) {
					return
				}
				if len(prefix) == len(word) {
					break
				}
			}
		}
	}
}

// words applies all stages but the length check.
func (a *Analyzer) words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var env *snowballstem.Env // one a text: an Env isn't safe for concurrent use
		if a.stem != nil {
			env = snowballstem.NewEnv("")
		}
		for word := range a.opts.Tokenizer.split(strings.ToValidUTF8(text, "\uFFFD")) {
			word = a.normalize(word)
			if _, drop := a.stop[word]; drop {
				continue
			}
			if a.stem != nil && len(word) <= maxStemBytes {
				env.SetCurrent(word)
				a.stem(env)
				word = env.Current()
			}
			if word != "" && !yield(word) {
				return
			}
		}
	}
}

// normalize folds and lower-cases.
func (a *Analyzer) normalize(word string) string {
	if a.opts.ASCIIFolding {
		word = foldASCII(word)
	}
	if !a.opts.KeepCase {
		word = lower(word)
	}
	return word
}

// lower is the full Unicode lower-casing. Its two context-dependent or growing
// cases need the slow way: a final sigma and the dotted capital I.
func lower(s string) string {
	if !isASCII(s) && strings.ContainsAny(s, "Σİ") {
		return cases.Lower(language.Und).String(s)
	}
	return strings.ToLower(s)
}

func (a *Analyzer) lengthFits(token string) bool {
	if a.opts.MinLen == 0 && a.opts.MaxLen == 0 {
		return true
	}
	n := utf8.RuneCountInString(token)
	return n >= a.opts.MinLen && (a.opts.MaxLen == 0 || n <= a.opts.MaxLen)
}

// maxPrefix is at least MinLen, so that a least length above MaxPrefix works.
func (a *Analyzer) maxPrefix() int {
	if a.opts.MaxLen > 0 && a.opts.MaxLen < MaxPrefix {
		return a.opts.MaxLen
	}
	return max(MaxPrefix, a.opts.MinLen)
}

// cutRunes returns the first n characters of s, all when it has fewer.
func cutRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
