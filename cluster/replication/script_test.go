package replication_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/replication"
)

// TestScripts runs the plays in testdata/plays. A node's name is its number; a command
// without nodes is for all. What is printed are the effects.
//
//	new nodes=n min=m window=n    records nodes...    (tells them the newest record)
//	stored n   apply n   settle    deliver [from to]   drop [from to]   net
//	propose n [op=c] [bytes=b]     read n    transfer n to
//	pass ms    alters [lose]       state
//	crash n    start n    register n    fence n    wipe n    giveup n
//	full n     free n     checkpoint n keep    fill n
//	unlink n peer [refused]    link n peer    (n can't reach the peer, or can again)
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/plays", func(t *testing.T, file string) {
		t.Helper()
		var p play
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			out := p.command(t, d)
			if p.w.wrong != nil {
				out += "VIOLATION: " + p.w.wrong.Error() + "\n"
			}
			if out == "" {
				return "ok\n"
			}
			return out
		})
	})
}

type play struct {
	w   *world
	out strings.Builder
}

func (p *play) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	p.out.Reset()
	if d.Cmd == "new" {
		p.begin(t, d)
		return p.out.String()
	}
	nums, flags := words(d)
	if !p.event(d, nums) && !p.around(d.Cmd, nums, flags) && !p.trouble(d.Cmd, nums) {
		t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
	}
	return p.out.String()
}

// words returns the numbers of a command and its words.
func words(d *datadriven.TestData) (nums []int, flags []string) {
	for _, a := range d.CmdArgs {
		var n int
		if _, err := fmt.Sscan(a.Key, &n); err == nil && len(a.Vals) == 0 {
			nums = append(nums, n)
		} else {
			flags = append(flags, a.Key)
		}
	}
	return nums, flags
}

func (p *play) begin(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	nodes, minInSync, window := 2, 1, 0
	for key, v := range map[string]*int{"nodes": &nodes, "min": &minInSync, "window": &window} {
		if d.HasArg(key) {
			d.ScanArgs(t, key, v)
		}
	}
	w := newWorld(nodes, minInSync, replication.Limits{WindowEntries: uint64(window)})
	w.trace = func(f string, args ...any) { fmt.Fprintf(&p.out, f+"\n", args...) }
	p.w = w
}

// event gives a node an event.
func (p *play) event(d *datadriven.TestData, nums []int) bool {
	w := p.w
	switch d.Cmd {
	case "propose":
		op, body := replication.OpID{}, "x"
		for _, a := range d.CmdArgs {
			var v int
			if len(a.Vals) == 0 {
				continue
			}
			if _, err := fmt.Sscan(a.Vals[0], &v); err != nil {
				return false
			}
			if a.Key == "op" {
				op = replication.OpID{Peer: 9, Incarnation: 1, Counter: uint64(v)}
			} else {
				body = strings.Repeat("x", v)
			}
		}
		w.propose(w.node(peerID(nums[0])), op, body)
	case "read":
		w.read(w.node(peerID(nums[0])))
	case "transfer":
		w.step(w.node(peerID(nums[0])), replication.Transfer{To: peerID(nums[1])})
	case "stored":
		w.store(w.node(peerID(nums[0])), 1000, true)
	case "apply":
		w.apply(w.node(peerID(nums[0])), 1000)
	case "unlink":
		peer := peerID(nums[1])
		w.step(w.node(peerID(nums[0])), replication.LinkDown{
			Peer: peer, Incarnation: w.node(peer).inc, Since: w.now, Refused: d.HasArg("refused"),
		})
	case "link":
		peer := peerID(nums[1])
		w.step(w.node(peerID(nums[0])), replication.LinkUp{Peer: peer, Incarnation: w.node(peer).inc})
	case "full", "free":
		w.step(w.node(peerID(nums[0])), replication.LogFull{Full: d.Cmd == "full"})
	case "checkpoint":
		w.checkpoint(w.node(peerID(nums[0])), uint64(nums[1]))
	case "fill":
		w.fill(w.node(peerID(nums[0])))
	default:
		return false
	}
	return true
}

// trouble is what happens to nodes, and what the topology says to it.
func (p *play) trouble(cmd string, nums []int) bool {
	w := p.w
	if len(nums) == 0 {
		return false
	}
	n := w.node(peerID(nums[0]))
	switch cmd {
	case "crash":
		w.crash(n, 0)
	case "wipe":
		w.wipe(n)
	case "start":
		if n.disk.alloc == 0 {
			w.master.replace(n)
		}
		w.start(n)
	case "register":
		w.master.register(n)
	case "fence":
		w.master.fence(n.id)
	case "giveup":
		w.master.giveUp(n)
	default:
		return false
	}
	return true
}

// around is what happens around the nodes.
func (p *play) around(cmd string, nums []int, flags []string) bool {
	w := p.w
	switch cmd {
	case "records":
		for _, n := range w.nodes {
			if n.proc != nil && (len(nums) == 0 || slices.Contains(nums, int(n.id))) {
				w.learnNewest(n)
			}
		}
	case "deliver", "drop":
		p.deliver(cmd == "deliver", nums)
	case "net":
		for i := range w.net {
			fmt.Fprintf(&p.out, "%d: %s\n", w.net[i].From, messageText(&w.net[i]))
		}
	case "pass":
		w.now += time.Duration(nums[0]) * time.Millisecond
		for _, n := range w.nodes {
			if n.proc == nil {
				continue
			}
			if at, ok := n.proc.r.NextTick(); ok && at <= w.now {
				w.step(n, replication.Tick{})
			}
		}
	case "alters":
		if len(flags) == 0 {
			for _, a := range w.alters {
				fmt.Fprintf(&p.out, "taken: %v\n", w.master.alter(a))
			}
		}
		w.alters = nil
	case "settle":
		p.settle()
	case "state":
		p.state()
	default:
		return false
	}
	return true
}

// deliver hands over the messages that are under way at the moment, not their answers.
func (p *play) deliver(hand bool, nums []int) {
	w := p.w
	net := w.net
	w.net = nil
	var stay []replication.Envelope
	for _, m := range net {
		switch {
		case len(nums) == 2 && (m.From != peerID(nums[0]) || m.To != peerID(nums[1])):
			stay = append(stay, m)
		case hand:
			w.step(w.node(m.To), replication.Received{Envelope: m})
		}
	}
	w.net = append(stay, w.net...)
}

// settle lets everything happen that needs no time, without saying what.
func (p *play) settle() {
	w := p.w
	for range 100 {
		for _, n := range w.nodes {
			if n.proc != nil {
				w.store(n, 1000, true)
				w.apply(n, 1000)
			}
		}
		p.deliver(true, nil)
	}
	p.out.Reset()
	p.state()
}

func (p *play) state() {
	for _, n := range p.w.nodes {
		if n.proc == nil {
			fmt.Fprintf(&p.out, "%d: down\n", n.id)
			continue
		}
		r := n.proc.r
		role := [...]string{"no role", "follower", "leader"}[r.Role()]
		fmt.Fprintf(&p.out, "%d: %s epoch %d log %s commit %d applied %d visible %d", n.id, role, r.Epoch(),
			positionText(n.proc.log.last()), r.Commit(), n.proc.applied, r.Visible())
		if r.Readable() {
			p.out.WriteString(" readable")
		}
		if at, ok := r.NextTick(); ok {
			fmt.Fprintf(&p.out, " tick in %s", at-p.w.now)
		}
		p.out.WriteString("\n")
	}
}

// TestNothingBeforeRegistration: a process that hasn't heard of the topology says nothing
// whatever it is told (R1).
func TestNothingBeforeRegistration(t *testing.T) {
	r := replication.New(replication.Options{Self: 1, Incarnation: 2, Alloc: 1})
	var fx replication.Effects
	for _, ev := range []replication.Event{
		replication.Tick{},
		replication.Applied{},
		replication.LogFull{Full: true},
		replication.Transfer{},
		replication.Received{Envelope: replication.Envelope{From: 2, To: 1, Epoch: 3, Message: replication.Confirm{Round: 1}}},
	} {
		r.Step(time.Hour, ev, &fx)
	}
	require.Empty(t, fx.Messages)
	require.Empty(t, fx.Disk)
	require.True(t, r.IsIdle())
	require.False(t, r.Readable())
	r.Step(time.Hour, replication.Propose{Token: 7}, &fx)
	require.Equal(t, []replication.Rejected{{Token: 7, Reason: replication.NotLeader}}, fx.Rejected)
}
