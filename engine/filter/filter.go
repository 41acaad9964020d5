// Package filter compiles the filters of the public API against a shard's
// schema and evaluates them: as a bitmap when the indexes can, document by
// document otherwise, with the same answer.
package filter
