package text

import (
	"strings"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Language is the English lower-case name of a language, as in "german".
type Language string

// English is the language of the default stop words and stemmer of BM25.
const English Language = "english"

// languageCodes maps the accepted languages to their ISO 639-1 code, "" when
// there is none. Options may give either.
var languageCodes = map[Language]string{
	"arabic": "ar", "armenian": "hy", "azerbaijani": "az", "basque": "eu", "bengali": "bn",
	"catalan": "ca", "chinese": "zh", "danish": "da", "dutch": "nl", "english": "en",
	"finnish": "fi", "french": "fr", "german": "de", "greek": "el", "hebrew": "he",
	"hinglish": "", "hungarian": "hu", "indonesian": "id", "italian": "it", "japanese": "ja",
	"kazakh": "kk", "nepali": "ne", "norwegian": "no", "portuguese": "pt", "romanian": "ro",
	"russian": "ru", "slovene": "sl", "spanish": "es", "swedish": "sv", "tajik": "tg",
	"tamil": "ta", "turkish": "tr",
}

// ParseLanguage returns the language with an English name or an ISO 639-1 code,
// in any case. The error has kind BadInput.
func ParseLanguage(s string) (Language, error) {
	name := strings.ToLower(strings.TrimSpace(s))
	if _, ok := languageCodes[Language(name)]; ok {
		return Language(name), nil
	}
	for lang, code := range languageCodes {
		if code != "" && code == name {
			return lang, nil
		}
	}
	return "", apierror.New(apierror.BadInput, "unknown language `%s`", s)
}
