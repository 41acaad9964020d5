package model

import (
	"math/bits"
	"strings"
)

// Break is a set of rules, or parts of rules, that are switched off.
type Break uint64

// What can be switched off. A name begins with the rule.
const (
	// R1NoRegistration: a process acts on any record, without registering.
	R1NoRegistration Break = 1 << iota
	// R2NoDurableEpoch: a copy forgets its epoch with its process.
	R2NoDurableEpoch
	// R3CutToCommit: a follower cuts back to what it believes committed.
	R3CutToCommit
	// R3NoCut: a follower keeps all of its log that isn't longer than the leader's.
	R3NoCut
	// R3OlderLeader: a follower may sync with a leader of an earlier epoch.
	R3OlderLeader
	// R3WelcomeAgain: a synced follower heeds a second Welcome of the epoch.
	R3WelcomeAgain
	// R3LateFiles: files that a process asked for are put in place whenever they come.
	R3LateFiles
	// R3EarlierFiles: files that a process asked for in an earlier epoch are put in place
	// while it hasn't synced.
	R3EarlierFiles
	// R3OlderFiles: files may hold less than what follower and leader have in common.
	R3OlderFiles
	// R3CommitBeforeSync: a follower believes a commit position before it has synced.
	R3CommitBeforeSync
	// R4AnyEpoch: answers of earlier epochs count.
	R4AnyEpoch
	// R4AnyCopy: answers of another copy on the peer count.
	R4AnyCopy
	// R4OldWelcome: a process heeds the Welcome that was meant for an earlier one.
	R4OldWelcome
	// R5OnlyProposed: the leader counts the proposed set alone.
	R5OnlyProposed
	// R5OnlyRecord: the leader counts the record's set alone.
	R5OnlyRecord
	// R5NotOnOwnDisk: the leader doesn't wait for its own disk.
	R5NotOnOwnDisk
	// R5IgnoreMin: the leader commits with fewer in sync than demanded.
	R5IgnoreMin
	// R6AnyVersion: the topology takes a proposal made for an earlier version.
	R6AnyVersion
	// R7NoBarrier: a follower may join before the epoch's barrier is committed.
	R7NoBarrier
	// R7NoCatchUp: a follower may join without everything committed.
	R7NoCatchUp
	// R7Fenced: a fenced follower may join.
	R7Fenced
	// R8KeepProgress: a leader keeps the progress of a peer's earlier copy.
	R8KeepProgress
	// R9Anybody: any unfenced copy is elected.
	R9Anybody
	// R9HandOverAnybody: leadership is handed to a copy that isn't in sync.
	R9HandOverAnybody
	// R9Fenced: a fenced copy in sync is elected.
	R9Fenced
	// R10ApplyEarly: a follower applies entries when it has stored them.
	R10ApplyEarly
	// R11AnswerEarly: a follower answers before its disk has the entries.
	R11AnswerEarly
	// R12FenceLast: fencing takes the last seat, too.
	R12FenceLast
	// R12RestartLosesSeat: a new incarnation leaves the set, even as its last member.
	R12RestartLosesSeat
	// R12KeepLeadership: a new incarnation goes on leading its epoch.
	R12KeepLeadership
	// R13NoConfirmation: a leader reads without asking anybody.
	R13NoConfirmation
	// R13BeforeBarrier: a leader reads before the epoch's barrier is committed.
	R13BeforeBarrier
	// R13OldRound: a confirmation of an earlier question counts.
	R13OldRound
	// R14SameNumber: a lost copy keeps its number and its seat.
	R14SameNumber
	// R14InPlace: a copy that is set aside is filled again under its number.
	R14InPlace
	// R14KeepSeat: a lost copy gets another number, but keeps its seat.
	R14KeepSeat
	// R15Silent: giving up data doesn't begin a new history.
	R15Silent
	// R15LogAcross: a follower of another history takes the log instead of files.
	R15LogAcross
	// R15ForgetHistory: a copy that is made leader of a new history doesn't store that.
	R15ForgetHistory
	// CreatedGate: a copy takes part before the record says that it was created.
	CreatedGate
	// DedupeOff: nobody looks whether an operation was done already.
	DedupeOff
	// DedupeLogOnly: a leader looks only at what isn't applied yet.
	DedupeLogOnly
	// DedupeAppliedOnly: a leader looks only at what is applied.
	DedupeAppliedOnly
	breaks = iota
)

func (b Break) name() string {
	names := [breaks]string{
		"R1-no-registration", "R2-no-durable-epoch", "R3-cut-to-commit", "R3-no-cut", "R3-older-leader",
		"R3-welcome-again", "R3-late-files", "R3-earlier-files", "R3-older-files", "R3-commit-before-sync", "R4-any-epoch", "R4-any-copy", "R4-old-welcome",
		"R5-only-proposed", "R5-only-record", "R5-not-on-own-disk", "R5-ignore-min", "R6-any-version",
		"R7-no-barrier", "R7-no-catch-up", "R7-fenced", "R8-keep-progress", "R9-anybody", "R9-hand-over-anybody",
		"R9-fenced", "R10-apply-early", "R11-answer-early", "R12-fence-last", "R12-restart-loses-seat",
		"R12-keep-leadership", "R13-no-confirmation", "R13-before-barrier", "R13-old-round", "R14-same-number", "R14-in-place",
		"R14-keep-seat", "R15-silent", "R15-log-across", "R15-forget-history", "created-gate", "dedupe-off", "dedupe-log-only",
		"dedupe-applied-only",
	}
	return names[bits.TrailingZeros64(uint64(b))]
}

// String names what is off, or says "all rules".
func (b Break) String() string {
	if b == 0 {
		return "all rules"
	}
	var s []string
	for ; b != 0; b &= b - 1 {
		s = append(s, (b & -b).name())
	}
	return strings.Join(s, "+")
}
