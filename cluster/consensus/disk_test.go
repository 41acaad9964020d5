package consensus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/internal/fsx"
)

// stored is the naive disk: what etcd-raft was promised to find again.
type stored struct {
	term, vote uint64
	snap       uint64
	snapTerm   uint64
	// terms are those of the entries behind the snapshot.
	terms []uint64
}

func (s stored) last() uint64 { return s.snap + uint64(len(s.terms)) }

func (s stored) termAt(i uint64) uint64 {
	if i == s.snap {
		return s.snapTerm
	}
	return s.terms[i-s.snap-1]
}

// disks drives a disk next to the naive one, through power cuts.
type disks struct {
	t   *testing.T
	rng *rand.Rand
	mem *fsx.Mem
	d   *disk
	// sure is what was promised, tried what it is after the operation under way; they
	// differ in nothing else.
	sure, tried stored
	// commit is the highest commit index that etcd-raft knew: it never goes back in one
	// process.
	commit uint64
	story  []string
}

func (m *disks) note(format string, args ...any) {
	m.story = append(m.story, fmt.Sprintf(format, args...))
}

func entryAt(index, term uint64) *raftpb.Entry {
	return &raftpb.Entry{Index: &index, Term: &term, Type: raftpb.EntryNormal.Enum(), Data: fmt.Appendf(nil, "%d/%d", index, term)}
}

func snapshotAt(index, term uint64) *raftpb.Snapshot {
	return &raftpb.Snapshot{
		Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term, ConfState: raftpb.EnsureConfState(&raftpb.ConfState{Voters: []uint64{1}})},
		Data:     newState(7).encode(fmt.Appendf(nil, "state of %d", index)),
	}
}

// step does one thing that etcd-raft could ask for.
func (m *disks) step() error {
	switch m.rng.IntN(6) {
	case 0:
		m.note("flush")
		return m.d.flush()
	case 1:
		return m.shorten()
	case 2:
		return m.install()
	default:
		return m.save()
	}
}

// save appends entries, of this term or a higher one, instead of uncommitted ones
// perhaps.
func (m *disks) save() error {
	next := m.sure
	if m.rng.IntN(3) == 0 {
		next.term += uint64(1 + m.rng.IntN(2))
		next.vote = uint64(m.rng.IntN(4))
	}
	var entries []*raftpb.Entry
	if m.rng.IntN(4) > 0 {
		from := next.last() + 1
		if next.term > m.sure.term && m.commit < next.last() && m.rng.IntN(2) == 0 {
			from = m.commit + 1 + m.rng.Uint64N(next.last()-m.commit)
		}
		next.terms = slices.Clone(next.terms[:from-next.snap-1])
		for range 1 + m.rng.IntN(5) {
			next.terms = append(next.terms, next.term)
			entries = append(entries, entryAt(next.last(), next.term))
		}
	}
	commit := m.commit + m.rng.Uint64N(next.last()-m.commit+1)
	m.note("save term %d vote %d commit %d, %d entries up to %d", next.term, next.vote, commit, len(entries), next.last())
	m.tried = next
	if err := m.d.save(m.t.Context(), &raftpb.HardState{Term: &next.term, Vote: &next.vote, Commit: &commit}, entries); err != nil {
		return err
	}
	m.commit = commit
	return nil
}

func (m *disks) shorten() error {
	if m.commit <= m.sure.snap {
		return nil
	}
	index := m.sure.snap + 1 + m.rng.Uint64N(m.commit-m.sure.snap)
	m.note("shorten to %d", index)
	next := m.sure
	next.snap, next.snapTerm = index, m.sure.termAt(index)
	next.terms = m.sure.terms[index-m.sure.snap:]
	m.tried = next
	return m.d.shorten(m.t.Context(), snapshotAt(next.snap, next.snapTerm))
}

// install gets a snapshot of somebody whose log isn't this one, which replaces it.
func (m *disks) install() error {
	index := m.commit + 1 + m.rng.Uint64N(8)
	term := m.sure.term + 1
	m.note("install %d of term %d", index, term)
	if err := m.d.save(m.t.Context(), &raftpb.HardState{Term: &term, Vote: new(uint64), Commit: &index}, nil); err != nil {
		m.tried.term, m.tried.vote = term, 0
		return err
	}
	m.sure.term, m.sure.vote = term, 0
	m.tried = stored{term: term, snap: index, snapTerm: term}
	if err := m.d.install(m.t.Context(), snapshotAt(index, term)); err != nil {
		return err
	}
	m.commit = index
	return nil
}

// check compares what was loaded.
func (m *disks) check() {
	t := m.t
	d := m.d
	got := stored{term: d.now.term, vote: d.now.vote}
	if d.snap != nil {
		got.snap, got.snapTerm = d.snap.GetMetadata().GetIndex(), d.snap.GetMetadata().GetTerm()
		require.Equal(t, newState(7).encode(fmt.Appendf(nil, "state of %d", got.snap)), d.snap.GetData())
	}
	for i := d.firstIndex(); i <= d.lastIndex(); i++ {
		entries, err := d.mem.Entries(i, i+1, 1)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%d/%d", i, entries[0].GetTerm()), string(entries[0].GetData()))
		if i > got.snap {
			got.terms = append(got.terms, entries[0].GetTerm())
		} else {
			require.LessOrEqual(t, entries[0].GetTerm(), got.snapTerm)
		}
	}
	term, err := d.mem.Term(got.snap)
	require.NoError(t, err)
	require.Equal(t, got.snapTerm, term)
	require.Equal(t, got.last(), d.lastIndex())
	require.LessOrEqual(t, d.firstIndex(), got.snap+1)
	require.GreaterOrEqual(t, d.now.commit, got.snap)
	require.LessOrEqual(t, d.now.commit, max(m.commit, m.tried.snap, got.last()))

	promises := []stored{m.sure, m.tried}
	require.True(t, slices.ContainsFunc(promises, func(s stored) bool { return s.term == got.term && s.vote == got.vote }),
		"term %d vote %d is loaded, wanted is one of %+v after %q", got.term, got.vote, promises, m.story)
	require.True(t, slices.ContainsFunc(promises, func(s stored) bool {
		return s.snap == got.snap && s.snapTerm == got.snapTerm && m.logFits(s.snap, got)
	}), "%+v is loaded, wanted is one of %+v after %q", got, promises, m.story)
	m.sure, m.tried, m.commit = got, got, d.now.commit
}

// logFits says whether the entries behind the snapshot are those of before, those of
// the operation, or what a power cut leaves between: what both have, and then a part of
// the new ones.
func (m *disks) logFits(snap uint64, got stored) bool {
	from := func(s stored) []uint64 {
		if s.snap > snap || snap > s.last() {
			return nil
		}
		return s.terms[snap-s.snap:]
	}
	before, after := from(m.sure), from(m.tried)
	if m.tried.snap == snap && m.tried.snap > m.sure.last() || m.tried.snap == snap && m.sure.termAt(snap) != m.tried.snapTerm {
		before = nil
	}
	if slices.Equal(got.terms, before) || slices.Equal(got.terms, after) {
		return true
	}
	both := 0
	for both < min(len(before), len(after)) && before[both] == after[both] {
		both++
	}
	return len(got.terms) >= both && len(got.terms) <= len(after) && slices.Equal(got.terms, after[:len(got.terms)])
}

// Every beginning of what is written can be loaded, and holds all that was promised.
func TestDiskComesBackAfterPowerCuts(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := &disks{t: t, rng: rng, mem: fsx.NewMem()}
		d, err := openDisk(t.Context(), &Options{FS: m.mem, Dir: "/c", KeepEntries: 3}, logFileSize)
		require.NoError(t, err)
		require.NoError(t, d.install(t.Context(), snapshotAt(1, 1)))
		require.NoError(t, d.close())
		m.sure = stored{term: 1, snap: 1, snapTerm: 1}
		m.tried, m.commit = m.sure, 1
		for range 6 {
			m.life()
		}
	}
}

// life opens the disk, works until it stops, and cuts the power.
func (m *disks) life() {
	m.note("start")
	fault := fsx.NewFault(m.mem, nil)
	d, err := openDisk(m.t.Context(), &Options{FS: fault, Dir: "/c", KeepEntries: uint64(1 + m.rng.IntN(4))}, []int64{600, 2000, logFileSize}[m.rng.IntN(3)])
	require.NoError(m.t, err, "after %q", m.story)
	m.d = d
	m.check()
	for range m.rng.IntN(4) {
		require.NoError(m.t, m.step())
		m.sure = m.tried
	}
	fault.SetInject(fsx.StopAt(fault.Changes() + 1 + m.rng.Int64N(40)))
	for err == nil {
		if err = m.step(); err == nil {
			m.sure = m.tried
		}
	}
	require.ErrorIs(m.t, err, fsx.ErrStopped, "after %q", m.story)
	_ = d.log.Close()
	m.mem = m.mem.CrashClone(m.rng)
	if m.rng.IntN(3) == 0 { // the start may be cut short, too
		d, err := openDisk(m.t.Context(), &Options{FS: fsx.NewFault(m.mem, fsx.StopAt(m.rng.Int64N(8)+1)), Dir: "/c", KeepEntries: 3}, logFileSize)
		if err == nil {
			_ = d.log.Close()
		}
		m.mem = m.mem.CrashClone(m.rng)
	}
}

// A log that doesn't go with the snapshot isn't opened.
func TestLostFiles(t *testing.T) {
	mem := fsx.NewMem()
	d, err := openDisk(t.Context(), &Options{FS: mem, Dir: "/c", KeepEntries: 3}, logFileSize)
	require.NoError(t, err)
	require.NoError(t, d.install(t.Context(), snapshotAt(1, 1)))
	one, two := uint64(1), uint64(2)
	require.NoError(t, d.save(t.Context(), &raftpb.HardState{Term: &one, Vote: &one, Commit: &two}, []*raftpb.Entry{entryAt(2, 1), entryAt(3, 1)}))
	require.NoError(t, d.close())

	lost := mem.KillClone()
	require.NoError(t, lost.Remove("/c/SNAPSHOT"))
	_, err = openDisk(t.Context(), &Options{FS: lost, Dir: "/c", KeepEntries: 3}, logFileSize)
	require.ErrorIs(t, err, ErrCorrupted)
	require.ErrorContains(t, err, "without a snapshot")

	damaged := mem.KillClone()
	require.NoError(t, fsx.FlipBits(damaged, "/c/SNAPSHOT", 30, 1))
	_, err = openDisk(t.Context(), &Options{FS: damaged, Dir: "/c", KeepEntries: 3}, logFileSize)
	require.ErrorIs(t, err, ErrCorrupted)

	d, err = openDisk(t.Context(), &Options{FS: mem.KillClone(), Dir: "/c", KeepEntries: 3}, logFileSize)
	require.NoError(t, err)
	require.NoError(t, d.close())
}
