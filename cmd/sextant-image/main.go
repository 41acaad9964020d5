// Command sextant-image makes the image of the program without Docker: an archive that is an OCI layout and what
// `docker load` reads at once, so that containerd, Podman, kind and Docker take it. In it are the program, the
// certificates of public authorities, a user who isn't root, and curl, by which people look at a node from within its pod.
package main

import (
	"context"
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
	if err := debian.Check(); err != nil {
		return err
	}
	binary, err := os.ReadFile(o.binary)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	base, err := system(ctx, o.packages)
	if err != nil {
		return err
	}
	own := rootfs.Tree{}
	own.Add(program, rootfs.File{Mode: 0o755, Content: binary})
	own.Add("qdrant", rootfs.File{Mode: 0o755, Directory: true, Owner: user})
	own.Add("qdrant/storage", rootfs.File{Mode: 0o755, Directory: true, Owner: user})
	o.image.Layers = []rootfs.Tree{base, own}
	o.image.Architecture, o.image.User = runtime.GOARCH, user
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
func system(ctx context.Context, cache string) (rootfs.Tree, error) {
	names, err := debian.Closure(ctx, "curl")
	if err != nil {
		return nil, err
	}
	paths, err := debian.Download(ctx, cache, append(names, "ca-certificates"))
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
	if err := base.Program(all, "usr/bin/curl", libraries()); err != nil {
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

// libraries are the directories in which the loader looks.
func libraries() []string {
	machine := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return []string{"usr/lib/" + machine, "usr/lib"}
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
