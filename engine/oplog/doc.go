// Package oplog is the operation log of a disk: one append-only sequence of files
// that many streams (one per shard replica) share, so that one sync makes the
// operations of all of them durable.
//
// Callers: server/node opens one Log per data directory; engine/shard appends to
// its Stream and replays it; cluster/replication reads back and truncates.
// Format: docs/format/oplog.md; reasons: DESIGN.md.
//
// Invariants:
//
//	L1  A ticket succeeds only after the batch with its record was synced, and
//	    every batch before it.
//	L2  No batch but a mark is written before the batch before it (marks aside) was
//	    synced. So at most one batch and its mark are ever unsynced, and a sound
//	    batch behind an unsound one proves damage.
//	L3  In a batch the records of a stream number are: bind, truncation or drop, if any,
//	    then data without gap, then perhaps a drop.
//	L4  Only the newest file is without seal; a file's header and snapshot are
//	    synced, and its name, before its first record.
//	L5  Files go from the oldest on, each removal synced before the next.
//	L6  After a failed write what it left is cut off; after a failed sync the file is
//	    replaced by a copy of what was durable. Before that nothing is written.
//	L7  A record that was taken is written sooner or later, in its place, also when
//	    its ticket has failed: a later record of its stream is never without it.
//	L8  A damaged record is never given to a reader, nor forgotten: its stream can't
//	    be read across it. Other streams can. When it isn't certain which
//	    streams are hurt, the log doesn't open, or (Options.Salvage) takes all for hurt that
//	    don't prove that they lost nothing.
package oplog
