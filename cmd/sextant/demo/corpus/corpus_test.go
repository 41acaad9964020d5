package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree writes a small installation of Go.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return root
}

const sample = `// Package fmt prints.
package fmt

// Limits of printing.
const (
	MaxWidth = 1 << 20 // widest field
	MinWidth = 0
)

// ErrShort is returned for short input.
var ErrShort error

// A State prints.
type State interface {
	// Flag reports a flag.
	Flag(c int) bool
	hidden()
}

// Printer is a printer.
type Printer struct {
	Width int // Width is the width.
	depth int
}

// NewPrinter returns a Printer.
func NewPrinter(w int) (*Printer, error) { return nil, nil }

// Print prints. It
// takes two lines.
func (p *Printer) Print(a ...any) (n int, err error) { return 0, nil }

// helper helps.
func helper() {}

func Undocumented() {}
`

func sampleRoot(t *testing.T) string {
	t.Helper()
	return tree(t, map[string]string{
		"src/fmt/print.go":        sample,
		"src/fmt/print_test.go":   "// Package fmt tests.\npackage fmt\n",
		"src/fmt/print_plan9.go":  "package fmt\n\n// Plan9 is elsewhere.\nfunc Plan9() {}\n",
		"src/fmt/testdata/x.go":   "not Go",
		"src/vendor/v/v.go":       "// Package v is vendored.\npackage v\n",
		"src/cmd/go/main.go":      "// Command go.\npackage main\n",
		"src/internal/abi/abi.go": "// Package abi is internal.\npackage abi\n",
		"src/empty/README":        "nothing",
		"api/go1.txt": "pkg fmt, const MaxWidth = 1048576\npkg fmt, type State interface { Flag }\n" +
			"pkg fmt, type Printer struct\npkg fmt, type Printer struct, Width int\n",
		"api/go1.2.txt":  "pkg fmt (linux-amd64), func NewPrinter(int) (*Printer, error)\npkg fmt, method (*Printer) Print(...interface{}) (int, error) #53685\n",
		"api/go1.10.txt": "pkg fmt, func NewPrinter(int) (*Printer, error)\npkg fmt, type Printer struct, Extra int\n",
		"api/except.txt": "garbage",
	})
}

func TestRead(t *testing.T) {
	done := 0
	entries, err := Read(t.Context(), sampleRoot(t), Options{Progress: func(n, total int) {
		done = max(done, n)
		require.Equal(t, 4, total) // directories, with and without Go files
	}})
	require.NoError(t, err)
	require.Equal(t, 4, done)
	var names []string
	for _, e := range entries {
		names = append(names, e.Kind+" "+e.Name+" "+e.Since)
	}
	require.Equal(t, []string{
		"package fmt go1",
		"const fmt.MaxWidth go1",
		"const fmt.MaxWidth go1",
		"var fmt.ErrShort ",
		"func fmt.NewPrinter go1.2",
		"func fmt.helper ",
		"type fmt.Printer go1",
		"method fmt.Printer.Print go1.2",
		"field fmt.Printer.Width go1",
		"type fmt.State go1",
		"method fmt.State.Flag go1",
		"package abi ",
	}, names)
}

func TestEntry(t *testing.T) {
	entries, err := Read(t.Context(), sampleRoot(t), Options{Only: []string{"fmt"}})
	require.NoError(t, err)
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == "fmt.Printer.Print" })
	require.Equal(t, Entry{
		Kind: KindMethod, Package: "fmt", ImportPath: "fmt", Name: "fmt.Printer.Print", Exported: true,
		Since: "go1.2", Minor: 2,
		Signature: "func (p *Printer) Print(a ...any) (n int, err error)",
		Text:      "Print prints. It\ntakes two lines.",
		Synopsis:  "Package fmt prints.",
	}, entries[i])
	require.Contains(t, entries[i].Searchable(), "fmt.Printer.Print fmt fmt Printer Print\nfunc (p")
	for _, e := range entries {
		require.Equal(t, e.Name != "fmt.helper", e.Exported, e.Name)
	}
}

func TestWords(t *testing.T) {
	for name, want := range map[string][]string{
		"json.NewDecoder":    {"json", "New", "Decoder"},
		"HTTPServer2":        {"HTTP", "Server2"},
		"net/http.StatusOK":  {"net", "http", "Status", "OK"},
		"utf8.RuneLen":       {"utf8", "Rune", "Len"},
		"":                   nil,
		"io.ReadAll":         {"io", "Read", "All"},
		"x509.IsCA":          {"x509", "Is", "CA"},
		"lower_snake.ABCdEf": {"lower", "snake", "AB", "Cd", "Ef"},
	} {
		require.Equal(t, want, Words(name), name)
	}
}

func TestNoGo(t *testing.T) {
	_, err := firstRoot([]string{"", t.TempDir()})
	require.ErrorIs(t, err, ErrNoGo)
	root := sampleRoot(t)
	found, err := firstRoot([]string{t.TempDir(), root})
	require.NoError(t, err)
	require.Equal(t, root, found)
}

func TestUnreadablePackage(t *testing.T) {
	root := tree(t, map[string]string{"src/fmt/print.go": "package fmt\nfunc {"})
	_, err := Read(t.Context(), root, Options{})
	require.ErrorContains(t, err, "read package fmt")
}

// The library that built this test.
func TestStandardLibrary(t *testing.T) {
	root, err := FindRoot(t.Context())
	require.NoError(t, err)
	only := []string{"strings", "net/http", "io"}
	entries, err := Read(t.Context(), root, Options{Only: only})
	require.NoError(t, err)
	byName := make(map[string]Entry)
	for _, e := range entries {
		byName[e.Name] = e
		require.NotEmpty(t, e.Text)
		require.LessOrEqual(t, len(e.Signature), maxSignature+len(" …"))
	}
	require.Greater(t, len(byName), 1000)
	require.Equal(t, "go1.18", byName["strings.Cut"].Since)
	require.Equal(t, KindMethod, byName["http.ResponseWriter.Header"].Kind)
	require.Equal(t, "go1", byName["http.Server"].Since)
	again, err := Read(t.Context(), root, Options{Only: only, Workers: 8})
	require.NoError(t, err)
	require.Equal(t, entries, again)
}
