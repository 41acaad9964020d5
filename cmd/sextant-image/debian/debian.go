// Package debian fetches packages of the Debian or Ubuntu that this machine runs and reads what is in them. Nothing is
// installed.
//
// Callers: cmd/sextant-image.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/sextantdb/sextant/cmd/sextant-image/rootfs"
)

// tools are the programs that this takes.
var tools = []string{"apt-cache", "apt-get", "dpkg-deb"}

// Check says what is missing on this machine.
func Check() error {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("curl and its libraries come from Debian packages, but there is no %s here: "+
				"build on Debian or Ubuntu, or with deploy/Dockerfile", tool)
		}
	}
	return nil
}

// Packages are those for one kind of processor.
type Packages struct {
	dir     string   // for files that were fetched
	options []string // what apt is told before all else
}

// For returns the packages for an architecture, "amd64" or "arm64"; dir is for files that were fetched. Those of the
// machine are as it knows them; for another architecture the lists are fetched, and the machine doesn't learn of them.
func For(ctx context.Context, dir, arch string) (*Packages, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the cache of packages: %w", err)
	}
	p := &Packages{dir: dir}
	if arch == runtime.GOARCH {
		return p, p.make("")
	}
	state := filepath.Join("apt", arch)
	if err := errors.Join(p.make(filepath.Join(state, "lists", "partial")), p.make(filepath.Join(state, "archives", "partial"))); err != nil {
		return nil, err
	}
	for _, o := range []string{
		"APT::Architecture=" + arch, "APT::Architectures=" + arch, // none that the machine has beside
		"Dir::State=" + filepath.Join(dir, state), "Dir::State::status=/dev/null", "Dir::Cache=" + filepath.Join(dir, state),
	} {
		p.options = append(p.options, "-o", o)
	}
	_, err = p.apt(ctx, "", "apt-get", "update", "-q")
	return p, err
}

// make makes a directory of the cache.
func (p *Packages) make(name string) error {
	if err := os.MkdirAll(filepath.Join(p.dir, name), 0o755); err != nil { //nolint:gosec // a cache
		return fmt.Errorf("make the cache of packages: %w", err)
	}
	return nil
}

// Closure returns the names of a package and of all that it depends on.
func (p *Packages) Closure(ctx context.Context, names ...string) ([]string, error) {
	args := append([]string{
		"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances",
	}, names...)
	out, err := p.apt(ctx, "", "apt-cache", args...)
	if err != nil {
		return nil, err
	}
	return parse(out), nil
}

// parse takes the packages out of what apt-cache prints: lines that aren't indented; names in <…> are no packages.
func parse(out string) []string {
	var all []string
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if line != "" && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "<") {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Download fetches the files of packages, unless they are there in the version of the package lists, and returns their paths.
func (p *Packages) Download(ctx context.Context, names []string) ([]string, error) {
	files, err := p.filesOf(ctx, names)
	if err != nil {
		return nil, err
	}
	if len(files) != len(names) {
		return nil, fmt.Errorf("apt-get knows files for %d of %d packages: run apt-get update", len(files), len(names))
	}
	var paths []string
	missing := false
	for _, file := range files {
		at := filepath.Join(p.dir, file)
		paths = append(paths, at)
		if _, err := os.Stat(at); errors.Is(err, os.ErrNotExist) {
			missing = true
		}
	}
	if missing {
		if _, err := p.apt(ctx, p.dir, "apt-get", append([]string{"download", "-q"}, names...)...); err != nil {
			return nil, err
		}
	}
	for _, at := range paths {
		if _, err := os.Stat(at); err != nil {
			return nil, fmt.Errorf("apt-get downloaded something else: %w", err)
		}
	}
	return paths, nil
}

// filesOf returns what the files of packages are called. It asks in an empty directory: of files that are there already apt-get
// says nothing.
func (p *Packages) filesOf(ctx context.Context, names []string) (_ []string, err error) {
	empty, err := os.MkdirTemp("", "sextant-image")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(empty)) }()
	out, err := p.apt(ctx, empty, "apt-get", append([]string{"download", "--print-uris", "-q"}, names...)...)
	if err != nil {
		return nil, err
	}
	return fileNames(out), nil
}

// fileNames takes the names of the files out of lines like 'address' name size checksum.
func fileNames(out string) []string {
	var names []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && strings.HasPrefix(fields[0], "'") {
			names = append(names, fields[1])
		}
	}
	return names
}

// Read returns what is in packages. What older packages have in /lib is in /usr/lib, as on a machine.
func Read(ctx context.Context, paths []string) (rootfs.Tree, error) {
	all := rootfs.Tree{}
	for _, at := range paths {
		out, err := run(ctx, "", "dpkg-deb", "--fsys-tarfile", at)
		if err != nil {
			return nil, err
		}
		if err := all.Read(strings.NewReader(out), Place); err != nil {
			return nil, fmt.Errorf("read %s: %w", at, err)
		}
	}
	return all, nil
}

// Merged are the links of directories that moved below /usr.
func Merged() map[string]string {
	return map[string]string{"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
}

// Place is where a file of a package goes, and whether it matters: documentation doesn't.
func Place(name string) (string, bool) {
	for from, to := range Merged() {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			name = to + "/" + rest
			break
		}
	}
	keep := !strings.HasPrefix(name, "usr/share/") || strings.HasPrefix(name, "usr/share/ca-certificates/")
	return name, keep
}

// apt runs one of apt's programs.
func (p *Packages) apt(ctx context.Context, dir, name string, args ...string) (string, error) {
	return run(ctx, dir, name, append(slices.Clone(p.options), args...)...)
}

func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // names of packages
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(fault.String()))
	}
	return out.String(), nil
}
