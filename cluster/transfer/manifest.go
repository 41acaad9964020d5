package transfer

import (
	"context"
	"fmt"
	"hash/crc32"
	"path"
	"path/filepath"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// ChunkBytes is the most data that a chunk has.
const ChunkBytes = 1 << 20

// maxFiles is the most files an export may have: a manifest is one message.
const maxFiles = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C that chunks and files have.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// File is one file of an export.
type File struct {
	// Name is its path below the copy's folder, with "/".
	Name string
	// Size is its length.
	Size int64
	// CRC is the CRC-32C of all of it.
	CRC uint32
}

// Manifest describes an export.
type Manifest struct {
	// Token names the open export at its sender.
	Token string
	// Meta is what the engine needs besides the files to install them; opaque here.
	Meta []byte
	// Files are the files in the order in which they are sent.
	Files []File
}

// Bytes is the size of all files.
func (m *Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// validate refuses a manifest that would write outside the staging folder, or twice to
// the same file.
func (m *Manifest) validate() error {
	if m.Token == "" {
		return apierror.New(apierror.Internal, "manifest has no token")
	}
	if len(m.Files) > maxFiles {
		return apierror.New(apierror.Internal, "manifest has %d files, more than %d", len(m.Files), maxFiles)
	}
	seen := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		switch {
		case !filepath.IsLocal(f.Name) || path.Clean(f.Name) != f.Name || f.Name == ".":
			return apierror.New(apierror.Internal, "manifest names a file outside its folder: %q", f.Name)
		case f.Size < 0:
			return apierror.New(apierror.Internal, "manifest says that %q has %d bytes", f.Name, f.Size)
		case seen[f.Name]:
			return apierror.New(apierror.Internal, "manifest names %q twice", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// Request asks for the files of a shard's copy.
type Request struct {
	// Shard is the shard.
	Shard topology.ShardName
	// Token names an export that is open; empty opens one.
	Token string
	// File and Offset say where to begin.
	File   int
	Offset int64
	// Done closes the export; nothing is sent.
	Done bool
}

// Chunk is a piece of an export.
type Chunk struct {
	// Manifest comes once, in a chunk without data, before all others, when the request
	// opened the export.
	Manifest *Manifest
	// File is the number of the file, Offset where in it Data goes.
	File   int
	Offset int64
	Data   []byte
	// CRC is the checksum of Data.
	CRC uint32
}

// Source is the node that has the files, seen from the one that wants them.
type Source interface {
	// Files opens a stream; it ends with ctx.
	Files(ctx context.Context, r Request) (Stream, error)
}

// Stream gives the chunks that were asked for, in order.
type Stream interface {
	// Recv returns the next one, io.EOF after the last. Its data is the caller's until
	// the next call.
	Recv() (Chunk, error)
}

func (f File) String() string { return fmt.Sprintf("%s (%d bytes)", f.Name, f.Size) }
