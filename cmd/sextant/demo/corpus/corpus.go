// Package corpus reads the documentation of the Go standard library from the
// source code of an installed Go: the demo's real input, on every machine that
// builds the project.
//
// Caller: cmd/sextant/demo. It only reads; nothing is downloaded, and the only
// command it may start is "go env GOROOT".
package corpus

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sync/errgroup"
)

// Kinds of entries.
const (
	KindPackage = "package"
	KindType    = "type"
	KindFunc    = "func"
	KindMethod  = "method"
	KindField   = "field"
	KindConst   = "const"
	KindVar     = "var"
)

// Entry is one documented thing.
type Entry struct {
	// Kind is one of the Kind constants.
	Kind string
	// Package is the package's name, as in "json".
	Package string
	// ImportPath is the package's path, as in "encoding/json".
	ImportPath string
	// Name is the qualified name, as in "json.Decoder.Token"; for a group of
	// constants or variables, that of its first member.
	Name string
	// Exported tells whether a user of the package can refer to it.
	Exported bool
	// Since is the release that brought it, as in "go1.21"; "" when unknown.
	Since string
	// Minor is the number in Since, 0 for "go1", -1 when unknown.
	Minor int
	// Signature is its declaration in short.
	Signature string
	// Text is the doc comment.
	Text string
	// Synopsis is the first sentence of the package's comment.
	Synopsis string
}

// Searchable is the text to be indexed: the name and its words, the
// declaration, and the comment.
func (e Entry) Searchable() string {
	return e.Name + " " + e.ImportPath + " " + strings.Join(Words(e.Name), " ") + "\n" + e.Signature + "\n" + e.Text
}

// Words splits an identifier or path into its words: "json.NewDecoder" gives
// json, New, Decoder; "HTTPServer2" gives HTTP, Server2.
func Words(name string) []string {
	var words []string
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		runes := []rune(part)
		from := 0
		for i := 1; i < len(runes); i++ {
			camel := unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1])
			acronym := i+1 < len(runes) && unicode.IsUpper(runes[i]) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])
			if camel || acronym {
				words = append(words, string(runes[from:i]))
				from = i
			}
		}
		words = append(words, string(runes[from:]))
	}
	return words
}

// ErrNoGo says that there is no source code of Go on this machine.
var ErrNoGo = errors.New("no Go installation with source code found: install Go from https://go.dev/dl or set GOROOT")

// FindRoot returns the root of the installed Go, from GOROOT or the go command.
func FindRoot(ctx context.Context) (string, error) {
	candidates := []string{os.Getenv("GOROOT")}
	if out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	return firstRoot(append(candidates, "/usr/local/go", "/usr/lib/go"))
}

// firstRoot returns the first directory that has the library's source code.
func firstRoot(candidates []string) (string, error) {
	for _, root := range candidates {
		if root == "" {
			continue
		}
		if st, err := os.Stat(filepath.Join(root, "src", "fmt")); err == nil && st.IsDir() {
			return root, nil
		}
	}
	return "", ErrNoGo
}

// Options say what to read. The zero value reads the whole standard library.
type Options struct {
	// Only are the import paths to read; empty means all.
	Only []string
	// Workers is the number of packages read at a time; 0 means 2.
	Workers int
	// Progress is called with the number of packages read so far and of all, from
	// one goroutine at a time; may be nil.
	Progress func(done, total int)
}

// Read reads the documentation under root, ordered by import path, then by the
// order of the package's documentation. Two reads give equal results.
func Read(ctx context.Context, root string, o Options) ([]Entry, error) {
	paths := slices.Clone(o.Only)
	if len(paths) == 0 {
		var err error
		if paths, err = packages(root); err != nil {
			return nil, fmt.Errorf("list packages of %s: %w", root, err)
		}
	}
	since, err := readSince(root)
	if err != nil {
		return nil, fmt.Errorf("read release history: %w", err)
	}
	var (
		mu   sync.Mutex // guards done
		done int
	)
	found := make([][]Entry, len(paths))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(o.Workers, 2))
	for i, path := range paths {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			entries, err := readPackage(root, path, since)
			if err != nil {
				return fmt.Errorf("read package %s: %w", path, err)
			}
			found[i] = entries
			mu.Lock()
			defer mu.Unlock()
			if done++; o.Progress != nil {
				o.Progress(done, len(paths))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// packages lists the import paths of the library that are not vendored and hold
// no test data.
func packages(root string) ([]string, error) {
	src := filepath.Join(root, "src")
	var paths []string
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || path == src {
			return err
		}
		switch name := d.Name(); {
		case name == "vendor", name == "testdata", strings.HasPrefix(name, "_"), strings.HasPrefix(name, "."):
			return fs.SkipDir
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		if rel == "cmd" {
			return fs.SkipDir
		}
		paths = append(paths, filepath.ToSlash(rel))
		return nil
	})
	slices.Sort(paths)
	return paths, err
}

// platform selects the files of a package, the same on every machine.
func platform(root string) *build.Context {
	ctx := build.Default
	ctx.GOROOT, ctx.GOOS, ctx.GOARCH = root, "linux", "amd64"
	ctx.CgoEnabled = true
	return &ctx
}
