// Package model is an explicit-state model of the protocol between the copies of one
// shard, and a search through all its states within bounds.
//
// A State is everything at once: the topology's records of the shard, what each node has
// on disk and in memory, and what is under way between them. Messages are never taken
// from the network, and whoever could get one may get it at any time, again, or never: so
// loss, delay, repetition and other orders need no actions of their own. Model.Each lists
// what can happen next as named actions; Search walks through all of it, nearest first, so
// that what it finds is as short as can be. After each action the invariants
// (invariants.go) must hold.
//
// The rules R1 to R15 are in cluster/DESIGN.md. Each can be broken (Break), whole or in
// part: the tests demand that the search then finds a violation, or says why the rule is a
// second fence that another one makes redundant. DESIGN.md tells what was simplified, why
// that hides nothing, and what was run.
package model
