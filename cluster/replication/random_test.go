package replication_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/replication"
)

var (
	seedFlag  = flag.Int64("replication.seed", -1, "run this seed only, and tell what happens")
	seedsFlag = flag.Int("replication.seeds", 1500, "how many seeds to run")
)

// TestRandom lets copies live through bad luck: lost, doubled and late messages, slow and
// full disks, crashes, lost disks, wrong fences, lost proposals. The world checks what must
// hold all the time. In the end everything works again, and all copies must get in sync and
// be equal.
func TestRandom(t *testing.T) {
	if *seedFlag >= 0 {
		tell := func(format string, args ...any) { t.Logf(format, args...) }
		require.NoError(t, newLife(uint64(*seedFlag), tell).run())
		return
	}
	total := map[string]int{}
	for seed := range uint64(*seedsFlag) {
		l := newLife(seed, nil)
		err := l.run()
		require.NoError(t, err, "seed %d", seed)
		for k, v := range l.w.tally {
			total[k] += v
		}
	}
	t.Log(total)
	for _, k := range []string{"took", "again", "committed", "elections", "altered", "handed over", "reads", "filled", "lost leadership", "wiped", "crashed", "gave up data", "unlinked", "relieved"} {
		require.NotZero(t, total[k], "nothing was tested: %s", k)
	}
}

// life is one run.
type life struct {
	rnd *rand.Rand
	w   *world
	// ops are operations whose client may try again.
	ops []replication.OpID
}

func newLife(seed uint64, tell func(string, ...any)) *life {
	l := &life{rnd: rand.New(rand.NewPCG(seed, 1))}
	limits := replication.Limits{}
	if l.rnd.IntN(2) == 0 { // Small limits are reached.
		limits = replication.Limits{WindowEntries: 4, MessageEntries: 2, PendingEntries: 12, JoinEntries: 3, WindowBytes: 64, MessageBytes: 16}
	}
	n := 2 + l.rnd.IntN(3)
	l.w = newWorld(n, 1+l.rnd.IntN(2), limits)
	l.w.master.choose = l.rnd.IntN
	if tell != nil {
		l.w.trace = tell
	}
	return l
}

func (l *life) node() *node { return l.w.nodes[l.rnd.IntN(len(l.w.nodes))] }

func (l *life) run() error {
	steps := 200 + l.rnd.IntN(600)
	for range steps {
		l.something()
		if l.w.wrong != nil {
			return l.w.wrong
		}
	}
	return l.heal()
}

// something happens.
func (l *life) something() {
	w, n := l.w, l.node()
	switch k := l.rnd.IntN(1000); {
	case k < 300:
		if len(w.net) > 0 {
			w.deliver(l.rnd.IntN(len(w.net)), l.rnd.IntN(10) == 0)
		}
	case k < 400:
		if len(w.net) > 0 { // In order, mostly.
			w.deliver(0, false)
		}
	case k < 430:
		if len(w.net) > 0 {
			i := l.rnd.IntN(len(w.net))
			w.net = slices.Delete(w.net, i, i+1)
		}
	case k < 550:
		if n.proc != nil {
			w.store(n, 1+l.rnd.IntN(3), true)
		}
	case k < 620:
		if n.proc != nil {
			w.apply(n, 1+l.rnd.IntN(4))
		}
	case k < 720:
		l.write(n)
	case k < 740:
		w.read(n)
	case k < 840:
		if n.proc != nil && n.proc.known < len(w.master.history)-1 {
			from := max(n.proc.known+1, n.proc.least)
			if from < len(w.master.history) {
				w.learn(n, from+l.rnd.IntN(len(w.master.history)-from))
			}
		}
	case k < 890:
		l.pass()
	case k < 920:
		if len(w.alters) > 0 {
			i := l.rnd.IntN(len(w.alters))
			a := w.alters[i]
			if l.rnd.IntN(4) > 0 {
				w.master.alter(a)
			}
			if l.rnd.IntN(4) > 0 {
				w.alters = slices.Delete(w.alters, i, i+1)
			}
		}
	case k < 950:
		if n.proc != nil {
			keep := n.proc.r.Retain()
			if l.rnd.IntN(3) == 0 {
				keep = n.proc.applied + 1 // Too little room.
			}
			w.checkpoint(n, keep)
		}
	case k < 960:
		if n.proc != nil {
			w.fill(n)
		}
	default:
		l.trouble(n, k-960)
	}
	if l.rnd.IntN(60) == 0 {
		l.links(l.node(), l.node())
	}
	if l.rnd.IntN(200) == 0 {
		w.master.relieve(l.node().id)
	}
	if len(w.net) > 200 {
		w.net = slices.Delete(w.net, 0, 100)
	}
	if len(w.alters) > 20 {
		w.alters = w.alters[10:]
	}
}

// trouble is what happens rarely.
func (l *life) trouble(n *node, k int) {
	w := l.w
	switch {
	case k < 8:
		if n.proc == nil {
			l.restart(n)
		}
	case k < 12:
		if n.proc != nil {
			w.trace("%d: crash", n.id)
			w.crash(n, l.rnd.IntN(4))
			w.tally["crashed"]++
		}
	case k < 20:
		if len(w.master.fenced) < len(w.nodes)-1 || l.rnd.IntN(4) == 0 {
			w.master.fence(n.id)
		}
	case k < 28:
		if n.proc != nil && (w.master.isFenced(n.id) || w.master.incs[n.id] != n.proc.inc) {
			w.master.register(n)
		}
	case k < 33:
		if n.proc != nil {
			w.step(n, replication.Transfer{To: peerID(l.rnd.IntN(len(w.nodes) + 1))})
		}
	case k < 37:
		if n.proc != nil {
			n.proc.full = !n.proc.full
			w.step(n, replication.LogFull{Full: n.proc.full})
		}
	case k < 38:
		if n.proc != nil && n.proc.source != nil {
			n.proc.source = nil
			w.step(n, replication.FilesFailed{})
		}
	default:
		others := slices.ContainsFunc(w.master.rec.InSync, func(o peerID) bool { return o != n.id && w.node(o).disk.alloc != 0 })
		if others {
			w.trace("%d: disk lost", n.id)
			w.wipe(n)
			w.tally["wiped"]++
		}
	}
}

// links tells a node that it reaches another one, or doesn't, whether that is so or not.
func (l *life) links(n, other *node) {
	if n.proc == nil || n == other {
		return
	}
	if l.rnd.IntN(2) == 0 {
		l.w.step(n, replication.LinkUp{Peer: other.id, Incarnation: other.inc})
		return
	}
	l.w.tally["unlinked"]++
	l.w.step(n, replication.LinkDown{
		Peer: other.id, Incarnation: other.inc, Since: l.w.now - time.Duration(l.rnd.IntN(5))*time.Second, Refused: l.rnd.IntN(3) == 0,
	})
}

func (l *life) restart(n *node) {
	w := l.w
	if n.disk.alloc == 0 { // The topology hears of it when the node registers.
		w.master.replace(n)
	}
	w.trace("%d: start", n.id)
	w.start(n)
	if l.rnd.IntN(2) == 0 {
		w.master.register(n)
	}
}

// write proposes a new operation, or one again.
func (l *life) write(n *node) {
	if len(l.ops) > 0 && l.rnd.IntN(4) == 0 {
		op := l.ops[l.rnd.IntN(len(l.ops))]
		l.w.propose(n, op, strconv.FormatUint(op.Counter, 10))
		return
	}
	l.w.counter++
	op := replication.OpID{Peer: 9, Incarnation: 1, Counter: l.w.counter}
	l.ops = append(l.ops, op)
	if len(l.ops) > 30 {
		l.ops = l.ops[1:]
	}
	l.w.propose(n, op, strconv.FormatUint(op.Counter, 10))
}

// pass lets time pass, mostly up to where somebody waits for it.
func (l *life) pass() {
	w := l.w
	w.now += time.Duration(l.rnd.IntN(200)) * time.Millisecond
	if l.rnd.IntN(10) == 0 {
		w.now += time.Duration(l.rnd.IntN(12)) * time.Second
	}
	l.tick()
}

func (l *life) tick() {
	for _, n := range l.w.nodes {
		if n.proc == nil {
			continue
		}
		if at, ok := n.proc.r.NextTick(); ok && at <= l.w.now {
			l.w.step(n, replication.Tick{})
			if at, ok := n.proc.r.NextTick(); ok && at <= l.w.now {
				l.w.violate("node %d asks for a tick at %s again at %s", n.id, at, l.w.now)
			}
		}
	}
}

// heal repairs everything, and checks that all copies get well.
func (l *life) heal() error {
	w := l.w
	w.trace("heal")
	for _, n := range w.nodes {
		if n.proc == nil {
			l.restart(n)
		}
		if w.master.isFenced(n.id) || w.master.incs[n.id] != n.proc.inc {
			w.master.register(n)
		}
		if n.proc.full {
			n.proc.full = false
			w.step(n, replication.LogFull{})
		}
		for _, other := range w.nodes {
			w.step(n, replication.LinkUp{Peer: other.id})
		}
	}
	w.net = nil
	if len(w.master.rec.InSync) == 0 { // Every copy in sync lost its disk.
		w.master.giveUp(l.node())
		w.tally["gave up data"]++
	}
	rounds := 0
	for end := w.now + 20*time.Minute; w.now < end; {
		if rounds++; rounds > 20000 {
			return errors.New("it never gets quiet")
		}
		if !l.quiet() {
			continue
		}
		if w.wrong != nil {
			return w.wrong
		}
		if !l.advance(end) {
			break
		}
	}
	return l.allWell()
}

// quiet does what can be done without time passing; it tells whether that was nothing.
func (l *life) quiet() bool {
	w := l.w
	quiet := true
	for _, n := range w.nodes {
		if n.proc.known < len(w.master.history)-1 {
			w.learnNewest(n)
			quiet = false
		}
		if len(n.proc.pending) > 0 {
			w.store(n, 100, true)
			quiet = false
		}
		if n.proc.applied < n.proc.commit && !n.proc.broken {
			w.apply(n, 100)
			quiet = false
		}
		if n.proc.source != nil {
			w.fill(n)
		}
	}
	if len(w.net) > 0 {
		w.deliver(0, false)
		quiet = false
	}
	for _, a := range w.alters {
		w.master.alter(a)
		quiet = false
	}
	w.alters = nil
	return quiet || w.wrong != nil
}

// advance lets time pass to the next tick; it tells whether anybody wants one.
func (l *life) advance(end time.Duration) bool {
	w := l.w
	next := end
	for _, n := range w.nodes {
		if at, ok := n.proc.r.NextTick(); ok {
			next = min(next, at)
		}
	}
	if next == end {
		return false
	}
	w.now = max(next, w.now)
	l.tick()
	return true
}

func (l *life) allWell() error {
	w := l.w
	if w.wrong != nil {
		return w.wrong
	}
	leader := w.master.rec.Leader
	if leader == 0 || len(w.master.rec.InSync) != len(w.nodes) {
		return fmt.Errorf("after healing: leader %d, in sync %v", leader, w.master.rec.InSync)
	}
	want := w.node(leader).proc
	for _, n := range w.nodes {
		p := n.proc
		switch {
		case p.broken:
			return fmt.Errorf("node %d is broken: %w", n.id, p.r.Damaged())
		case !p.r.IsIdle():
			return fmt.Errorf("node %d isn't idle", n.id)
		case !p.r.Readable():
			return fmt.Errorf("node %d can't be read", n.id)
		case p.applied != uint64(len(w.truth().committed)):
			return fmt.Errorf("node %d applied %d of %d", n.id, p.applied, len(w.truth().committed))
		case !slices.Equal(p.state, want.state):
			return fmt.Errorf("node %d has another state", n.id)
		case !slices.Equal(p.recent.AppendTo(nil), want.recent.AppendTo(nil)):
			return fmt.Errorf("node %d remembers other operations", n.id)
		}
	}
	return nil
}
