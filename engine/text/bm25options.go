package text

import (
	"math"

	"github.com/sextantdb/sextant/internal/apierror"
)

// ParseBM25 reads the options of a document or query for the model: language,
// tokenizer, lowercase, ascii_folding, stopwords, stemmer, min_token_len,
// max_token_len, k, b, avg_len. Values are plain Go: string, bool, float64,
// int64, uint64, []any, map[string]any, nil for "not given". Unknown names are
// ignored, because clients send one set of options to several embedders. Errors
// have kind Inference and name the option.
func ParseBM25(options map[string]any) (BM25Config, error) {
	cfg := DefaultBM25()
	p := optionParser{options: options}
	lang, isNone := p.language("language")
	switch {
	case isNone:
		cfg.StopLanguages, cfg.Stemmer = nil, ""
	case lang != "":
		cfg.StopLanguages = []Language{lang}
		cfg.Stemmer = ""
		if stemmers[lang] != nil {
			cfg.Stemmer = lang
		}
	}
	if name := p.string("tokenizer"); name != "" && p.err == nil {
		cfg.Tokenizer, p.err = ParseTokenizer(name)
	}
	cfg.KeepCase = !p.bool("lowercase", true)
	cfg.ASCIIFolding = p.bool("ascii_folding", false)
	cfg.MinLen = p.length("min_token_len")
	cfg.MaxLen = p.length("max_token_len")
	cfg.K = p.float("k", cfg.K)
	cfg.B = p.float("b", cfg.B)
	cfg.AvgLen = p.float("avg_len", cfg.AvgLen)
	p.stopwords(&cfg.Options)
	p.stemmer(&cfg.Options)
	if p.err != nil {
		return BM25Config{}, apierror.New(apierror.Inference, "bm25 options: %w", p.err)
	}
	return cfg, nil
}

// optionParser reads typed values; the first failure sticks in err.
type optionParser struct {
	options map[string]any
	err     error
}

func (p *optionParser) fail(name, want string) {
	if p.err == nil {
		p.err = apierror.New(apierror.Inference, "%s must be %s, got %v", name, want, p.options[name])
	}
}

func (p *optionParser) string(name string) string {
	v := p.options[name]
	s, ok := v.(string)
	if v != nil && !ok {
		p.fail(name, "a string")
	}
	return s
}

func (p *optionParser) bool(name string, def bool) bool {
	v := p.options[name]
	if v == nil {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		p.fail(name, "true or false")
	}
	return b
}

func (p *optionParser) float(name string, def float64) float64 {
	switch v := p.options[name].(type) {
	case nil:
		return def
	case float64:
		return v
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	default:
		p.fail(name, "a number")
		return def
	}
}

func (p *optionParser) length(name string) int {
	f := p.float(name, 0)
	if !(f >= 0) || f != math.Trunc(f) {
		p.fail(name, "a whole number of at least 0")
		return 0
	}
	return int(min(f, math.MaxInt32))
}

// language returns the named language, or none = true for "none".
func (p *optionParser) language(name string) (lang Language, none bool) {
	s := p.string(name)
	if s == "" || p.err != nil {
		return "", false
	}
	if s == "none" {
		return "", true
	}
	lang, p.err = ParseLanguage(s)
	return lang, false
}

// stopwords reads a language name or {"languages": […], "custom": […]}; either
// replaces the default.
func (p *optionParser) stopwords(opts *Options) {
	switch v := p.options["stopwords"].(type) {
	case nil:
	case string:
		lang, none := p.language("stopwords")
		opts.StopLanguages = nil
		if !none && lang != "" {
			opts.StopLanguages = []Language{lang}
		}
	case map[string]any:
		opts.StopLanguages = nil
		for _, s := range p.list("stopwords.languages", v["languages"]) {
			lang, err := ParseLanguage(s)
			if err != nil && p.err == nil {
				p.err = err
			}
			opts.StopLanguages = append(opts.StopLanguages, lang)
		}
		opts.Stopwords = p.list("stopwords.custom", v["custom"])
	default:
		p.fail("stopwords", "a language or an object with languages and custom")
	}
}

// list reads an array of strings.
func (p *optionParser) list(name string, v any) []string {
	if v == nil {
		return nil
	}
	items, ok := v.([]any)
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, isString := item.(string)
		ok = ok && isString
		out = append(out, s)
	}
	if !ok && p.err == nil {
		p.err = apierror.New(apierror.Inference, "%s must be an array of strings", name)
	}
	return out
}

// stemmer reads {"type": "snowball", "language": …} or {"type": "none"}.
func (p *optionParser) stemmer(opts *Options) {
	v := p.options["stemmer"]
	if v == nil {
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.fail("stemmer", "an object with type and language")
		return
	}
	switch m["type"] {
	case "none":
		opts.Stemmer = ""
	case "snowball":
		name, _ := m["language"].(string)
		lang, err := ParseLanguage(name)
		if err != nil && p.err == nil {
			p.err = err
		}
		opts.Stemmer = lang
	default:
		p.fail("stemmer", "of type snowball or none")
	}
}
