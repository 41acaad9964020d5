// Command sextant-image makes the image of the program without Docker: an archive that is an OCI layout and what
// `docker load` reads at once, so that containerd, Podman, kind and Docker take it. In it are the program, the
// certificates of public authorities, a user who isn't root, and curl, by which people look at a node from within its pod.
package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sextantdb/sextant/cmd/sextant-image/archive"
	"github.com/sextantdb/sextant/cmd/sextant-image/debian"
	"github.com/sextantdb/sextant/cmd/sextant-image/rootfs"
)

// user is whose number processes in the image have.
const user = 1001

// program is where the program is in the image.
const program = "usr/local/bin/sextant"

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", ".bin/sextant", "the program, built for Linux without cgo")
	flag.StringVar(&o.image.Architecture, "arch", runtime.GOARCH, "the architecture that it is built for: amd64 or arm64")
	flag.StringVar(&o.out, "o", "sextant.tar", "the image")
	flag.StringVar(&o.packages, "packages", ".cache/debian", "directory for packages that were fetched")
	flag.StringVar(&o.image.Name, "name", "", "what the image is called, with its tag")
	flag.StringVar(&o.image.Version, "version", "dev", "the version that its label says")
	flag.StringVar(&o.image.Revision, "revision", "", "the revision of the source that its label says")
	flag.StringVar(&o.unpack, "unpack", "", "also put the files into this directory, which must not exist")
	seconds := flag.Int64("created", 0, "seconds since 1970, the age of everything in the image")
	flag.Parse()
	o.image.Created = time.Unix(*seconds, 0).UTC()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sextant-image: "+err.Error())
		os.Exit(1)
	}
}

type options struct {
	binary, out, packages, unpack string
	image                         archive.Image
}

func run(ctx context.Context, o options) error {
	if o.image.Name == "" {
		return errors.New("say what the image is called: -name registry/repository:tag")
	}
	arch, err := architectureOf(o.image.Architecture)
	if err != nil {
		return err
	}
	if err := debian.Check(); err != nil {
		return err
	}
	binary, err := os.ReadFile(o.binary)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	if err := arch.check(binary); err != nil {
		return fmt.Errorf("%s: %w", o.binary, err)
	}
	packages, err := debian.For(ctx, o.packages, o.image.Architecture)
	if err != nil {
		return err
	}
	base, err := system(ctx, packages, arch)
	if err != nil {
		return err
	}
	own := rootfs.Tree{}
	own.Add(program, rootfs.File{Mode: 0o755, Content: binary})
	own.Add("qdrant", rootfs.File{Mode: 0o755, Directory: true, Owner: user})
	own.Add("qdrant/storage", rootfs.File{Mode: 0o755, Directory: true, Owner: user})
	o.image.Layers = []rootfs.Tree{base, own}
	o.image.User = user
	o.image.Entrypoint, o.image.WorkingDir, o.image.Ports = "/"+program, "/qdrant", []int{6333, 6334, 6335}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil { //nolint:gosec // everybody may look
		return fmt.Errorf("make the directory of the image: %w", err)
	}
	if err := archive.WriteFile(o.out, &o.image); err != nil {
		return err
	}
	if o.unpack == "" {
		return nil
	}
	for _, layer := range o.image.Layers {
		if err := layer.Unpack(o.unpack); err != nil {
			return err
		}
	}
	return nil
}

// system is what is under the program: curl with its libraries, certificates, names of users.
func system(ctx context.Context, packages *debian.Packages, arch architecture) (rootfs.Tree, error) {
	names, err := packages.Closure(ctx, "curl")
	if err != nil {
		return nil, err
	}
	paths, err := packages.Download(ctx, append(names, "ca-certificates"))
	if err != nil {
		return nil, err
	}
	all, err := debian.Read(ctx, paths)
	if err != nil {
		return nil, err
	}
	base := rootfs.Tree{}
	for from, to := range debian.Merged() {
		base.Add(to, rootfs.File{Mode: 0o755, Directory: true})
		base.Add(from, rootfs.File{Mode: 0o777, Link: to})
		all.Add(from, rootfs.File{Mode: 0o777, Link: to})
	}
	if err := base.Program(all, "usr/bin/curl", []string{"usr/lib/" + arch.libraries, "usr/lib"}); err != nil {
		return nil, err
	}
	text := func(name, content string) { base.Add(name, rootfs.File{Mode: 0o644, Content: []byte(content)}) }
	text("etc/ssl/certs/ca-certificates.crt", authorities(all))
	text("etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/usr/sbin/nologin\nsextant:x:%d:%d:sextant:/qdrant:/usr/sbin/nologin\n", user, user))
	text("etc/group", fmt.Sprintf("root:x:0:\nsextant:x:%d:\n", user))
	text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
	base.Add("tmp", rootfs.File{Mode: 0o1777, Directory: true})
	return base, nil
}

// architecture is a kind of processor.
type architecture struct {
	// machine is what programs for it say that they are for, libraries the directory below /usr/lib that Debian has for it.
	machine   elf.Machine
	libraries string
}

// architectureOf returns the one of a name, which Go, Debian and OCI share.
func architectureOf(name string) (architecture, error) {
	switch name {
	case "amd64":
		return architecture{elf.EM_X86_64, "x86_64-linux-gnu"}, nil
	case "arm64":
		return architecture{elf.EM_AARCH64, "aarch64-linux-gnu"}, nil
	default:
		return architecture{}, fmt.Errorf("there are images for amd64 and arm64, not for %q", name)
	}
}

// check says what is wrong with a program.
func (a architecture) check(program []byte) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("no program for Linux: %w", err)
	}
	if f.Machine != a.machine {
		return fmt.Errorf("a program for %v, not for %v", f.Machine, a.machine)
	}
	return nil
}

// authorities are the certificates of all public authorities in one file, in the order of their names.
func authorities(all rootfs.Tree) string {
	var text strings.Builder
	for _, name := range all.Names() {
		if strings.HasPrefix(name, "usr/share/ca-certificates/") && strings.HasSuffix(name, ".crt") {
			text.Write(all[name].Content)
		}
	}
	return text.String()
}
