package text

import (
	"embed"
	"slices"
	"strings"
)

//go:embed stopwords/*.txt
var stopwordFiles embed.FS

// Stopwords returns the stop words of a language, lower-case, in no particular
// order. A language without a list gives none.
func Stopwords(lang Language) []string {
	data, err := stopwordFiles.ReadFile("stopwords/" + string(lang) + ".txt")
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// ListedStopwords returns the languages with a list of stop words, sorted.
func ListedStopwords() []Language {
	entries, err := stopwordFiles.ReadDir("stopwords")
	if err != nil {
		return nil
	}
	langs := make([]Language, 0, len(entries))
	for _, e := range entries {
		langs = append(langs, Language(strings.TrimSuffix(e.Name(), ".txt")))
	}
	slices.Sort(langs)
	return langs
}
