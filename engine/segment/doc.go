// Package segment is the persistence of a shard: the container format of its
// immutable files (sections of checksummed blocks), the directory that names
// them, and the manifest that is swapped atomically.
//
// Callers: engine/docstore, engine/vectorindex, engine/sparse and
// engine/payloadindex write and read files; engine/shard drives checkpoints and
// owns the manifest. Formats: docs/format/segment.md and docs/format/manifest.md.
package segment
