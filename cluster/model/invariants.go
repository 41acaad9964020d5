package model

import (
	"fmt"
	"math/bits"
)

// Invariant names what must always hold.
type Invariant string

// The invariants. All of them are about the history of the latest record: giving up data
// begins another one.
const (
	// Agreement: nothing else is ever committed at a position.
	Agreement Invariant = "agreement"
	// StrongInSync: every member of the set whose disk wasn't lost has all that is
	// committed. So it survives while one of them does.
	StrongInSync Invariant = "strong in-sync"
	// LeaderCompleteness: whoever leads the latest epoch has all that is committed.
	LeaderCompleteness Invariant = "leader completeness"
	// OnlyCommittedApplied: a copy applies nothing that isn't committed.
	OnlyCommittedApplied Invariant = "only committed applied"
	// NothingTakenBack: a log is never cut below what is applied.
	NothingTakenBack Invariant = "nothing taken back"
	// LinearizableRead: a read sees all that was committed before it began.
	LinearizableRead Invariant = "linearizable read"
	// AtMostOnce: no operation is committed twice.
	AtMostOnce Invariant = "at most once"
	// EnoughCopies: what is committed was stored by as many as demanded.
	EnoughCopies Invariant = "enough copies"
	// NoCopyForgotten: the set is empty only when all its members lost their disks.
	NoCopyForgotten Invariant = "no copy forgotten"
	// NumbersRise: epochs, versions, histories and copies' numbers never fall, and a new
	// leader has a new epoch.
	NumbersRise Invariant = "numbers rise"
)

// Violation says which invariant doesn't hold, and how.
type Violation struct {
	Invariant Invariant
	Detail    string
}

func newViolation(i Invariant, format string, args ...any) *Violation {
	return &Violation{Invariant: i, Detail: fmt.Sprintf(format, args...)}
}

// check looks for what doesn't hold in a state, whatever led to it.
func (m *Model) check(s *State) *Violation {
	if v := m.strongInSync(s); v != nil {
		return v
	}
	return m.leaderCompleteness(s)
}

func (m *Model) strongInSync(s *State) *Violation {
	r := s.now()
	c := &s.committed[r.history]
	for set := r.inSync; set != 0; set &= set - 1 {
		j := bits.TrailingZeros8(set)
		d := &s.nodes[j].disk
		if d.alloc != r.alloc[j] || s.strays.lost[j]&(1<<d.alloc) != 0 {
			continue
		}
		if n := d.log.common(c); n < c.n {
			return newViolation(StrongInSync, "a member of the set lacks entry %d, which is committed", n+1)
		}
	}
	return nil
}

func (m *Model) leaderCompleteness(s *State) *Violation {
	r := s.now()
	e, c := &s.epochs[r.epoch], &s.committed[r.history]
	if r.leader == nobody || !e.begun {
		return nil
	}
	if n := e.log.common(c); n < c.n {
		return newViolation(LeaderCompleteness, "the leader lacks entry %d, which is committed", n+1)
	}
	return nil
}

// committing notes that leader i commits entry p (from 0 on), and checks what that needs.
func (x *step) committing(t *State, i int, r *record, p uint8) {
	e := t.nodes[i].disk.log.e[p]
	c := &t.committed[r.history]
	if p < c.n {
		if c.e[p] != e {
			x.violate(Agreement, "entry %d is committed as %v and as %v", p+1, c.e[p], e)
		}
		return
	}
	if c.has(e.op(), 0, c.n) {
		x.violate(AtMostOnce, "operation %d is committed twice", e.op())
	}
	c.append(e)
	stored := 1
	for j := range x.bounds.Nodes {
		if j != i && storedBy(t, j, r.epoch) > p {
			stored++
		}
	}
	if stored < x.bounds.MinInSync {
		x.violate(EnoughCopies, "entry %d is committed, stored by %d", p+1, stored)
	}
}

// storedBy is how many entries any copy on node j had in an epoch.
func storedBy(s *State, j int, epoch uint8) uint8 {
	var best uint8
	for _, n := range s.epochs[epoch].answers[j] {
		best = max(best, n)
	}
	return max(best, 1) - 1
}

// applying notes that node i applies its log up to n, and checks that all of it is
// committed.
func (x *step) applying(t *State, i int, r *record, n uint8) {
	f, c := &t.nodes[i], &t.committed[r.history]
	for p := f.commit; p < n; p++ {
		if p >= c.n || f.disk.log.e[p] != c.e[p] {
			x.violate(OnlyCommittedApplied, "entry %d is applied, and isn't what is committed", p+1)
		}
	}
	f.commit = n
}

// checkRecord compares a new version of the record with the one before it.
func (x *step) checkRecord(t *State, old, r *record) {
	if r.epoch < old.epoch || r.history < old.history || r.leader != old.leader && r.epoch == old.epoch {
		x.violate(NumbersRise, "epoch %d follows %d", r.epoch, old.epoch)
	}
	for i := range x.bounds.Nodes {
		if r.alloc[i] < old.alloc[i] {
			x.violate(NumbersRise, "copy %d follows %d", r.alloc[i], old.alloc[i])
		}
		if r.inSync == 0 && old.inSync&bit(i) != 0 && t.nodes[i].disk.alloc == old.alloc[i] {
			x.violate(NoCopyForgotten, "the set is empty, and a copy of it is there")
		}
	}
}
