// Package shard is one local shard replica: log, document store, secondary
// indexes and the optimizer that tends them.
package shard
