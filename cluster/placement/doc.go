// Package placement decides where things belong: which shard holds a point (the hash
// ring) and which peers hold a new shard. Everything in it is a pure function of its
// arguments.
//
// Callers: cluster/coordinator (rings, new collections and shard keys),
// cluster/controller (the order of peers).
package placement
