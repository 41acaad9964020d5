package segment

import "context"

// Checkpointer is a part of a shard that persists: the document store and each
// secondary index. The shard drives all of them through one checkpoint:
//
//  1. between two operations it calls Freeze on each, at log position S;
//  2. while operations go on, it calls Write on each Checkpoint;
//  3. it swaps the manifest, which names every returned file and S;
//  4. it calls Commit on each. Files no longer named are then removed.
//
// When anything fails before 3, Abort is called on each instead, and the old
// manifest with the log from its position stays the truth.
type Checkpointer interface {
	// Freeze marks everything applied so far as belonging to the checkpoint. It
	// does no I/O and returns within about a millisecond: it switches the growing
	// part for an empty one, it doesn't copy it.
	Freeze() Checkpoint
}

// Checkpoint is the frozen state of one Checkpointer.
type Checkpoint interface {
	// Write writes what changed into new, synced files of dir, and returns the
	// complete list of files that make up the state, old and new.
	Write(ctx context.Context, dir *Dir) ([]FileInfo, error)
	// Commit says that the manifest naming the files is durable: the frozen
	// memory may be replaced by the files.
	Commit() error
	// Abort says that the checkpoint failed: the frozen part is merged back, or
	// stays frozen and is written by the next checkpoint.
	Abort()
}

// FileInfo names one immutable file of a shard.
type FileInfo struct {
	// Name is relative to the shard's directory.
	Name string
	// Size is the length in bytes.
	Size int64
	// Sum is the CRC-32C of the file's table of contents, which holds the
	// checksums of all blocks: with Size it identifies the content.
	Sum uint32
}
