package failover

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
)

// screen is a writer that can be read while it is written to.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// Time in these tests is that of synctest: a minute of patience passes at once.

func TestTheScriptLosesANodeAndTakesItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		o := f.options()
		var out screen
		o.Out, o.Pace = &out, 3*time.Second
		require.NoError(t, New(o).Play(t.Context()), out.String())
		require.Equal(t, []string{"killed 1", "up 1"}, f.done, "the one that leads most")
		said := out.String()
		for _, want := range []string{
			"kill -9 node 1, which leads shards 0, 2, 3 and 5", "new leaders: every shard takes writes again",
			"node 1 killed, leads 0, in sync 0/4, lag ?", "start node 1 again", "node 1 is back", " 0 failed; ",
			"node 3 up, leads 2, in sync 4/4, lag 0", "The proof",
		} {
			require.Contains(t, said, want)
		}
		require.NotContains(t, said, "\x1b", "nothing for terminals")
		require.NotContains(t, said, "%!", "a wrong format")
		require.Greater(t, len(f.points), 1000, "the load went on")
	})
}

func TestAnAcknowledgedWriteThatIsGoneIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.loses = noteBase + 5
		o := f.options()
		var out screen
		o.Out, o.Pace = &out, time.Second
		require.ErrorContains(t, New(o).Play(t.Context()), "node 1 lacks 1 acknowledged writes")
	})
}

func TestTheScriptGivesUpOnAClusterThatStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.deaf = true
		o := f.options()
		o.Out = &screen{}
		err := New(o).Play(t.Context())
		require.ErrorContains(t, err, "wait until all copies are in sync on nodes that all vote: not within 1m0s")

		f = newFake()
		f.refuse = true
		o = f.options()
		o.Out = &screen{}
		err = New(o).Play(t.Context())
		require.ErrorContains(t, err, "wait until shards 0, 2, 3 and 5 have new leaders and take writes: not within 1m0s")
	})
}

func TestTheScriptEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		o := f.options()
		o.Out, o.Pace = &screen{}, time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, New(o).Play(ctx), context.DeadlineExceeded)
		require.Empty(t, f.done)
	})
}

func TestStepsAreTakenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		o := f.options()
		var out screen
		o.Out = &out
		steps, err := ParseSteps([]string{"kill:2", "2s", "pause", "1s", "status", "heal", "1s", "heal:1"}, 3)
		require.NoError(t, err)
		require.NoError(t, New(o).Do(t.Context(), steps))
		require.Equal(t, []string{"killed 2", "paused 1", "up 1", "up 2"}, f.done)
		require.Contains(t, out.String(), "node 1 paused, leads 0, in sync 0/4, lag 28 | node 2 killed")

		steps, err = ParseSteps([]string{"kill:2", "pause:2"}, 3)
		require.NoError(t, err)
		require.ErrorContains(t, New(o).Do(t.Context(), steps), "node 2 is killed")
	})
}

func TestParseSteps(t *testing.T) {
	for word, want := range map[string]string{
		"explode": "none of kill, pause", "kill:4": "the nodes are 1 to 3", "kill:0": "the nodes are 1 to 3", "heal:x": "the nodes are 1 to 3",
		"-3s": "a negative time", "status:1": "status is of all nodes", "": "none of kill, pause",
	} {
		_, err := ParseSteps([]string{"kill", word}, 3)
		require.ErrorContains(t, err, want, word)
	}
}

// typed is keys that come one after another with time in between.
type typed struct{ keys string }

func (k *typed) Read(b []byte) (int, error) {
	<-time.After(2 * time.Second)
	if k.keys == "" {
		return 0, errors.New("the terminal is gone")
	}
	b[0], k.keys = k.keys[0], k.keys[1:]
	return 1, nil
}

func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		o := f.options()
		var out screen
		o.Out, o.Live = &out, true
		require.NoError(t, New(o).Stay(t.Context(), &typed{"2k1px9s0hq"}), out.String())
		require.Equal(t, []string{"killed 2", "paused 1", "up 1", "up 2"}, f.done)
		said := out.String()
		require.Contains(t, said, "now: node 1")
		require.Contains(t, said, "1: 7, 2: ?", "what a shard's copies lack")
		require.Contains(t, said, "\x1b[", "drawn in place")
		require.NotRegexp(t, `[^\r]\n`, said, "a raw terminal needs both")
		require.Contains(t, said, "The proof")

		require.NoError(t, New(o).Stay(t.Context(), &typed{"2kk"}), "without keys it ends")
		require.Contains(t, out.String(), ">> node 2 is killed")
		require.Contains(t, out.String(), "Node 2 is killed and isn't asked.")
		<-time.After(time.Minute) // the first reader still waits for a key
	})
}

func TestLedger(t *testing.T) {
	l := newLedger(6)
	begin := time.Now()
	l.wrote(1, 1, outcome{begun: begin, took: time.Second})
	l.wrote(1, 3, outcome{begun: begin, took: 2 * time.Second, retried: true})
	l.wrote(1, 2, outcome{begun: begin}) // an older one that was answered later
	l.wrote(2, 1, outcome{begun: begin, err: errDown, took: time.Minute})
	l.read(outcome{retried: true, err: errDown})
	require.Equal(t, map[uint64]int64{noteBase + 1: 3}, l.promised(), "what failed isn't promised")
	writes, reads := l.tallies(true)
	require.Equal(t, Tally{OK: 3, Retried: 1, Failed: 1, Slowest: time.Minute, Fault: errDown}, writes)
	require.Equal(t, Tally{Failed: 1, Fault: errDown}, reads)
	writes, _ = l.tallies(false)
	require.Zero(t, writes.Slowest)
	require.Equal(t, 3, writes.OK)

	var shard uint32
	for ; shard < 6; shard++ {
		_, ok := l.firstWrite(shard)
		require.False(t, ok, "nobody watched")
	}
	killed := begin.Add(time.Hour)
	l.watch(killed)
	seen := func() map[uint32]time.Duration {
		m := map[uint32]time.Duration{}
		for s := range uint32(6) {
			if d, ok := l.firstWrite(s); ok {
				m[s] = d
			}
		}
		return m
	}
	l.wrote(1, 4, outcome{begun: killed.Add(-1), took: time.Second})
	l.wrote(1, 5, outcome{begun: killed, took: time.Second, err: errDown})
	require.Empty(t, seen(), "a write from before, and one that failed")
	l.wrote(1, 6, outcome{begun: killed.Add(time.Second), took: time.Second})
	l.wrote(1, 7, outcome{begun: killed.Add(9 * time.Second), took: time.Second})
	require.Len(t, seen(), 1)
	for _, d := range seen() {
		require.Equal(t, 2*time.Second, d)
	}
}

func TestProof(t *testing.T) {
	f := newFake()
	promised := map[uint64]int64{}
	for id := range uint64(2*proofBatch + 5) {
		promised[id], f.points[id] = 2, 2
	}
	ask := func() []Verdict {
		var all []Verdict
		for i := range 3 {
			v, err := prove(t.Context(), i, &fakeDoor{f, i}, promised)
			require.NoError(t, err)
			all = append(all, v)
		}
		return all
	}
	all := ask()
	require.NoError(t, judge(all))
	require.Equal(t, Verdict{Node: 2, Found: 2005, Notes: 2005, Points: 2012}, all[2])

	f.points[7], f.points[8] = 1, 9
	delete(f.points, 2001)
	all = ask()
	require.Equal(t, Verdict{Node: 1, Found: 2003, Lost: 1, Stale: 1, Notes: 2004, Points: 2011}, all[1], "a later version is no loss")
	require.ErrorContains(t, judge(all), "node 1 lacks 2 acknowledged writes")

	require.ErrorContains(t, judge([]Verdict{{Notes: 4, Points: 9}, {Node: 1, Notes: 4, Points: 8}}),
		"node 2 counts 4 notes of 8 points, node 1 counts 4 of 9")
	require.ErrorContains(t, judge([]Verdict{{}, {Node: 1, Stale: 1}}), "node 2 lacks 1")
	require.NoError(t, f.Kill(1))
	_, err := prove(t.Context(), 1, &fakeDoor{f, 1}, promised)
	require.ErrorIs(t, err, errDown)
}

func TestARequestIsTriedOnceMoreElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		l := newLoad(f.options().Doors, newLedger(6), nil, nil)
		var asked []int
		ask := func(ctx context.Context, d Door) error {
			asked = append(asked, d.(*fakeDoor).node)
			return d.Search(ctx, &pb.QueryPoints{})
		}
		require.NoError(t, f.Kill(1))
		o := l.twice(t.Context(), 1, ask)
		require.NoError(t, o.err)
		require.True(t, o.retried)
		o = l.twice(t.Context(), 4, ask)
		require.NoError(t, o.err)
		require.False(t, o.retried, "a node that just failed is left alone")
		require.Equal(t, []int{1, 2, 2}, asked)

		<-time.After(2 * avoid)
		asked = nil
		require.NoError(t, f.Heal(t.Context(), 1))
		for range 2 {
			require.NoError(t, l.twice(t.Context(), 1, ask).err)
		}
		require.Equal(t, []int{1, 1}, asked, "and then tried again")

		for i := range 3 {
			require.NoError(t, f.Kill(i))
		}
		asked = nil
		o = l.twice(t.Context(), 0, ask)
		require.ErrorIs(t, o.err, errDown)
		require.Len(t, asked, 2, "twice, no more")
	})
}

func TestARequestIsCutOffAfterAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(newFake().options().Doors, newLedger(6), nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o := l.twice(ctx, 0, func(ctx context.Context, _ Door) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, o.err, context.DeadlineExceeded)
		require.Equal(t, 2*patience, o.took)
	})
}

func TestNotesComeRoundWithTheNextVersion(t *testing.T) {
	f := newFake()
	l := newLoad(f.options().Doors, newLedger(6), nil, func(int) *pb.Vectors { return nil })
	l.next[2] = notes/writers - 1
	l.write(t.Context(), 2)
	l.write(t.Context(), 2)
	require.Equal(t, map[uint64]int64{noteBase + notes - writers + 2: 1, noteBase + 2: 2}, f.points)
	require.Equal(t, f.points, l.ledger.promised())
}

func TestFrames(t *testing.T) {
	f := newFake()
	require.NoError(t, f.Kill(0))
	p, err := f.Look(t.Context())
	require.NoError(t, err)
	p.Nodes[1].Answers = false
	fr := &frame{
		at: 1234 * time.Millisecond, picture: p, states: []string{"killed", "up", "up"},
		rates: rates{writes: Tally{OK: 12, Failed: 1, Slowest: 31 * time.Millisecond}, writeRate: 10.4, searchRate: 7}, hint: "a hint",
	}
	const load = "10 writes/s, 7 searches/s; 12 acknowledged, failed 1 + 0, slowest 31 + 0 ms"
	require.Equal(t, "   1.2 s | node 1 killed, leads 0, in sync 0/4, lag ? | node 2 silent, leads 4, in sync 4/4, lag 0"+
		" | node 3 up, leads 2, in sync 4/4, lag 0 | "+load, fr.line())
	lines := strings.Split(text.StripEscape(fr.screen(wide)), "\n")
	require.Len(t, lines, 13)
	require.Equal(t, "│    1 │ killed │     0 │ 0 of 4         │ ?   │ yes  │  │     0 │ 2      │     1 │ 2       │ 1: ? │", lines[3])
	require.Equal(t, []string{load, "a hint", ""}, lines[10:])
	narrow := strings.Split(text.StripEscape(fr.screen(60)), "\n")
	require.Len(t, narrow, 20, "one below the other, in 24 lines")
	for _, l := range narrow {
		require.LessOrEqual(t, text.StringWidth(l), 60, "a line that is broken can't be drawn over")
	}
	fr.blind = errors.New("no\nnode  tells")
	require.Contains(t, fr.screen(wide), "no node tells")
}

func TestPulse(t *testing.T) {
	var p pulse
	now := time.Now()
	w, r := p.take(now, 5, 6)
	require.Zero(t, w+r)
	w, r = p.take(now.Add(2*time.Second), 25, 7)
	require.InDelta(t, 10, w, 1e-9)
	require.InDelta(t, .5, r, 1e-9)
}
