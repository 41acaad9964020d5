// Package segment is the persistence of a shard: the container format of its
// immutable files (sections of checksummed blocks), the directory that names
// them, and the manifest that is swapped atomically.
//
// Callers: engine/docstore, engine/vectorindex, engine/sparse and
// engine/payloadindex write and read files; engine/shard drives checkpoints and
// owns the manifest. Formats: docs/format/segment.md and docs/format/manifest.md;
// reasons: DESIGN.md.
//
// Invariants:
//
//	S1  A file that a stored manifest names is complete, durable and never written
//	    to again.
//	S2  No byte of a file is used before the checksum of its block was verified
//	    (Section.Check), and every byte of a file is under some checksum or must
//	    be zero.
//	S3  At every moment exactly one manifest is in force, the old or the new one.
//	S4  A file is removed only when no manifest that may be in force names it.
package segment
