package oplog_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// entry is a record as the model knows it.
type entry struct {
	pos  oplog.Position
	data string
}

// state is what a stream holds: records without gap, the last one up to last.
// exists is false for a stream that was never written or was dropped.
type state struct {
	exists  bool
	entries []entry
	last    oplog.Position
	// base is the position before the first of entries.
	base oplog.Position
}

// String shows the first and last entry.
func (s state) String() string {
	if len(s.entries) == 0 {
		return fmt.Sprintf("{%v, nothing up to %v}", s.exists, s.last)
	}
	return fmt.Sprintf("{%v, %v to %v}", s.exists, s.entries[0].pos, s.last)
}

// step is one operation of a stream that was asked for.
type step struct {
	after  state
	ticket *oplog.Ticket
}

// model is the naive log: for each stream the state that was acknowledged, the
// steps that were not yet, and up to where it was released.
type model struct {
	sure     map[string]state
	pending  map[string][]step
	released map[string]uint64
}

func newModel() *model {
	return &model{sure: map[string]state{}, pending: map[string][]step{}, released: map[string]uint64{}}
}

// now is the state with everything that was asked for.
func (m *model) now(id string) state {
	if p := m.pending[id]; len(p) > 0 {
		return p[len(p)-1].after
	}
	return m.sure[id]
}

func (m *model) ask(id string, after state, t *oplog.Ticket) {
	m.pending[id] = append(m.pending[id], step{after, t})
}

// settle moves what is acknowledged from pending to sure.
func (m *model) settle() {
	for id, steps := range m.pending {
		for len(steps) > 0 && steps[0].ticket != nil && done(steps[0].ticket) && steps[0].ticket.Err() == nil {
			m.sure[id], steps = steps[0].after, steps[1:]
		}
		m.pending[id] = steps
	}
}

func done(t *oplog.Ticket) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

// machine drives a log on a file system that can crash, next to the model.
type machine struct {
	t      *testing.T
	rng    *rand.Rand
	mem    *fsx.Mem
	fault  *fsx.Fault
	log    *oplog.Log
	model  *model
	events []string
}

func (m *machine) note(format string, args ...any) {
	m.events = append(m.events, fmt.Sprintf(format, args...))
}

func (m *machine) options() oplog.Options {
	return oplog.Options{
		FS: m.fault, Dir: "/log",
		FileSize: []int64{200, 1000, 4000, 1 << 20}[m.rng.IntN(4)], QueueBytes: []int{1, 300, 4000}[m.rng.IntN(3)],
	}
}

// must fails the test with the story so far, unless the world has stopped.
func (m *machine) alive(err error) bool {
	if err == nil {
		return true
	}
	if !errors.Is(err, fsx.ErrStopped) {
		require.NoError(m.t, err, "after %q", m.events)
	}
	return false
}

func (m *machine) randomID() string { return string(rune('a' + m.rng.IntN(3))) }

// append asks for some records, and waits for them or not.
func (m *machine) append() bool {
	id := m.randomID()
	s := m.log.Stream(id)
	for range 1 + m.rng.IntN(8) {
		now := m.model.now(id)
		seq, epoch := now.last.Seq+1, now.last.Epoch+uint64(max(0, m.rng.IntN(6)-4))
		if !now.exists {
			seq = 1 + uint64(m.rng.IntN(3))*100
			now.base = oplog.Position{Seq: seq - 1}
		}
		data := fmt.Sprintf("%s/%d/%s", id, seq, strings.Repeat("x", m.rng.IntN(300)))
		pos, t := s.AppendAt(epoch, seq, []byte(data))
		if t.Refused() {
			return m.alive(t.Err())
		}
		e := entry{pos, data}
		require.Equal(m.t, pos, s.Last())
		require.Equal(m.t, epoch, e.pos.Epoch)
		m.model.ask(id, state{exists: true, entries: append(slices.Clip(now.entries), e), last: e.pos, base: now.base}, t)
	}
	m.note("append %s up to %d", id, m.model.now(id).last.Seq)
	if m.rng.IntN(2) == 0 {
		return m.wait()
	}
	return true
}

// wait waits for every ticket.
func (m *machine) wait() bool {
	for _, id := range slices.Sorted(maps.Keys(m.model.pending)) {
		for _, s := range m.model.pending[id] {
			if !m.alive(s.ticket.Wait(m.t.Context())) {
				return false
			}
		}
	}
	m.model.settle()
	m.note("wait")
	return true
}

// truncate cuts a suffix; the model knows it as one more step.
func (m *machine) truncate() bool {
	id := m.randomID()
	now := m.model.now(id)
	if !now.exists || len(now.entries) == 0 {
		return true
	}
	keep := m.rng.IntN(len(now.entries) + 1)
	seq := now.entries[0].pos.Seq - 1 + uint64(keep)
	if seq < m.model.released[id] {
		return true
	}
	after := state{exists: true, entries: slices.Clip(now.entries[:keep]), last: now.base, base: now.base}
	if keep > 0 {
		after.last = now.entries[keep-1].pos
	}
	m.note("truncate %s after %d", id, seq)
	m.model.ask(id, after, nil)
	if !m.alive(m.log.Stream(id).TruncateAfter(m.t.Context(), seq)) {
		return false
	}
	m.model.sure[id], m.model.pending[id] = after, nil
	require.Equal(m.t, after.last, m.log.Stream(id).Last(), "after %q", m.events)
	return true
}

// reset begins a stream anew somewhere else, as after files were installed.
func (m *machine) reset() bool {
	id := m.randomID()
	now := m.model.now(id)
	pos := oplog.Position{
		Epoch: now.last.Epoch, Seq: uint64(m.rng.IntN(int(now.last.Seq) + 20)), Chain: m.rng.Uint64(),
	}
	after := state{exists: true, last: pos, base: pos}
	m.note("reset %s behind %v", id, pos)
	m.model.ask(id, after, nil)
	if !m.alive(m.log.Stream(id).Reset(m.t.Context(), pos)) {
		return false
	}
	m.model.sure[id], m.model.pending[id], m.model.released[id] = after, nil, 0
	require.Equal(m.t, pos, m.log.Stream(id).Last(), "after %q", m.events)
	return true
}

func (m *machine) drop() bool {
	id := m.randomID()
	if !m.model.now(id).exists {
		return true
	}
	m.note("drop %s", id)
	m.model.ask(id, state{}, nil)
	if !m.alive(m.log.Stream(id).Drop(m.t.Context())) {
		return false
	}
	m.model.sure[id], m.model.pending[id], m.model.released[id] = state{}, nil, 0
	return true
}

func (m *machine) release() bool {
	id := m.randomID()
	sure := m.model.sure[id]
	m.model.settle()
	if len(sure.entries) == 0 || len(m.model.pending[id]) > 0 {
		return true
	}
	seq := sure.entries[m.rng.IntN(len(sure.entries))].pos.Seq
	m.model.released[id] = max(m.model.released[id], seq)
	m.note("release %s to %d", id, seq)
	return m.alive(m.log.Stream(id).Release(seq))
}

// reopen closes and opens the log.
func (m *machine) reopen() bool {
	m.note("reopen")
	if !m.alive(m.log.Close()) {
		return false
	}
	m.model.settle()
	return m.open() && m.compare(false)
}

func (m *machine) open() bool {
	var err error
	m.log, err = oplog.Open(m.options())
	return m.alive(err)
}

// read compares what can be read with what was acknowledged.
func (m *machine) read() bool {
	return m.wait() && m.compare(false)
}

// compare holds the log against the model. After a crash a stream may be in the
// sure state or in the one after any number of pending steps.
func (m *machine) compare(crashed bool) bool {
	for _, id := range []string{"a", "b", "c"} {
		got, ok := m.content(id)
		if !ok {
			return false
		}
		allowed := []state{m.model.sure[id]}
		for _, s := range m.model.pending[id] {
			allowed = append(allowed, s.after)
		}
		if !crashed {
			allowed = allowed[len(allowed)-1:]
		}
		found := slices.IndexFunc(allowed, func(s state) bool { return m.agrees(id, got, s) })
		require.GreaterOrEqual(m.t, found, 0, "stream %s is %v, none of %v, released to %d, after %q",
			id, got, allowed, m.model.released[id], m.events)
		m.model.sure[id], m.model.pending[id] = allowed[found], nil
		if !allowed[found].exists {
			m.model.released[id] = 0
		}
	}
	return true
}

// content reads a stream.
func (m *machine) content(id string) (state, bool) {
	if !slices.Contains(m.log.Streams(), id) {
		return state{}, true
	}
	s := m.log.Stream(id)
	got := state{exists: true, last: s.Durable()}
	require.Equal(m.t, s.Last(), s.Durable())
	err := s.Read(m.t.Context(), s.First(), func(r oplog.Record) error {
		got.entries = append(got.entries, entry{r.Position, string(r.Data)})
		return nil
	})
	if !m.alive(err) {
		return state{}, false
	}
	if !m.positions(s, got) {
		return state{}, false
	}
	if n := len(got.entries); n > 0 {
		require.Equal(m.t, s.First(), got.entries[0].pos.Seq)
		require.Equal(m.t, got.last, got.entries[n-1].pos)
		middle := got.entries[m.rng.IntN(n)]
		stop := errors.New("enough")
		err := s.Read(m.t.Context(), middle.pos.Seq, func(r oplog.Record) error {
			first := entry{r.Position, string(r.Data)}
			require.Equal(m.t, middle, first)
			return stop
		})
		if !errors.Is(err, stop) {
			return state{}, m.alive(err)
		}
	}
	return got, true
}

// positions compares what the stream says of its records with the records.
func (m *machine) positions(s *oplog.Stream, got state) bool {
	var want []oplog.EpochStart
	for _, e := range got.entries {
		if n := len(want); n == 0 || want[n-1].Epoch != e.pos.Epoch {
			want = append(want, oplog.EpochStart{Epoch: e.pos.Epoch, First: e.pos.Seq})
		}
		if m.rng.IntN(4) == 0 {
			at, err := s.At(m.t.Context(), e.pos.Seq)
			if err != nil {
				return m.alive(err)
			}
			require.Equal(m.t, e.pos, at)
		}
	}
	epochs, err := s.Epochs(m.t.Context())
	if err != nil {
		return m.alive(err)
	}
	require.Equal(m.t, want, epochs, "after %q", m.events)
	_, err = s.At(m.t.Context(), got.last.Seq+1)
	require.ErrorIs(m.t, err, oplog.ErrMissing)
	return true
}

// agrees says whether what was read is the state, of which the log may have
// removed released records.
func (m *machine) agrees(id string, got, want state) bool {
	if got.exists != want.exists {
		return false
	}
	if !want.exists {
		return true
	}
	missing := len(want.entries) - len(got.entries)
	if missing < 0 || !slices.Equal(want.entries[missing:], got.entries) {
		return false
	}
	if missing > 0 && want.entries[missing-1].pos.Seq > m.model.released[id] {
		return false
	}
	return got.last == want.last
}

// crash ends the process by kill or power cut and opens what is left.
func (m *machine) crash() {
	// What is acknowledged after this moment may be in the clone or not.
	m.model.settle()
	if m.rng.IntN(2) == 0 {
		m.note("kill")
		m.mem = m.mem.KillClone()
	} else {
		m.note("power cut")
		m.mem = m.mem.CrashClone(m.rng)
	}
	old := m.log
	m.fault.SetInject(func(fsx.Op) error { return fsx.ErrStopped })
	if old != nil {
		_ = old.Close() // ends its goroutine; it writes into the void
	}
	m.fault = fsx.NewFault(m.mem, nil)
	require.True(m.t, m.open() && m.compare(true))
	m.arm()
}

// arm lets the world end at a random operation from now on.
func (m *machine) arm() {
	m.fault.SetInject(fsx.StopAt(m.fault.Changes() + 1 + int64(m.rng.IntN(60))))
}

// runs is how many random stories are told; more by environment.
func runs(t *testing.T) uint64 {
	t.Helper()
	if n, err := strconv.ParseUint(os.Getenv("SEXTANT_TEST_RUNS"), 10, 64); err == nil {
		return n
	}
	return 150
}

// TestAgainstModel does random operations with crashes at random moments: what was
// acknowledged is there afterwards, and of the rest of each stream a prefix.
func TestAgainstModel(t *testing.T) {
	for seed := range runs(t) {
		m := &machine{t: t, rng: rand.New(rand.NewPCG(seed, 4)), mem: fsx.NewMem(), model: newModel()}
		m.note("seed %d", seed)
		m.fault = fsx.NewFault(m.mem, nil)
		require.True(t, m.open())
		m.arm()
		for range 60 {
			steps := []func() bool{
				m.append, m.append, m.append, m.append, m.wait, m.truncate, m.reset, m.release, m.release, m.reopen, m.read, m.drop,
			}
			if m.rng.IntN(30) == 0 || !steps[m.rng.IntN(len(steps))]() {
				m.crash()
			}
		}
		m.fault.SetInject(nil)
		if !m.wait() || !m.compare(false) || !m.alive(m.log.Close()) {
			m.crash()
			m.fault.SetInject(nil)
			require.True(t, m.wait() && m.compare(false))
			require.NoError(t, m.log.Close())
		}
	}
}
