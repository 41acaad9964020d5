// Package vectorindex is the dense index of one vector name: raw rows, codes and
// the graph over them.
//
// Callers: engine/shard, whose applier writes, whose searches read, and whose
// optimizer calls Step and drives checkpoints.
//
// A vector becomes a row: it is appended, is found at once by an exact scan of
// the tail, and never moves while its generation lives. In the background Step
// encodes rows, inserts them into the one living graph, removes dead rows when
// there are many (the vacuum, which makes a new generation of rows), and trains
// the codec again when the data has changed. A row goes
//
//	tail (scanned exactly) → encoded (scanned by codes) → indexed (in the graph).
//
// Concurrency. One applier changes rows and documents. Searches take a view (see
// view.go), an immutable set of counted parts, and hold no lock. Step and a
// checkpoint's Write exclude each other only where they touch codes and graph.
// The invariants R1 and R2 (rows.go) give a search every document that was there
// when it began and wasn't deleted since, once; see search.go.
//
// Formats: docs/format/vectors.md and docs/format/graph.md. Decisions: DESIGN.md.
package vectorindex
