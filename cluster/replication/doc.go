// Package replication is the protocol between the copies of one shard: a leader orders
// operations into a log, the copies that are in sync store them, and what all of them
// have stored is committed and applied.
//
// Replica is a pure state machine, one for each copy on a node: Step takes one Event and
// says what is to be done as Effects. It knows no clock (Now comes with the event), disk,
// network, goroutine or randomness, so the same events always have the same effects. What
// carries effects out, and turns what happens into events, is cluster/member; in tests it
// is a script or cluster/simulation.
//
// The rules R1 to R15 that comments name are in cluster/DESIGN.md, and so is why they are
// needed; cluster/model checks that they suffice.
package replication
