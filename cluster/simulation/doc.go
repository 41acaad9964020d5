// Package simulation lets whole clusters live through bad luck, each from a seed: the
// state machines of replication, topology and controller, with a bad network, disks that
// lose what isn't synced, and processes that crash, stop and come back.
//
// A life is one goroutine and a heap of events in virtual time; its only randomness is a
// generator that begins with the seed, so a seed always gives the same life (the hash of
// its trace tells). What stands between the state machines and the world is a likeness of
// cluster/member: the same order of the same steps, with every wait made a random one. The
// consensus is a list of commands in one order, which nodes see late; proposals may be lost
// or done without an answer.
//
// While it runs, a life is checked: what must be true at all times (check.go), what clients
// saw (history.go), and in the end, when faults have stopped, that everything gets well and
// comes to rest (heal.go).
//
// Callers: its tests and `make sim`.
package simulation
