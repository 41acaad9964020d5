// Package archive writes an image as one file: an OCI layout with, beside it, the list by which Docker finds the same
// parts. The same image gives the same file.
//
// Callers: cmd/sextant-image.
package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sextantdb/sextant/cmd/sextant-image/rootfs"
)

// Image is what is to be written.
type Image struct {
	// Name with the tag; Version and Revision are told by labels.
	Name, Version, Revision string
	// Created is the age of everything.
	Created time.Time
	// Layers are the files, the lowest first.
	Layers []rootfs.Tree
	// How it is run.
	Architecture           string
	User                   int
	Entrypoint, WorkingDir string
	Ports                  []int
}

// WriteFile writes the archive; what is there is replaced once the new one is complete.
func WriteFile(path string, image *Image) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(Write(f, image), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return nil
}

// Write writes the archive.
func Write(w io.Writer, image *Image) error {
	built, err := build(image)
	if err != nil {
		return fmt.Errorf("build the image: %w", err)
	}
	out := &writer{Writer: tar.NewWriter(w), modified: image.Created}
	if err := errors.Join(out.parts(built, image), out.Close()); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return nil
}

// build makes an OCI image.
func build(image *Image) (v1.Image, error) {
	out := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	out = mutate.ConfigMediaType(out, types.OCIConfigJSON)
	ports := map[string]struct{}{}
	for _, p := range image.Ports {
		ports[strconv.Itoa(p)+"/tcp"] = struct{}{}
	}
	id := strconv.Itoa(image.User)
	out, err := mutate.ConfigFile(out, &v1.ConfigFile{
		Architecture: image.Architecture, OS: "linux", Created: v1.Time{Time: image.Created},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User: id + ":" + id, Entrypoint: []string{image.Entrypoint}, WorkingDir: image.WorkingDir, ExposedPorts: ports,
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Labels: map[string]string{
				"org.opencontainers.image.title":    "sextant",
				"org.opencontainers.image.version":  image.Version,
				"org.opencontainers.image.revision": image.Revision,
				"org.opencontainers.image.source":   "https://github.com/sextantdb/sextant",
			},
		},
	})
	if err != nil {
		return nil, err
	}
	for _, files := range image.Layers {
		var content bytes.Buffer
		if err := files.Write(&content, image.Created); err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content.Bytes())), nil
		}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		out, err = mutate.Append(out, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: image.Created}, CreatedBy: "sextant-image"}})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writer writes the parts of the archive.
type writer struct {
	*tar.Writer
	modified time.Time
	err      error
}

func (w *writer) file(name string, content []byte) {
	if w.err != nil {
		return
	}
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: w.modified, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if w.err = w.WriteHeader(h); w.err == nil {
		_, w.err = w.Write(content)
	}
}

// json writes a value as a file.
func (w *writer) json(name string, value any) {
	raw, err := json.Marshal(value)
	w.err = errors.Join(w.err, err)
	w.file(name, raw)
}

// blob writes a part by its hash and returns its name.
func (w *writer) blob(hash v1.Hash, content []byte) string {
	name := "blobs/" + hash.Algorithm + "/" + hash.Hex
	w.file(name, content)
	return name
}

func (w *writer) parts(built v1.Image, image *Image) error {
	w.json("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
	layers, err := built.Layers()
	if err != nil {
		return err
	}
	var names []string
	for _, layer := range layers {
		hash, err := layer.Digest()
		if err != nil {
			return err
		}
		packed, err := layer.Compressed()
		if err != nil {
			return err
		}
		content, err := io.ReadAll(packed)
		if err := errors.Join(err, packed.Close()); err != nil {
			return err
		}
		names = append(names, w.blob(hash, content))
	}
	config, err := built.RawConfigFile()
	if err != nil {
		return err
	}
	configHash, err := built.ConfigName()
	if err != nil {
		return err
	}
	configName := w.blob(configHash, config)
	manifest, err := built.RawManifest()
	if err != nil {
		return err
	}
	hash, err := built.Digest()
	if err != nil {
		return err
	}
	w.blob(hash, manifest)
	w.json("index.json", v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIManifestSchema1, Size: int64(len(manifest)), Digest: hash,
		Platform: &v1.Platform{OS: "linux", Architecture: image.Architecture},
		Annotations: map[string]string{
			"io.containerd.image.name":          image.Name,
			"org.opencontainers.image.ref.name": image.Name[strings.LastIndexByte(image.Name, ':')+1:],
		},
	}}})
	w.json("manifest.json", []map[string]any{{"Config": configName, "RepoTags": []string{image.Name}, "Layers": names}})
	return w.err
}
