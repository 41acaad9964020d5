// Package transfer brings the files of a shard's copy from one node to another: Exports
// sends them, a Fetcher writes them into a staging folder and hands that to whoever
// installs it. Both are bounded: so many at a time, so many bytes a second.
//
// What is sent is an Export: a fixed list of files that don't change while it is open.
// It goes in chunks of at most ChunkBytes, in order, each with its CRC-32C. When the
// connection breaks the Fetcher goes on where it was; the sender keeps the export open
// for a while (the lease). After a restart of either side the transfer begins anew: a
// staging folder that was left is cleared.
//
// Nothing is installed that isn't whole: every file has the size and the checksum that
// the manifest says, and is synced, before install is called.
//
// Callers: cluster/member starts transfers; cluster/peer carries the chunks (Source is
// its client, Exports.Send is called by its server). The package knows no network.
package transfer
