package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cmd/sextant-image/rootfs"
)

func image() *Image {
	base, own := rootfs.Tree{}, rootfs.Tree{}
	base.Add("etc/passwd", rootfs.File{Mode: 0o644, Content: []byte("root")})
	own.Add("usr/local/bin/sextant", rootfs.File{Mode: 0o755, Content: []byte("program")})
	return &Image{
		Name: "registry.example:5000/sextant:1.2.3", Version: "1.2.3", Created: time.Unix(100, 0), Layers: []rootfs.Tree{base, own},
		Architecture: "amd64", User: 1001, Entrypoint: "/usr/local/bin/sextant", WorkingDir: "/qdrant", Ports: []int{6333},
	}
}

// TestBothReadersFindTheImage reads the archive as Docker does and as an OCI layout.
func TestBothReadersFindTheImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, os.WriteFile(path, []byte("an old one"), 0o600))
	require.NoError(t, WriteFile(path, image()))
	byDocker, err := tarball.ImageFromPath(path, nil)
	require.NoError(t, err)
	require.NoError(t, validate.Image(byDocker))

	dir := t.TempDir()
	unpack(t, path, dir)
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	require.Equal(t, "registry.example:5000/sextant:1.2.3", manifest.Manifests[0].Annotations["io.containerd.image.name"])
	require.Equal(t, "1.2.3", manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"])
	byLayout, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	for _, img := range []v1.Image{byDocker, byLayout} {
		config, err := img.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, "1001:1001", config.Config.User)
		require.Equal(t, []string{"/usr/local/bin/sextant"}, config.Config.Entrypoint)
		require.Contains(t, config.Config.ExposedPorts, "6333/tcp")
		require.Equal(t, "1.2.3", config.Config.Labels["org.opencontainers.image.version"])
		layers, err := img.Layers()
		require.NoError(t, err)
		require.Len(t, layers, 2)
	}
	a, err := byDocker.ConfigName()
	require.NoError(t, err)
	b, err := byLayout.ConfigName()
	require.NoError(t, err)
	require.Equal(t, a, b)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left over")
}

func TestTheSameImageGivesTheSameFile(t *testing.T) {
	var one, two bytes.Buffer
	require.NoError(t, Write(&one, image()))
	require.NoError(t, Write(&two, image()))
	require.True(t, bytes.Equal(one.Bytes(), two.Bytes()))
}

func unpack(t *testing.T, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	for archive := tar.NewReader(f); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		at := filepath.Join(dir, h.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		raw, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.True(t, h.Name == "oci-layout" || filepath.Dir(h.Name) == "blobs/sha256" || json.Valid(raw), h.Name)
		require.NoError(t, os.WriteFile(at, raw, 0o600))
	}
}
