// Package archtest keeps the wings of the house apart: it fails when a package
// imports a wing that its own wing may not know about, and when a package has
// no doc comment.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/sextantdb/sextant/"

// mayImport lists, for each wing, the other wings it may import.
var mayImport = map[string][]string{
	"internal": {},
	"client":   {"internal"},
	"agent":    {"client", "internal"},
	"exporter": {"client", "internal"},
	"engine":   {"internal"},
	"cluster":  {"engine", "internal"},
	"server":   {"cluster", "engine", "internal"},
	"embedded": {"cluster", "engine", "internal"},
	"deploy":   {},
	"operator": {"client", "deploy", "internal"},
	"cmd":      {"bench", "server", "cluster", "engine", "operator", "agent", "exporter", "client", "embedded", "internal"},
	"bench":    {"engine", "client", "internal"},
	"tests":    {"server", "cluster", "engine", "operator", "agent", "exporter", "client", "embedded", "internal"},
	"examples": {"embedded", "client"},
}

// bannedNames are words that say nothing about what is in a package.
var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc"}

type pkg struct {
	ImportPath, Name, Doc string
	Imports               []string
	GoFiles               []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,GoFiles", module+"...").Output()
	require.NoError(t, err)
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			require.NotEmpty(t, all)
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestWings(t *testing.T) {
	for _, p := range packages(t) {
		from := wing(p.ImportPath)
		allowed, ok := mayImport[from]
		if !ok {
			t.Errorf("%s: wing %q is not declared in mayImport", p.ImportPath, from)
		}
		for _, imp := range p.Imports {
			to := wing(imp)
			if to != "" && to != from && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: %q may not know about %q", p.ImportPath, imp, from, to)
			}
		}
	}
}

func TestPackagesAreNamedAndDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(bannedNames, p.Name) {
			t.Errorf("%s: the name %q says nothing", p.ImportPath, p.Name)
		}
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// engineForbids are imports that would let the engine know the network or go
// around the file system under test.
var engineForbids = []string{"net/http", "google.golang.org/grpc", "os/exec", "net"}

func TestEngineKnowsNoNetwork(t *testing.T) {
	for _, p := range packages(t) {
		if wing(p.ImportPath) != "engine" {
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(engineForbids, imp) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
}

// wing returns the top-level folder of a package of this module, or "" for any
// other package.
func wing(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, module)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}
