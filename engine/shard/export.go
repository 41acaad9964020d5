package shard

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"strconv"
	"sync"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// manifestFile is the manifest's name in a shard's directory, and in a copy of one.
const manifestFile = "MANIFEST"

// File is a file of a shard that is to be copied.
type File struct {
	// Name is its name in the directory.
	Name string
	// Size is its length.
	Size int64
	// Sum together with Size says what is in it: of a segment file the sum that the
	// manifest has, of the manifest the CRC-32C of its bytes.
	Sum uint32
}

// Export is a copy of a shard's files at one checkpoint, made of links: it takes no
// space beyond what the shard gives up meanwhile.
type Export struct {
	// Position is that of the checkpoint: the copy goes on with the entry after it.
	Position oplog.Position
	// Attachment is the owner's state there. It is in the files too.
	Attachment []byte
	// Files are the files, the manifest among them.
	Files []File

	fs  fsx.FS
	dir string
	// close removes the links, once.
	close func() error
}

// Export makes a checkpoint and keeps its files until the export is closed, or the
// shard is opened again.
func (s *Shard) Export(ctx context.Context) (*Export, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	s.optimizer.mu.Lock()
	defer s.optimizer.mu.Unlock()
	f, err := s.checkpointLocked(ctx)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	e := &Export{
		Position: f.position(), Attachment: f.attachment, fs: s.o.FS,
		dir: path.Join(s.exportsDir(), strconv.FormatUint(s.exports.Add(1), 10)),
	}
	e.close = sync.OnceValue(func() error { return e.fs.RemoveAll(e.dir) })
	if err := e.link(s.o.Dir, allFiles(s.optimizer.manifest)); err != nil {
		return nil, fmt.Errorf("export: %w", errors.Join(err, e.Close()))
	}
	return e, nil
}

// link links a directory's files and describes them.
func (e *Export) link(from string, files []segment.FileInfo) error {
	if err := e.fs.MkdirAll(e.dir); err != nil {
		return err
	}
	for _, info := range files {
		if err := e.fs.Link(path.Join(from, info.Name), path.Join(e.dir, info.Name)); err != nil {
			return err
		}
		e.Files = append(e.Files, File(info))
	}
	name := path.Join(e.dir, manifestFile)
	if err := e.fs.Link(path.Join(from, manifestFile), name); err != nil {
		return err
	}
	b, err := fsx.ReadFile(e.fs, name)
	if err != nil {
		return err
	}
	e.Files = append(e.Files, File{Name: manifestFile, Size: int64(len(b)), Sum: sumOf(b)})
	return nil
}

func sumOf(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Open opens one of the files for reading.
func (e *Export) Open(name string) (fsx.File, error) {
	for _, f := range e.Files {
		if f.Name == name {
			return e.fs.Open(path.Join(e.dir, name))
		}
	}
	return nil, fmt.Errorf("open %q of an export: %w", name, fs.ErrNotExist)
}

// Close lets the files go. It is idempotent. Files that are open can be read to their
// end where the system lets a removed file be read.
func (e *Export) Close() error { return e.close() }

// exportsDir has a directory for each export.
func (s *Shard) exportsDir() string { return path.Join(s.o.Dir, "export") }

// dropExports removes what exports have left that a crash has ended.
func (s *Shard) dropExports() error {
	if _, err := s.o.FS.Stat(s.exportsDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.o.FS.RemoveAll(s.exportsDir())
}

// Install makes a directory with all files of an export a shard's directory, in place of
// what there is. Every byte is verified and made durable first. After a crash either
// all of it is there, or nothing or what was there before. Nobody may have the shard
// open. staging must be on the same disk, and is gone afterwards; after an error it is as
// it was, except that files that don't belong to it may be gone.
func Install(ctx context.Context, system fsx.FS, staging, dir string, files []File) error {
	if err := verifyStaged(ctx, system, staging, files); err != nil {
		return fmt.Errorf("install shard %s: %w", dir, err)
	}
	if err := replaceDir(system, staging, dir); err != nil {
		return fmt.Errorf("install shard %s: %w", dir, err)
	}
	return nil
}

// verifyStaged makes sure that a directory has the files, all of them and nothing else,
// and that they are durable.
func verifyStaged(ctx context.Context, system fsx.FS, staging string, files []File) error {
	byName := map[string]File{}
	for _, f := range files {
		byName[f.Name] = f
	}
	b, err := fsx.ReadFile(system, path.Join(staging, manifestFile))
	if err != nil {
		return err
	}
	if want := byName[manifestFile]; int64(len(b)) != want.Size || sumOf(b) != want.Sum {
		return &segment.CorruptedError{File: path.Join(staging, manifestFile), Why: "isn't the manifest of the export"}
	}
	dir := &segment.Dir{FS: system, Path: staging}
	m, err := dir.Load()
	if err != nil {
		return err
	}
	all := allFiles(m)
	if len(files) != len(all)+1 {
		return &segment.CorruptedError{File: path.Join(staging, manifestFile), Why: "names other files than the export"}
	}
	for _, info := range all {
		if byName[info.Name] != File(info) {
			return &segment.CorruptedError{File: path.Join(staging, info.Name), Why: "isn't the file of the export"}
		}
		if err := verifyFile(ctx, dir, info); err != nil {
			return err
		}
		if err := syncFile(system, path.Join(staging, info.Name)); err != nil {
			return err
		}
	}
	// Load has made the names durable.
	return syncFile(system, path.Join(staging, manifestFile))
}

func verifyFile(ctx context.Context, dir *segment.Dir, info segment.FileInfo) error {
	r, err := dir.OpenAny(info)
	if err != nil {
		return err
	}
	return errors.Join(r.VerifyAll(ctx), r.Close())
}

func syncFile(system fsx.FS, name string) error {
	f, err := system.OpenWrite(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// replaceDir gives a directory the name of another one, which is removed: last, and when
// the new name is durable. A crash in between leaves the old one under one of its two
// names.
func replaceDir(system fsx.FS, from, to string) error {
	old, parent := to+".old", path.Dir(path.Clean(to))
	if err := system.RemoveAll(old); err != nil {
		return err
	}
	switch _, err := system.Stat(to); {
	case err == nil:
		if err := system.Rename(to, old); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := system.Rename(from, to); err != nil {
		return err
	}
	if err := system.SyncDir(parent); err != nil {
		return err
	}
	if other := path.Dir(path.Clean(from)); other != parent {
		if err := system.SyncDir(other); err != nil {
			return err
		}
	}
	return system.RemoveAll(old)
}
