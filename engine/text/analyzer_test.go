package text_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/text"
	"github.com/sextantdb/sextant/internal/apierror"
)

func documentTokens(t *testing.T, opts text.Options, s string) []string {
	t.Helper()
	a, err := text.New(opts)
	require.NoError(t, err)
	return slices.Collect(a.Document(s))
}

func queryTokens(t *testing.T, opts text.Options, s string) []string {
	t.Helper()
	a, err := text.New(opts)
	require.NoError(t, err)
	return slices.Collect(a.Query(s))
}

func TestStages(t *testing.T) {
	f := func(opts text.Options, in string, want ...string) {
		t.Helper()
		require.Equal(t, want, documentTokens(t, opts, in))
		if opts.Tokenizer != text.Prefix {
			require.Equal(t, want, queryTokens(t, opts, in))
		}
	}
	f(text.Options{}, "Hello, World-wide web_2!", "hello", "world", "wide", "web", "2")
	f(text.Options{}, "don't  stop", "don", "t", "stop")
	f(text.Options{KeepCase: true}, "Hello World", "Hello", "World")
	f(text.Options{Tokenizer: text.Whitespace}, " io.Reader\tand\u00a0io.Writer, x ", "io.reader", "and", "io.writer,", "x")
	f(text.Options{Tokenizer: text.Multilingual}, "Don't e-mail 3.14 日本 (x)", "don't", "e", "mail", "3.14", "日", "本", "x")
	f(text.Options{}, "हिन्दी", "हिन", "दी") // a virama is not alphabetic
	f(text.Options{Tokenizer: text.Multilingual}, "हिन्दी", "हिन्दी")

	f(text.Options{ASCIIFolding: true}, "Ação ÆGIS Straße Łódź ﬁne Ｆｕｌｌ", "acao", "aegis", "strasse", "lodz", "fine", "full")
	f(text.Options{ASCIIFolding: true, Tokenizer: text.Whitespace}, "e\u0301te\u0301 “x”", "ete", "\"x\"")
	f(text.Options{ASCIIFolding: true}, "й Ж", "й", "ж")
	f(text.Options{}, "ΟΔΟΣ İstanbul ΣΑΣ", "οδος", "i\u0307stanbul", "σας")

	f(text.Options{MinLen: 2, MaxLen: 4}, "a bb cccc ddddd éé ééééé", "bb", "cccc", "éé")
	f(text.Options{StopLanguages: []text.Language{text.English}, Stopwords: []string{"Foo"}}, "the FOO and Bars", "bars")
	f(text.Options{StopLanguages: []text.Language{"german"}, ASCIIFolding: true}, "etwas für uns beide", "beide")
	f(text.Options{KeepCase: true, Stopwords: []string{"foo"}}, "foo Foo", "Foo")
	f(text.Options{Stemmer: "english"}, "running connections easily", "run", "connect", "easili")
	f(text.Options{Stemmer: "german"}, "Häuser", "haus")
	f(text.Options{Stemmer: "english", MaxLen: 3}, "running runner", "run") // the stem is measured
}

func TestPrefixTokenizer(t *testing.T) {
	opts := text.Options{Tokenizer: text.Prefix, MinLen: 2, MaxLen: 4}
	require.Equal(t, []string{"a", "be", "ber", "berl"}, documentTokens(t, opts, "A Berlin"))
	require.Equal(t, []string{"a", "berl", "bé"}, queryTokens(t, opts, "A Berlin bé"))
	require.Equal(t, []string{"b", "be"}, documentTokens(t, text.Options{Tokenizer: text.Prefix}, "be"))
}

func TestPrefixesOfLongWordAreBounded(t *testing.T) {
	opts := text.Options{Tokenizer: text.Prefix}
	word := strings.Repeat("x", 100_000)
	require.Len(t, documentTokens(t, opts, word), text.MaxPrefix)
	require.Contains(t, documentTokens(t, opts, word), queryTokens(t, opts, word)[0])
	opts.MinLen = 100
	require.Contains(t, documentTokens(t, opts, word), queryTokens(t, opts, word)[0])
}

func TestBadOptions(t *testing.T) {
	_, err := text.New(text.Options{MinLen: 3, MaxLen: 2})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
	_, err = text.New(text.Options{MinLen: -1})
	require.Equal(t, apierror.BadInput, apierror.KindOf(err))
	_, err = text.New(text.Options{Stemmer: "greek"})
	require.ErrorContains(t, err, "no stemmer for the language `greek`")
	_, err = text.ParseTokenizer("words")
	require.ErrorContains(t, err, "`words`")
}

func TestParseLanguage(t *testing.T) {
	for _, name := range []string{"english", "English", "en", " EN "} {
		lang, err := text.ParseLanguage(name)
		require.NoError(t, err)
		require.Equal(t, text.English, lang)
	}
	for _, name := range []string{"", "klingon", "none"} {
		_, err := text.ParseLanguage(name)
		require.Error(t, err, name)
	}
}

func TestStopwordListsAreClean(t *testing.T) {
	require.Greater(t, len(text.ListedStopwords()), 15)
	for _, lang := range text.ListedStopwords() {
		_, err := text.ParseLanguage(string(lang))
		require.NoError(t, err)
		words := text.Stopwords(lang)
		require.Greater(t, len(words), 80, lang)
		for _, w := range words {
			require.True(t, utf8.ValidString(w))
			require.Equal(t, strings.ToLower(w), w)
		}
	}
	require.Empty(t, text.Stopwords("tajik"))
	for _, lang := range text.Stemmers() {
		_, err := text.ParseLanguage(string(lang))
		require.NoError(t, err)
	}
}

func drawOptions(t *rapid.T) text.Options {
	opts := text.Options{
		Tokenizer:    text.Tokenizer(rapid.IntRange(0, 3).Draw(t, "tokenizer")),
		KeepCase:     rapid.Bool().Draw(t, "keepCase"),
		ASCIIFolding: rapid.Bool().Draw(t, "fold"),
		MinLen:       rapid.IntRange(0, 3).Draw(t, "min"),
		Stemmer:      rapid.SampledFrom(append(text.Stemmers(), "")).Draw(t, "stemmer"),
	}
	if rapid.Bool().Draw(t, "bounded") {
		opts.MaxLen = opts.MinLen + rapid.IntRange(1, 9).Draw(t, "max")
	}
	if rapid.Bool().Draw(t, "stop") {
		opts.StopLanguages = []text.Language{rapid.SampledFrom(text.ListedStopwords()).Draw(t, "language")}
	}
	return opts
}

// A text that contains the words of a query must have the query's tokens, in
// the query's order: match conditions and phrases rest on it.
func TestDocumentHasTokensOfItsWords(t *testing.T) {
	word := rapid.OneOf(rapid.StringMatching(`[a-zA-Z]{1,12}`), rapid.StringMatching(`[A-Za-zéÉßøΣДя]{1,8}`))
	rapid.Check(t, func(t *rapid.T) {
		a, err := text.New(drawOptions(t))
		require.NoError(t, err)
		before := rapid.SliceOfN(word, 0, 3).Draw(t, "before")
		phrase := rapid.SliceOfN(word, 1, 3).Draw(t, "phrase")
		after := rapid.SliceOfN(word, 0, 3).Draw(t, "after")
		doc := slices.Collect(a.Document(strings.Join(slices.Concat(before, phrase, after), " ")))
		for token := range a.Query(strings.Join(phrase, " ")) {
			i := slices.Index(doc, token)
			require.GreaterOrEqual(t, i, 0, "token %q not in %q", token, doc)
		}
	})
}

func FuzzTokenize(f *testing.F) {
	f.Add("Hello, wörld! 日本語 हिन्दी", uint8(0), uint8(1), true)
	f.Add("\xff\xfe İΣ e\u0301", uint8(3), uint8(9), false)
	stemmers := text.Stemmers()
	f.Fuzz(func(t *testing.T, s string, tokenizer, stemmer uint8, fold bool) {
		a, err := text.New(text.Options{
			Tokenizer:     text.Tokenizer(tokenizer % 4),
			Stemmer:       stemmers[int(stemmer)%len(stemmers)],
			StopLanguages: []text.Language{text.English},
			ASCIIFolding:  fold,
		})
		require.NoError(t, err)
		first := slices.Collect(a.Document(s))
		for _, token := range first {
			require.NotEmpty(t, token)
			require.True(t, utf8.ValidString(token), "%q", token)
		}
		require.Equal(t, first, slices.Collect(a.Document(s)))
		if text.Tokenizer(tokenizer%4) != text.Prefix {
			require.Equal(t, first, slices.Collect(a.Query(s)))
		}
	})
}
