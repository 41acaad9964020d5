// Package docstore is the primary store of a shard: it knows for each point its
// document number, its payload and its version.
package docstore
