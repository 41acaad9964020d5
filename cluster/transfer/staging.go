package transfer

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// errDamaged is a chunk that isn't what was sent; the next stream brings it again.
var errDamaged = apierror.New(apierror.Unavailable, "chunk of an export was damaged on its way")

// staging is a folder that is being filled, and where in the export it is.
type staging struct {
	fs       fsx.FS
	dir      string
	progress *Progress

	manifest Manifest
	dirs     []string // to be synced, without doubles
	file     int      // the file that is being written
	offset   int64
	crc      uint32 // of what is written of it
	out      fsx.File
	again    bool  // it is being read a second time
	received int64 // all bytes
}

// complete tells whether everything is there.
func (s *staging) complete() bool {
	return s.manifest.Token != "" && s.file == len(s.manifest.Files)
}

// take writes a chunk. After an error that isn't fatal the folder is as before it.
func (s *staging) take(c Chunk) error {
	if c.Manifest != nil {
		return s.begin(c.Manifest)
	}
	switch {
	case s.manifest.Token == "":
		return fatal{errors.New("an export began without a manifest")}
	case s.complete(), c.File != s.file, c.Offset != s.offset, len(c.Data) == 0, len(c.Data) > ChunkBytes,
		s.offset+int64(len(c.Data)) > s.manifest.Files[s.file].Size:
		return fatal{fmt.Errorf("chunk of %d bytes for file %d at %d isn't the next one", len(c.Data), c.File, c.Offset)}
	case Checksum(c.Data) != c.CRC:
		return errDamaged
	}
	if _, err := s.out.Write(c.Data); err != nil {
		return fatal{err}
	}
	s.crc = crc32.Update(s.crc, castagnoli, c.Data)
	s.offset += int64(len(c.Data))
	s.received += int64(len(c.Data))
	s.progress.BytesDone.Add(int64(len(c.Data)))
	return s.advance()
}

// begin takes the manifest.
func (s *staging) begin(m *Manifest) error {
	if s.manifest.Token != "" {
		return fatal{errors.New("an export sent a second manifest")}
	}
	s.manifest.Token = m.Token // it is to be released whatever the rest says
	if err := m.validate(); err != nil {
		return fatal{err}
	}
	s.manifest = *m
	s.dirs = []string{s.dir}
	for _, f := range m.Files {
		if d := path.Dir(path.Join(s.dir, f.Name)); !slices.Contains(s.dirs, d) {
			if err := s.fs.MkdirAll(d); err != nil {
				return fatal{err}
			}
			s.dirs = append(s.dirs, d)
		}
	}
	s.progress.Files.Store(int64(len(m.Files)))
	s.progress.Bytes.Store(m.Bytes())
	s.progress.FilesDone.Store(0)
	s.progress.BytesDone.Store(0)
	return s.open()
}

// open makes the file at s.file, and those before it that are empty.
func (s *staging) open() error {
	for !s.complete() {
		out, err := s.fs.Create(path.Join(s.dir, s.manifest.Files[s.file].Name))
		if err != nil {
			return fatal{err}
		}
		s.out, s.offset, s.crc = out, 0, 0
		if s.manifest.Files[s.file].Size > 0 {
			return nil
		}
		if err := s.finish(); err != nil {
			return err
		}
	}
	return nil
}

// advance goes on to the next file when this one is whole.
func (s *staging) advance() error {
	if s.offset < s.manifest.Files[s.file].Size {
		return nil
	}
	if err := s.finish(); err != nil {
		return err
	}
	return s.open()
}

// finish checks and closes a file that is whole.
func (s *staging) finish() error {
	if f := s.manifest.Files[s.file]; s.crc != f.CRC {
		return s.readAgain(f)
	}
	err := s.out.Sync()
	if err := errors.Join(err, s.close()); err != nil {
		return fatal{err}
	}
	s.progress.FilesDone.Add(1)
	s.file, s.again = s.file+1, false
	return nil
}

// readAgain asks for a file once more whose checksum is wrong though all chunks were right:
// the sender may have read it wrong.
func (s *staging) readAgain(f File) error {
	if s.again || f.Size == 0 {
		return fatal{fmt.Errorf("%s: %w", f, ErrCorrupt)}
	}
	if err := s.out.Truncate(0); err != nil {
		return fatal{err}
	}
	s.progress.BytesDone.Add(-s.offset)
	s.offset, s.crc, s.again = 0, 0, true
	return errDamaged
}

// close closes the open file, if any.
func (s *staging) close() error {
	if s.out == nil {
		return nil
	}
	out := s.out
	s.out = nil
	return out.Close()
}

// syncDirs makes the names durable, innermost folders first.
func (s *staging) syncDirs() error {
	for _, d := range slices.Backward(s.dirs) {
		if err := s.fs.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// endOfStream is the error of a stream that ended, nil when it ended well.
func endOfStream(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
