// Package peer is how nodes of a cluster reach each other: lanes of messages, calls, and
// streams of files, over gRPC on the port for peers.
//
// A Pool is the calling side. It knows a Target for each peer and keeps separate
// connections to it, so that bulk never delays what is urgent:
//
//   - two lanes, control (messages of the consensus) and replication (between copies of
//     shards). Send never blocks: each lane has a bounded queue that forgets its oldest
//     messages, the protocols on top tolerate that. A lane dials when there is something
//     to send, beats while it is open, redials with a growing wait of at most a second,
//     and closes when nothing was sent for a while;
//   - calls (Call, Heartbeat and so on) on connections of their own for forwarded requests, for
//     control and for bulk, behind a breaker: while a peer is known to be down, they fail at once.
//
// What a lane notices becomes news: OnUp when it reached a process, OnDown when its stream
// broke and dialling again failed, with refused set when nobody listens there any more.
//
// A Server is the called side; it hands what arrives to a Handler. Every stream and call
// begins with a handshake: cluster, who calls (peer and process), whom it wants to reach,
// the key. One that doesn't fit is refused and the caller gets a *Refused. Messages from
// a process that isn't the peer's latest, or meant for an earlier process of this node,
// are dropped.
//
// Invariants: a Handler never hears of a call whose handshake wasn't right; memory is
// bounded by the queues and the windows whatever the other side does; a peer that says
// nothing for Timing.Silence counts as gone, on both sides.
//
// Callers: cluster/member makes the Pool and implements Handler; server/p2p listens.
package peer
