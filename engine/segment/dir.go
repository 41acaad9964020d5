package segment

import "github.com/sextantdb/sextant/internal/fsx"

// Dir is the directory of one shard, in which its files are created and opened.
type Dir struct {
	// FS is the file system.
	FS fsx.FS
	// Path is the directory.
	Path string
}
