package replication

import (
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Position is a place in a shard's log: equal positions of two copies prove equal logs
// up to there. It has the fields of oplog.Position.
//
// The state machine goes by Epoch and Seq alone, and leaves Chain 0 in what it makes: the
// protocol lets no two entries share both. Chains are the check of that, and belong to
// whoever carries effects out. It fills in the Chain of the entries that it reads for an
// Append, and compares it with the one that its own log gives an entry that it appends.
// If they differ it says LogDamaged.
type Position struct {
	// Epoch is the leadership that wrote the entry.
	Epoch uint64
	// Seq numbers the entries from 1 on, without gaps.
	Seq uint64
	// Chain is a running hash over all entries up to this one.
	Chain uint64
}

// EpochStart is where an epoch begins in a log.
type EpochStart struct {
	// Epoch is the leadership.
	Epoch uint64
	// First is the sequence of its first entry.
	First uint64
}

// OpID names a write so that trying it again doesn't do it twice. The zero value is a
// write that nobody tries again.
type OpID struct {
	// Peer is the node that took the write from a client, Incarnation its process.
	Peer        topology.PeerID
	Incarnation uint64
	// Counter numbers that process's writes to the shard, from 1 on.
	Counter uint64
}

// EntryKind says what an entry of the log is.
type EntryKind uint8

// The kinds of entries.
const (
	// Data is an operation on the shard.
	Data EntryKind = iota + 1
	// Barrier is the first entry of an epoch. It changes nothing; what came before it is
	// committed with it.
	Barrier
	// Checksum asks every copy to compare itself with the others.
	Checksum
)

// Entry is one entry of a shard's log.
type Entry struct {
	Position
	// Kind is what it is.
	Kind EntryKind
	// Op names the write; zero for entries of the protocol itself.
	Op OpID
	// Body is the operation as engine/shard encodes it. The state machine never looks at
	// it; an entry that it only names has none.
	Body []byte
}

// Config is what the topology says about the shard.
type Config struct {
	// Shard is the record. It isn't changed.
	*topology.Shard
	// MinInSync is how many copies must be in sync for a write to be taken: at least 1.
	MinInSync int
	// Fenced are the peers of the record that count as gone.
	Fenced []topology.PeerID
	// Incarnations are the registered processes of the record's peers.
	Incarnations map[topology.PeerID]uint64
}

// LoggedOp is the operation of an entry.
type LoggedOp struct {
	// Seq is the entry's sequence.
	Seq uint64
	// Op is the operation's ID.
	Op OpID
}

// LogState is what a copy finds on its disk when it starts.
type LogState struct {
	// First is the first entry that can be read; Last.Seq+1 when there is none. It is
	// Applied+1 at most: only what is in files is released.
	First uint64
	// Base is the entry before First; zero if that isn't known.
	Base Position
	// Last is the last entry, durable.
	Last Position
	// Epochs are the leaderships whose entries can be read, oldest first.
	Epochs []EpochStart
	// Applied is the last entry that was applied and is in files. It was committed.
	Applied uint64
	// Epoch is the highest epoch that was adopted (R2).
	Epoch uint64
	// History is the identity of the log; 0 for a copy that was just made, whose log is
	// empty.
	History uint64
	// Ops are the operations of the entries behind Applied, in order; entries without
	// an ID are left out.
	Ops []LoggedOp
}

// Message is what copies say to each other. Every one is stamped (Envelope).
type Message interface{ isMessage() }

// Envelope is a message on its way between two copies of a shard.
type Envelope struct {
	// From and To are the nodes.
	From, To topology.PeerID
	// FromIncarnation is the process that speaks. ToIncarnation is the one it speaks to,
	// 0 when unknown: another one doesn't hear it (R4).
	FromIncarnation, ToIncarnation uint64
	// FromAlloc is the copy that speaks.
	FromAlloc topology.AllocID
	// Shard is the shard.
	Shard topology.ShardName
	// Epoch is the one that the message is about; whoever has adopted a higher one
	// refuses it (R2).
	Epoch uint64
	// Message is what is said.
	Message Message
}

// Hello asks the leader what of the follower's log is right (R3). It is sent once in
// every epoch and process, and again until it is answered.
type Hello struct {
	// History is the identity of the follower's log.
	History uint64
	// First is the first entry that the follower can read, Last the last.
	First uint64
	Last  Position
	// Epochs are the leaderships in its log.
	Epochs []EpochStart
	// Applied is its last applied entry, which is committed.
	Applied uint64
}

// Welcome answers Hello: the follower's log is right up to and with At. It cuts off what
// is behind, and appends follow.
type Welcome struct {
	// Last is where the follower's log ended by its Hello: an answer to an older Hello
	// isn't about this log.
	Last Position
	// At is the end of what leader and follower have in common.
	At Position
	// Commit is the last committed entry.
	Commit uint64
	// Barrier is the leader's first entry: what was committed before this epoch is in
	// front of it.
	Barrier uint64
}

// TakeFiles answers Hello when the leader's log doesn't reach back to the follower's, or
// isn't the same: the follower needs a copy of the files first.
type TakeFiles struct {
	// Last is where the follower's log ended by its Hello, as in Welcome. It says nothing to
	// a follower that was welcome and has fallen behind what the leader can read.
	Last Position
	// History is the identity of the leader's log, First the first entry that it can read.
	History uint64
	First   uint64
}

// Refused answers a message of an older epoch, or of a process or copy that isn't the
// one in the record.
type Refused struct {
	// Epoch is the highest epoch of who refuses.
	Epoch uint64
}

// Append carries entries from the leader, and news of commits.
type Append struct {
	// Prev is where the entries go: the entry before the first one. A follower whose log
	// doesn't end there says so.
	Prev Position
	// Entries follow each other. A leader's state machine names them by First and Last
	// (First > Last: none) and whoever carries out the effect reads them from the log,
	// also when they aren't durable yet. When the copy has adopted a higher epoch in the
	// meantime, the message must not be sent: the entries there may be others. Two
	// messages of which one continues the other may be made one; a sender may leave off
	// entries at the end, which costs a round trip.
	Entries     []Entry
	First, Last uint64
	// Commit is the last committed entry, Visible the last one that all copies in sync
	// have applied.
	Commit, Visible uint64
}

// Appended says how far a follower is.
type Appended struct {
	// Durable is its last entry that is on disk in this epoch.
	Durable uint64
	// Applied is its last applied one.
	Applied uint64
	// Gap says that the last Append didn't fit: Durable is where to go on from.
	Gap bool
	// Full says that its disk takes nothing at the moment.
	Full bool
}

// Confirm asks a copy in sync whether the leader still leads (R13).
type Confirm struct {
	// Round numbers the leader's questions.
	Round uint64
}

// Confirmed says so.
type Confirmed struct {
	// Round is the question.
	Round uint64
}

func (Hello) isMessage()     {}
func (Welcome) isMessage()   {}
func (TakeFiles) isMessage() {}
func (Refused) isMessage()   {}
func (Append) isMessage()    {}
func (Appended) isMessage()  {}
func (Confirm) isMessage()   {}
func (Confirmed) isMessage() {}

// Event is what happens to a copy.
type Event interface{ isEvent() }

// ConfigChanged says: the topology says something new about the shard, or about it for the
// first time since the process registered (R1: never before that).
type ConfigChanged struct{ Config Config }

// Received says: another copy said something. Entries of an Append have bodies.
type Received struct{ Envelope }

// Stored says: all disk effects up to the one with this number are on disk. Every effect is
// carried out sooner or later, in order, also on a disk that was full.
type Stored struct {
	// Number is the effect's.
	Number uint64
	// Last is the end of the log on disk.
	Last Position
}

// LogFull says: the disk takes no entries at the moment, or takes them again.
type LogFull struct{ Full bool }

// Applied says: entries up to this one are applied.
type Applied struct{ Seq uint64 }

// Propose says: a write for the leader. The answer is an effect Took or Rejected with the same
// token.
type Propose struct {
	// Token names the write for the one who asks.
	Token uint64
	// Entry has the kind, the operation's ID and the body.
	Entry Entry
}

// ReadIndex says: somebody wants to read what is committed now (R13). The answer is an effect
// ReadReady or Rejected with the same token.
type ReadIndex struct{ Token uint64 }

// FilesInstalled says: what TakeFiles asked for is done: the log begins anew behind At, of
// that history. Everything in the files is applied.
type FilesInstalled struct {
	At      Position
	History uint64
	// Recent are the operations that came with the files. The state machine keeps it.
	Recent *OpTable
}

// FilesFailed says: what TakeFiles asked for can't be done, and the log is as it was.
type FilesFailed struct{}

// LogReleased says: the log's front was given up: First is the first entry that can be read.
type LogReleased struct{ First uint64 }

// LogDamaged says: the log contradicts the leader's (a chain value), or can't be read.
type LogDamaged struct{ Err error }

// Transfer says: the leader is asked to hand its leadership to a peer in sync, or (0) to any.
type Transfer struct{ To topology.PeerID }

// Tick says: time has passed.
type Tick struct{}

func (ConfigChanged) isEvent()  {}
func (Received) isEvent()       {}
func (Stored) isEvent()         {}
func (LogFull) isEvent()        {}
func (Applied) isEvent()        {}
func (Propose) isEvent()        {}
func (ReadIndex) isEvent()      {}
func (FilesInstalled) isEvent() {}
func (FilesFailed) isEvent()    {}
func (LogReleased) isEvent()    {}
func (LogDamaged) isEvent()     {}
func (Transfer) isEvent()       {}
func (Tick) isEvent()           {}

// Now is the time of an event, since any fixed moment; it never goes back in one
// process.
type Now = time.Duration

// Effects are what is to be done after a step, in the order of the fields: what concerns
// the disk in the order of numbers, messages whenever. Messages that promise something
// (Appended) come out only after the Stored event that makes it true.
type Effects struct {
	// Disk are changes of the log and of the stored epoch, in order.
	Disk []DiskEffect
	// Messages are to be sent; any may be lost.
	Messages []Envelope
	// Commit is the last committed entry when it has grown (0: it hasn't): entries up to
	// it are to be applied in order.
	Commit uint64
	// Visible is the last entry that every copy in sync has applied, when it has grown.
	Visible uint64
	// Alter are proposals for the topology.
	Alter []Alter
	// Took are writes that got a place in the log; Rejected those (and reads) that
	// didn't; ReadReady the reads that may take place when Commit is applied.
	Took      []Took
	Rejected  []Rejected
	ReadReady []ReadReady
	// TakeFiles asks for a copy of the leader's files, from this peer. The answer is
	// FilesInstalled or FilesFailed; until then another one only names another source.
	TakeFiles *FileSource
	// Damaged says that this copy contradicts the others: it is to be set aside and
	// filled again.
	Damaged error

	// entries is where entries of disk effects are kept.
	entries []Entry
}

// Reset empties fx and keeps its memory. What was taken from it is invalid.
func (fx *Effects) Reset() {
	clear(fx.Disk)
	clear(fx.Messages)
	clear(fx.Alter)
	clear(fx.entries)
	*fx = Effects{
		Disk: fx.Disk[:0], Messages: fx.Messages[:0], Alter: fx.Alter[:0], Took: fx.Took[:0],
		Rejected: fx.Rejected[:0], ReadReady: fx.ReadReady[:0], entries: fx.entries[:0],
	}
}

// DiskEffect is one change on disk.
type DiskEffect struct {
	// Number counts the copy's disk effects, from 1 on.
	Number uint64
	// Append are entries to append; TruncateAfter (when Truncate is set) is the last one
	// to keep; Epoch (when not 0) is the epoch to remember (R2). One of the three.
	Append        []Entry
	Truncate      bool
	TruncateAfter uint64
	Epoch         uint64
	// History (when not 0) is to be remembered together with Epoch: from now on it is
	// the identity of the log.
	History uint64
}

// Alter proposes other copies in sync, or another leader, on condition that the record
// still has this epoch and version (R6). The set may be the one that the record has: then
// all that changes is the version, so that an earlier proposal can't succeed any more.
type Alter struct {
	Shard          topology.ShardName
	Proposer       topology.PeerID
	Epoch, Version uint64
	// InSync is the new set.
	InSync []topology.PeerID
	// Allocs are the copies that are added: they must still be the record's (R7).
	Allocs map[topology.PeerID]topology.AllocID
	// Leader, when not 0, is to lead in the next epoch.
	Leader topology.PeerID
}

// Took says where a write is in the log. It is committed when Effects.Commit reaches it,
// and visible everywhere when Effects.Visible does.
type Took struct {
	Token uint64
	Position
	// Again says that the operation was in the log already (a retry): Position has
	// nothing but the sequence up to which to wait.
	Again bool
}

// Rejected says why a write or a read isn't taken.
type Rejected struct {
	Token uint64
	// Reason is what is wrong; Leader who leads as far as is known, 0 for nobody.
	Reason Reason
	Leader topology.PeerID
}

// Reason is why a write or read isn't taken.
type Reason uint8

// The reasons.
const (
	// NotLeader: another copy leads, or none.
	NotLeader Reason = iota + 1
	// TooFewInSync: fewer copies are in sync than the collection demands.
	TooFewInSync
	// Overloaded: too much is under way.
	Overloaded
	// DiskFull: the disk is full.
	DiskFull
	// LostLeadership: it was taken, and isn't known to be committed: the leadership ended.
	LostLeadership
	// TooOld: so many later writes of its coordinator are known that nobody knows any
	// more whether this one was done.
	TooOld
)

// ReadReady says that a read may take place once Commit is applied.
type ReadReady struct {
	Token  uint64
	Commit uint64
}

// FileSource is where to get files from.
type FileSource struct {
	// Peer has them; 0 is nobody any more: FilesFailed should come soon, or
	// FilesInstalled if it is too late for that.
	Peer    topology.PeerID
	History uint64
	// From is where the leader's log goes back to: files must have everything before it.
	From uint64
}
