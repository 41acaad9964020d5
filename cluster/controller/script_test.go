package controller_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/topology"
)

// TestScripts runs the plays in testdata: time passes, nodes come and go, and what the
// controller does is printed with the time. Node 1 is its own.
//
//	new [grace=] [no=balance,leaders,copies] [fill=]     a cluster without nodes
//	nodes n... [zone=z]          create name=c [copies=n]   (lines: the peers of a shard)
//	lead [former=n ago=d]        run d
//	down n...   up n...   restart n...   deaf n...   hear n...
//	refused n... by=n            drain n      undrain n     remove n
//	factor name=c n=n            fail n...    pin shard=c/0 for=d avoid=n
//	slow n...    full n...    unreached n... by=n    well n...    (what nodes say of themselves)
//	usermove shard=c/0 from=n to=n            paused d      show    status
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		t.Helper()
		p := &play{t: t}
		datadriven.RunTest(t, file, p.command)
	})
}

type play struct {
	t   *testing.T
	w   *world
	out strings.Builder
}

func (p *play) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	p.out.Reset()
	switch d.Cmd {
	case "new":
		p.start(d)
	case "nodes":
		for _, id := range p.peers(d) {
			p.w.addNode(id, text(d, "zone"))
		}
	case "create":
		p.create(d)
	case "lead":
		former, ago := number(d, "former"), length(p.t, text(d, "ago"))
		p.w.decide(true)
		p.w.c.Observe(p.w.now, controller.BecameLeader{Former: topology.PeerID(former), Heard: p.w.now - ago})
	case "run":
		p.w.run(length(p.t, d.CmdArgs[0].Key))
	case "paused":
		p.w.now += length(p.t, d.CmdArgs[0].Key)
		p.w.decide(true)
	case "show":
		return p.w.String()
	case "status":
		s := p.w.c.Status()
		fmt.Fprintf(&p.out, "short %d, leaderless %d\n", s.Short, s.Leaderless)
		for _, b := range s.Blocked {
			fmt.Fprintf(&p.out, "%s/%d: %s\n", b.Shard.Collection, b.Shard.Shard, b.Reason)
		}
	default:
		p.change(d)
	}
	return p.out.String()
}

func (p *play) start(d *datadriven.TestData) {
	var opt controller.Options
	no := text(d, "no")
	opt.NoRebalance = strings.Contains(no, "balance")
	opt.NoLeaderBalance = strings.Contains(no, "leaders")
	opt.NoRereplication = strings.Contains(no, "copies")
	opt.ReplicaGrace = length(p.t, text(d, "grace"))
	p.w = newWorld(opt)
	if fill := length(p.t, text(d, "fill")); fill > 0 {
		p.w.fill = fill
	}
	p.w.log = func(a controller.Action) { fmt.Fprintf(&p.out, "%v %v\n", p.w.now, a) }
	p.w.fault = func(format string, args ...any) { p.t.Errorf(format, args...) }
}

func (p *play) create(d *datadriven.TestData) {
	var lists [][]topology.PeerID
	for line := range strings.Lines(d.Input) {
		var list []topology.PeerID
		for f := range strings.FieldsSeq(line) {
			n, err := strconv.Atoi(f)
			require.NoError(p.t, err)
			list = append(list, topology.PeerID(n))
		}
		lists = append(lists, list)
	}
	p.w.create(text(d, "name"), max(1, number(d, "copies")), lists)
}

// change changes nodes and shards; the controller hears of it when time passes.
func (p *play) change(d *datadriven.TestData) {
	w := p.w
	switch d.Cmd {
	case "factor":
		for _, col := range w.cols {
			if col.name == text(d, "name") {
				col.copies = number(d, "n")
			}
		}
	case "pin":
		col, id := p.shard(d)
		col.rules[id] = controller.Rule{
			PinnedUntil: (w.now + length(p.t, text(d, "for"))).Milliseconds(), Avoid: topology.PeerID(number(d, "avoid")),
		}
	case "usermove":
		col, id := p.shard(d)
		from, to := topology.PeerID(number(d, "from")), topology.PeerID(number(d, "to"))
		w.replicate(controller.Replicate{Shard: topology.ShardName{Collection: col.name, Shard: id}, From: from, To: to, Move: true})
		col.transfers[len(col.transfers)-1].ByUser = true
	default:
		for _, id := range p.peers(d) {
			p.changeNode(d, id)
		}
	}
	w.version++
}

func (p *play) changeNode(d *datadriven.TestData, id topology.PeerID) {
	w, n := p.w, p.w.node(id)
	switch d.Cmd {
	case "down":
		n.up = false
	case "up", "restart":
		n.up, n.Fenced = true, false
		n.Incarnation++
		for _, col := range w.cols {
			for _, sh := range append([]*topology.Shard(nil), col.shards...) {
				w.edit(col, sh.ID, func(sh *topology.Shard) {
					if sh.Leader == id {
						sh.Leader, sh.Epoch = 0, sh.Epoch+1
					}
				})
			}
		}
	case "slow":
		n.digest.Slow = true
	case "full":
		n.digest.Full = true
	case "unreached":
		by := &w.node(topology.PeerID(number(d, "by"))).digest
		by.Unreached = append(by.Unreached, id)
	case "well":
		n.digest = controller.Digest{}
	case "deaf":
		n.deaf = true
	case "hear":
		n.deaf = false
	case "refused":
		w.c.Observe(w.now, controller.Refused{
			By: topology.PeerID(number(d, "by")), Process: controller.Process{Peer: id, Incarnation: n.Incarnation},
		})
		w.decide(true)
	case "drain", "undrain":
		n.Draining = d.Cmd == "drain"
	case "remove":
		for i := range w.nodes {
			if w.nodes[i] == n {
				w.nodes = append(w.nodes[:i], w.nodes[i+1:]...)
				break
			}
		}
	case "fail":
		w.failing[id] = true
	default:
		p.t.Fatalf("unknown command %s", d.Cmd)
	}
}

func (p *play) shard(d *datadriven.TestData) (*toyCollection, uint32) {
	name, number, _ := strings.Cut(text(d, "shard"), "/")
	id, err := strconv.Atoi(number)
	require.NoError(p.t, err)
	col, sh := p.w.find(topology.ShardName{Collection: name, Shard: uint32(id)})
	require.NotNil(p.t, sh)
	return col, sh.ID
}

func (p *play) peers(d *datadriven.TestData) []topology.PeerID {
	var list []topology.PeerID
	for _, a := range d.CmdArgs {
		if n, err := strconv.Atoi(a.Key); err == nil {
			list = append(list, topology.PeerID(n))
		}
	}
	return list
}

func text(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, ",")
		}
	}
	return ""
}

func number(d *datadriven.TestData, key string) int {
	n, _ := strconv.Atoi(text(d, key)) // absent is 0
	return n
}

func length(t *testing.T, s string) time.Duration {
	t.Helper()
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	require.NoError(t, err)
	return d
}
