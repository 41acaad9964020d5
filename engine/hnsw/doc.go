// Package hnsw is a hierarchical navigable small world graph over row numbers:
// it knows neither vectors nor documents, only a Scorer that says how far rows
// are from a query.
//
// Caller: engine/vectorindex, which owns rows, codes and deletions, and decides
// when to build, to grow and to persist.
//
// All links live in flat memory outside the Go heap: no pointer per node, so the
// garbage collector has nothing to follow. Invariants:
//
//   - G1: every row number in a list is smaller than Cap and belongs to a node
//     whose own level-0 list stood before the number was stored. Whoever reads a
//     number may therefore read that row's list.
//   - G2: a node appears in an upper level only after its level-0 list stands,
//     and becomes the entry only after all its lists stand.
//   - G3: a list is a prefix of row numbers ended by a sentinel or by the end of
//     its slots. Writers change single words atomically under the owner's lock;
//     a reader copies the list once and works on the copy, which may mix an old
//     and a new list: both are lists of nodes.
//   - G4: rows with equal vectors form a chain behind one of them, the node. Rows
//     that are chained have no lists.
//   - G5: a Graph's memory never moves. Grow copies into a new Graph; the caller
//     keeps the old one until its last search has ended.
//
// The algorithm is that of Malkov and Yashunin, "Efficient and robust
// approximate nearest neighbor search using Hierarchical Navigable Small World
// graphs" (2016), with a linear sorted pool instead of heaps, batch scoring, and
// an adaptive beam in the upper levels. A filtered search follows refused rows, too,
// and collects the accepted ones. See DESIGN.md.
package hnsw
