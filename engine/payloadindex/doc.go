// Package payloadindex is the secondary index over one payload field of a
// shard: from values to documents and back.
//
// Callers: engine/shard owns one Index per indexed field, updates it from its
// applier and drives its checkpoints; engine/filter asks it for the documents
// that satisfy a Predicate; order_by and facets read it in the order of values.
//
// An Index is a list of immutable layers, oldest first, and one growing layer
// in memory. A layer knows the documents that it speaks for (touched); what
// older layers say about those no longer counts. See DESIGN.md.
//
// Invariants:
//   - any number of goroutines read while others mutate; the order of updates is
//     the callers', so one of them (the applier) makes them;
//   - an answer is exact about the documents that the index can judge, and
//     names those that it can't (Answer.Maybe), so that answers with and
//     without an index are the same;
//   - there is no Go pointer per document or value, except in the growing layer,
//     whose size is bounded.
package payloadindex
