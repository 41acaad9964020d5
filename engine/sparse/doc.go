// Package sparse is the inverted index of one sparse vector name of a shard:
// it finds the documents with the largest dot product to a sparse query, exactly.
//
// Caller: engine/shard. One applier goroutine calls Upsert and Delete, any
// number search, and a background worker calls Step; checkpoints come through
// segment.Checkpointer.
//
// # Shape
//
// New vectors go to the growing part, a list of rows that searches scan. Step
// turns it into sealed parts of at most 65,536 rows: a forward index (row →
// vector) and an inverted index (term → postings). Small parts are merged, parts
// with many dead rows rewritten. A part is the same arrays in memory and in its
// file (docs/format/sparse.md), which is mapped.
//
// # Invariants
//
//   - R1: the rows of a sealed part ascend by document number, one row a document.
//   - R2: at most one row of the whole index is alive for a document, in any
//     version. Every applied operation makes a new version; a row is alive in
//     version v when it was born in or before v and not killed in or before v.
//   - R3: a search sees exactly one version: everything applied before it began.
//   - R4: a build (seal, merge, vacuum) drops only rows killed in or before the
//     version it began at; growing parts captured by an open checkpoint are built
//     in its version. So a checkpoint's files hold exactly the version it froze.
//   - R5: the score of a document depends on its vector, the query and the idf
//     counts only, not on the part its row is in.
package sparse
