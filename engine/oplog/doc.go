// Package oplog is the operation log of a disk: one append-only sequence of files
// that many streams (one per shard replica) share, so that one sync makes the
// operations of all of them durable.
//
// Callers: server/node opens one Log per data directory; engine/shard appends to
// its Stream and replays it; cluster/replication reads back and truncates.
// Format: docs/format/oplog.md; reasons: DESIGN.md.
package oplog
