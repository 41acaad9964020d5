package replication_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

type peerID = topology.PeerID

// world is some copies of one shard with what is around them: disks that lose what isn't
// synced, a network that holds messages until somebody delivers them, and a topology. It
// checks what must be true all the time; the first violation is kept in wrong.
type world struct {
	now     time.Duration
	limits  replication.Limits
	nodes   []*node
	net     []replication.Envelope
	alters  []replication.Alter
	master  master
	wrong   error
	trace   func(format string, args ...any)
	counter uint64 // of operations
	// truths are what is committed, by the history of the log.
	truths  map[uint64]*truth
	visible uint64
	// readAt is what was committed when a read began.
	readAt map[uint64]int
	token  uint64
	// asked are the operations of writes, by their tokens.
	asked map[uint64]replication.OpID
	// tally counts what happened, so that a test can see that it tests something.
	tally map[string]int
}

// truth are all entries of a history that anybody committed, and where their operations
// are.
type truth struct {
	committed []replication.Entry
	ops       map[replication.OpID]uint64
}

// node is a machine: a disk, and perhaps a process.
type node struct {
	id   peerID
	disk disk
	proc *proc
	inc  uint64
}

// disk is what outlasts a process.
type disk struct {
	alloc   topology.AllocID
	log     memLog
	epoch   uint64
	history uint64
	files   files
}

// files are a checkpoint: everything up to an entry is applied in them.
type files struct {
	at     replication.Position
	state  []string
	recent []byte
}

// memLog is a log: base is the entry before the first.
type memLog struct {
	base    replication.Position
	entries []replication.Entry
}

func (l *memLog) last() replication.Position {
	if n := len(l.entries); n > 0 {
		return l.entries[n-1].Position
	}
	return l.base
}

func (l *memLog) clone() memLog { return memLog{l.base, slices.Clone(l.entries)} }

// at returns the position of an entry; ok is false when it can't be read.
func (l *memLog) at(seq uint64) (replication.Position, bool) {
	switch {
	case seq == l.base.Seq:
		return l.base, true
	case seq < l.base.Seq || seq > l.last().Seq:
		return replication.Position{}, false
	}
	return l.entries[seq-l.base.Seq-1].Position, true
}

func (l *memLog) read(first, last uint64) []replication.Entry {
	if first > last || first <= l.base.Seq || last > l.last().Seq {
		return nil
	}
	return slices.Clone(l.entries[first-l.base.Seq-1 : last-l.base.Seq])
}

func (l *memLog) carryOut(d *replication.DiskEffect) error {
	for _, e := range d.Append {
		if e.Seq != l.last().Seq+1 {
			return fmt.Errorf("entry %d is appended behind %d", e.Seq, l.last().Seq)
		}
		chain := follow(l.last(), &e)
		if e.Chain != 0 && e.Chain != chain {
			return fmt.Errorf("chain of entry %d differs from the leader's", e.Seq)
		}
		e.Chain = chain
		l.entries = append(l.entries, e)
	}
	if d.Truncate {
		if d.TruncateAfter < l.base.Seq {
			return fmt.Errorf("cut after %d, the log begins behind %d", d.TruncateAfter, l.base.Seq)
		}
		l.entries = l.entries[:d.TruncateAfter-l.base.Seq]
	}
	return nil
}

func follow(prev replication.Position, e *replication.Entry) uint64 {
	h := fnv.New64a()
	var b []byte
	for _, v := range []uint64{prev.Chain, e.Epoch, e.Seq, uint64(e.Kind), uint64(e.Op.Peer), e.Op.Incarnation, e.Op.Counter} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	h.Write(b)
	h.Write(e.Body)
	return h.Sum64() | 1
}

// proc is a process: what carries out effects, and its memory.
type proc struct {
	r   *replication.Replica
	inc uint64
	// known is the newest record that it has seen, least what it may see (R1).
	known, least int
	log          memLog
	pending      []replication.DiskEffect
	commit       uint64
	applied      uint64
	state        []string
	recent       *replication.OpTable
	source       *replication.FileSource
	full         bool
	broken       bool
	// claims are writes that were taken and aren't answered.
	claims []replication.Took
	fx     replication.Effects
}

func newWorld(n, minInSync int, limits replication.Limits) *world {
	w := &world{
		limits: limits, truths: map[uint64]*truth{1: {ops: map[replication.OpID]uint64{}}}, readAt: map[uint64]int{}, asked: map[uint64]replication.OpID{},
		tally: map[string]int{}, trace: func(string, ...any) {},
	}
	w.master = master{w: w, minInSync: minInSync, nextAlloc: 1, incs: map[peerID]uint64{}}
	rec := topology.Shard{History: 1, Epoch: 1, Version: 1}
	for i := range n {
		id := peerID(i + 1)
		w.master.nextAlloc++
		alloc := topology.AllocID(i + 1)
		w.nodes = append(w.nodes, &node{id: id, disk: disk{alloc: alloc}})
		rec.Replicas = append(rec.Replicas, topology.Replica{Peer: id, Alloc: alloc, Created: true})
		rec.InSync = append(rec.InSync, id)
		w.master.incs[id] = 1
	}
	rec.Leader = 1
	w.master.rec = rec
	w.master.publish()
	for _, n := range w.nodes {
		w.start(n)
		n.proc.least = 0
	}
	return w
}

// truth returns what is committed by the record's history.
func (w *world) truth() *truth { return w.truths[w.master.rec.History] }

func (w *world) node(id peerID) *node { return w.nodes[id-1] }

func (w *world) violate(format string, args ...any) {
	if w.wrong == nil {
		w.wrong = fmt.Errorf(format, args...)
	}
}

// start starts a process; it has to register before it hears of the topology.
func (w *world) start(n *node) {
	n.inc++
	d := &n.disk
	p := &proc{inc: n.inc, known: -1, least: 1 << 30, log: d.log.clone(), applied: d.files.at.Seq, commit: d.files.at.Seq, state: slices.Clone(d.files.state)}
	p.recent = &replication.OpTable{}
	if d.files.recent != nil {
		t, err := replication.DecodeOpTable(d.files.recent)
		if err != nil {
			w.violate("table of operations: %v", err)
			return
		}
		p.recent = t
	}
	st := replication.LogState{First: d.log.base.Seq + 1, Base: d.log.base, Last: d.log.last(), Applied: d.files.at.Seq, Epoch: d.epoch, History: d.history}
	for _, e := range d.log.entries {
		if k := len(st.Epochs); k == 0 || st.Epochs[k-1].Epoch != e.Epoch {
			st.Epochs = append(st.Epochs, replication.EpochStart{Epoch: e.Epoch, First: e.Seq})
		}
		if e.Seq > st.Applied && e.Op != (replication.OpID{}) {
			st.Ops = append(st.Ops, replication.LoggedOp{Seq: e.Seq, Op: e.Op})
		}
	}
	p.r = replication.New(replication.Options{
		Self: n.id, Incarnation: n.inc, Alloc: d.alloc, Log: st, Recent: p.recent.Clone(), Limits: w.limits,
	})
	n.proc = p
}

// crash ends a process. What it asked of the disk may have been done in part.
func (w *world) crash(n *node, done int) {
	w.store(n, done, false)
	n.proc = nil
}

// wipe loses a disk, and the process with it.
func (w *world) wipe(n *node) {
	n.proc = nil
	n.disk = disk{}
}

// step gives a process an event and carries out the effects.
func (w *world) step(n *node, ev replication.Event) {
	p := n.proc
	if p == nil || p.broken {
		return
	}
	p.fx.Reset()
	p.r.Step(w.now, ev, &p.fx)
	w.carryOut(n)
	w.checkCopy(n)
}

func (w *world) carryOut(n *node) {
	p, fx := n.proc, &n.proc.fx
	var broken error
	for _, d := range fx.Disk {
		w.trace("%d: %s", n.id, text{&d})
		d.Append = slices.Clone(d.Append)
		if d.Truncate && d.TruncateAfter < p.commit {
			w.violate("node %d cuts its log after %d, %d is committed", n.id, d.TruncateAfter, p.commit)
		}
		if err := p.log.carryOut(&d); err != nil && broken == nil {
			broken = err
		}
		p.pending = append(p.pending, d)
	}
	for _, m := range fx.Messages {
		w.trace("%d: %s", n.id, text{&m})
		switch a := m.Message.(type) {
		case replication.Append:
			a.Entries = p.log.read(a.First, a.Last)
			if a.First <= a.Last && a.Entries == nil {
				w.violate("node %d sends entries %d to %d, its log doesn't have them", n.id, a.First, a.Last)
			}
			m.Message = a
		default:
		}
		w.net = append(w.net, m)
	}
	if fx.Commit != 0 {
		w.trace("%d: commit %d", n.id, fx.Commit)
		w.commits(n, fx.Commit)
	}
	if fx.Visible != 0 {
		w.trace("%d: visible %d", n.id, fx.Visible)
		w.visible = max(w.visible, fx.Visible)
	}
	for _, a := range fx.Alter {
		w.trace("%d: %s", n.id, text{&a})
		w.alters = append(w.alters, a)
	}
	w.answers(n)
	w.acknowledge(n)
	if fx.TakeFiles != nil {
		w.trace("%d: take files of history %d from %d, up to %d at least", n.id, fx.TakeFiles.History, fx.TakeFiles.Peer, fx.TakeFiles.From)
		s := *fx.TakeFiles
		p.source = &s
	}
	if fx.Damaged != nil {
		w.trace("%d: damaged: %v", n.id, fx.Damaged)
		p.broken = true
	}
	if broken != nil {
		w.step(n, replication.LogDamaged{Err: broken})
	}
}

func (w *world) answers(n *node) {
	fx := &n.proc.fx
	for _, t := range fx.Took {
		again := ""
		if t.Again {
			again = " (again)"
			w.tally["again"]++
		}
		w.trace("%d: took write %d as %d.%d%s", n.id, t.Token, t.Epoch, t.Seq, again)
		w.tally["took"]++
		if w.asked[t.Token] != (replication.OpID{}) {
			n.proc.claims = append(n.proc.claims, t)
		}
	}
	for _, t := range fx.Rejected {
		w.trace("%d: refused %d: %s, leader %d", n.id, t.Token, reasonText(t.Reason), t.Leader)
		w.tally[reasonText(t.Reason)]++
		n.proc.claims = slices.DeleteFunc(n.proc.claims, func(c replication.Took) bool { return c.Token == t.Token })
	}
	for _, t := range fx.ReadReady {
		w.trace("%d: read %d at %d", n.id, t.Token, t.Commit)
		w.tally["reads"]++
		if at, ok := w.readAt[t.Token]; ok && t.Commit < uint64(at) {
			w.violate("node %d reads at %d what was committed up to %d before", n.id, t.Commit, at)
		}
	}
}

// acknowledge answers the writes that are committed: they must have been done.
func (w *world) acknowledge(n *node) {
	n.proc.claims = slices.DeleteFunc(n.proc.claims, func(c replication.Took) bool {
		if c.Seq > n.proc.commit {
			return false
		}
		at, ok := w.truths[n.disk.history].ops[w.asked[c.Token]]
		if !ok || at > c.Seq {
			w.violate("node %d acknowledges operation %v as %d, it isn't committed by then", n.id, w.asked[c.Token], c.Seq)
		}
		w.tally["acknowledged"]++
		return true
	})
}

// commits checks that all agree on what is committed, and that no operation is in it
// twice.
func (w *world) commits(n *node, to uint64) {
	p := n.proc
	if last := n.disk.log.last().Seq; last < to {
		w.violate("node %d commits %d, its disk ends at %d", n.id, to, last)
		return
	}
	t := w.truths[n.disk.history]
	for seq := p.commit + 1; seq <= to; seq++ {
		es := p.log.read(seq, seq)
		if es == nil {
			w.violate("node %d commits %d and doesn't have it", n.id, seq)
			return
		}
		e := es[0]
		if seq <= uint64(len(t.committed)) {
			if c := t.committed[seq-1]; c.Chain != e.Chain {
				w.violate("node %d commits %d.%d, others %d.%d (%s and %s)", n.id, e.Epoch, seq, c.Epoch, seq, e.Body, c.Body)
			}
			continue
		}
		if seq != uint64(len(t.committed))+1 {
			w.violate("node %d commits %d, only %d are committed", n.id, seq, len(t.committed))
			return
		}
		t.committed = append(t.committed, e)
		w.tally["committed"]++
		if e.Op != (replication.OpID{}) {
			if old, ok := t.ops[e.Op]; ok {
				w.violate("operation %v is committed as %d and %d", e.Op, old, seq)
			}
			t.ops[e.Op] = seq
		}
	}
	p.commit = to
	w.checkSets()
}

// checkSets: every copy in sync has all that is committed on its disk.
func (w *world) checkSets() {
	committed := w.truth().committed
	if len(committed) == 0 {
		return
	}
	want := committed[len(committed)-1].Position
	for _, id := range w.master.rec.InSync {
		n := w.node(id)
		if rep, _ := w.master.rec.Replica(id); rep.Alloc != n.disk.alloc {
			continue
		}
		if got, ok := n.disk.log.at(want.Seq); !ok && n.disk.log.base.Seq < want.Seq || ok && got.Chain != want.Chain {
			w.violate("node %d is in sync and lacks entry %d", id, want.Seq)
		}
	}
}

// checkCopy: what a copy may be read for has everything that was visible.
func (w *world) checkCopy(n *node) {
	p := n.proc
	if p == nil || !p.r.Readable() {
		return
	}
	if rep, ok := w.master.rec.Replica(n.id); !ok || rep.Alloc != n.disk.alloc || !w.master.rec.IsInSync(n.id) {
		return
	}
	if p.applied < w.visible {
		w.violate("node %d may be read at %d, %d is visible", n.id, p.applied, w.visible)
	}
}

// store carries out disk effects, and tells the process.
func (w *world) store(n *node, count int, tell bool) {
	p := n.proc
	count = min(count, len(p.pending))
	if count == 0 {
		return
	}
	for i := range p.pending[:count] {
		d := &p.pending[i]
		if err := n.disk.log.carryOut(d); err != nil && !p.broken {
			w.violate("disk of node %d: %v", n.id, err)
		}
		n.disk.epoch = max(n.disk.epoch, d.Epoch)
		if d.History != 0 {
			n.disk.history = d.History
		}
	}
	number := p.pending[count-1].Number
	p.pending = slices.Delete(p.pending, 0, count)
	if tell {
		w.step(n, replication.Stored{Number: number, Last: n.disk.log.last()})
	}
}

// apply applies committed entries.
func (w *world) apply(n *node, count int) {
	p := n.proc
	to := min(p.applied+uint64(count), p.commit)
	if to == p.applied {
		return
	}
	for _, e := range p.log.read(p.applied+1, to) {
		p.state = append(p.state, string(e.Body))
		p.recent.Add(e.Op, e.Seq)
		if c := w.truths[n.disk.history].committed[e.Seq-1]; c.Chain != e.Chain {
			w.violate("node %d applies %d.%d, which isn't what is committed", n.id, e.Epoch, e.Seq)
		}
	}
	p.applied = to
	w.step(n, replication.Applied{Seq: to})
}

// checkpoint writes files and gives up the log up to an entry.
func (w *world) checkpoint(n *node, keep uint64) {
	p := n.proc
	at, ok := n.disk.log.at(p.applied)
	if !ok {
		return
	}
	n.disk.files = files{at, slices.Clone(p.state), p.recent.AppendTo(nil)}
	to := min(at.Seq, max(keep, 1)-1)
	base, ok := n.disk.log.at(to)
	if !ok || len(p.pending) > 0 || base == n.disk.log.base {
		return
	}
	n.disk.log = memLog{base, n.disk.log.read(base.Seq+1, n.disk.log.last().Seq)}
	p.log = n.disk.log.clone()
	w.step(n, replication.LogReleased{First: base.Seq + 1})
}

// fill gives a process the files that it asked for.
func (w *world) fill(n *node) {
	p := n.proc
	if p.source == nil {
		return
	}
	if p.source.Peer == 0 {
		p.source = nil
		w.step(n, replication.FilesFailed{})
		return
	}
	from := w.node(p.source.Peer)
	if from.proc == nil || len(p.pending) > 0 {
		return
	}
	w.checkpoint(from, 0)
	f := from.disk.files
	if from.disk.history != p.source.History || f.at.Seq < p.source.From {
		return
	}
	t, _ := replication.DecodeOpTable(f.recent)
	n.disk.files = files{f.at, slices.Clone(f.state), f.recent}
	n.disk.log, n.disk.history = memLog{base: f.at}, p.source.History
	p.log, p.state, p.recent = memLog{base: f.at}, slices.Clone(f.state), t.Clone()
	p.applied, p.commit, p.source = f.at.Seq, f.at.Seq, nil
	w.tally["filled"]++
	w.step(n, replication.FilesInstalled{At: f.at, History: n.disk.history, Recent: t})
}

// propose gives a node a write.
func (w *world) propose(n *node, op replication.OpID, body string) {
	w.token++
	w.asked[w.token] = op
	w.step(n, replication.Propose{Token: w.token, Entry: replication.Entry{Op: op, Body: []byte(body)}})
}

func (w *world) read(n *node) {
	w.token++
	w.readAt[w.token] = len(w.truth().committed)
	w.step(n, replication.ReadIndex{Token: w.token})
}

// deliver takes a message from the network.
func (w *world) deliver(i int, keep bool) {
	m := w.net[i]
	if !keep {
		w.net = slices.Delete(w.net, i, i+1)
	}
	w.step(w.node(m.To), replication.Received{Envelope: m})
}

// learn tells a process of the topology, perhaps leaving out records between.
func (w *world) learn(n *node, to int) {
	p := n.proc
	if p == nil || to >= len(w.master.history) || to < p.least {
		return
	}
	p.known = to
	w.step(n, replication.ConfigChanged{Config: w.master.history[to]})
}

func (w *world) learnNewest(n *node) { w.learn(n, len(w.master.history)-1) }

// master is the topology: what it does is atomic, and told in order.
type master struct {
	w         *world
	rec       topology.Shard
	incs      map[peerID]uint64
	fenced    []peerID
	minInSync int
	nextAlloc topology.AllocID
	history   []replication.Config
	// choose picks one of several candidates.
	choose func(n int) int
}

func (m *master) publish() {
	rec := m.rec
	rec.Replicas, rec.InSync = slices.Clone(rec.Replicas), slices.Clone(rec.InSync)
	incs := make(map[peerID]uint64, len(m.incs))
	for _, n := range m.w.nodes {
		incs[n.id] = m.incs[n.id]
	}
	m.history = append(m.history, replication.Config{
		Shard: &rec, MinInSync: m.minInSync, Fenced: slices.Clone(m.fenced), Incarnations: incs,
	})
	m.w.trace("record: version %d epoch %d leader %d in sync %v fenced %v", rec.Version, rec.Epoch, rec.Leader, rec.InSync, m.fenced)
	m.w.checkSets()
}

func (m *master) changed() {
	m.rec.Version++
	m.publish()
}

func (m *master) isFenced(id peerID) bool { return slices.Contains(m.fenced, id) }

// elect chooses a leader (R9).
func (m *master) elect() {
	var can []peerID
	for _, id := range m.rec.InSync {
		if !m.isFenced(id) {
			can = append(can, id)
		}
	}
	old := m.rec.Leader
	m.rec.Leader = 0
	if len(can) > 0 {
		i := 0
		if m.choose != nil {
			i = m.choose(len(can))
		}
		m.rec.Leader = can[i]
		m.w.tally["elections"]++
	}
	if m.rec.Leader != 0 || old != 0 {
		m.rec.Epoch++
	}
}

// fence declares a node gone.
func (m *master) fence(id peerID) {
	if m.isFenced(id) {
		return
	}
	m.fenced = append(m.fenced, id)
	others := slices.ContainsFunc(m.rec.InSync, func(o peerID) bool { return !m.isFenced(o) })
	if m.rec.IsInSync(id) && others {
		m.rec.InSync = slices.DeleteFunc(slices.Clone(m.rec.InSync), func(o peerID) bool { return o == id })
	}
	if m.rec.Leader == id {
		m.elect()
	}
	m.changed()
}

// relieve takes a node's seat and leadership, where another one can do without it, though it isn't gone.
func (m *master) relieve(id peerID) {
	able := func(o peerID) bool { return o != id && !m.isFenced(o) }
	if !m.rec.IsInSync(id) || !slices.ContainsFunc(m.rec.InSync, able) {
		return
	}
	m.w.tally["relieved"]++
	m.rec.InSync = slices.DeleteFunc(slices.Clone(m.rec.InSync), func(o peerID) bool { return o == id })
	if m.rec.Leader == id {
		m.elect()
	}
	m.changed()
}

// register takes a process in (R1, R12, R14).
func (m *master) register(n *node) {
	id := n.id
	m.fenced = slices.DeleteFunc(m.fenced, func(o peerID) bool { return o == id })
	again := m.incs[id] == n.proc.inc
	m.incs[id] = n.proc.inc
	for i := range m.rec.Replicas {
		rep := &m.rec.Replicas[i]
		if rep.Peer == id && rep.Alloc != n.disk.alloc {
			m.w.violate("node %d registers with another copy", id)
		}
	}
	if m.rec.Leader == id && !again || m.rec.Leader == 0 {
		m.elect()
	}
	m.changed()
	n.proc.least = len(m.history) - 1
}

// replace gives a node that lost its disk another copy.
func (m *master) replace(n *node) {
	for i := range m.rec.Replicas {
		if rep := &m.rec.Replicas[i]; rep.Peer == n.id {
			m.nextAlloc++
			rep.Alloc, rep.Kind = m.nextAlloc, topology.Joining
			n.disk.alloc = rep.Alloc
		}
	}
	m.rec.InSync = slices.DeleteFunc(slices.Clone(m.rec.InSync), func(o peerID) bool { return o == n.id })
	if m.rec.Leader == n.id {
		m.elect()
	}
	m.changed()
}

// giveUp makes a copy the only one in sync, with what it has (R15).
func (m *master) giveUp(n *node) {
	w, l := m.w, &n.disk.log
	old := w.truth().committed
	k := len(old)
	for ; k > 0; k-- {
		last := old[k-1]
		if at, ok := l.at(last.Seq); ok && at.Chain == last.Chain || last.Seq < l.base.Seq {
			break
		}
	}
	m.rec.History++
	now := &truth{committed: slices.Clone(old[:k]), ops: map[replication.OpID]uint64{}}
	for _, e := range now.committed {
		now.ops[e.Op] = e.Seq
	}
	w.truths[m.rec.History] = now
	m.rec.InSync, m.rec.Leader = []peerID{n.id}, n.id
	m.rec.Epoch++
	w.visible = 0
	m.changed()
}

// alter takes a leader's proposal, or not (R6, R7).
func (m *master) alter(a replication.Alter) bool {
	if a.Epoch != m.rec.Epoch || a.Version != m.rec.Version || a.Proposer != m.rec.Leader {
		return false
	}
	for _, id := range a.InSync {
		rep, ok := m.rec.Replica(id)
		if !ok || !m.rec.IsInSync(id) && (m.isFenced(id) || rep.Alloc != a.Allocs[id]) {
			return false
		}
	}
	if a.Leader != 0 && (!slices.Contains(a.InSync, a.Leader) || m.isFenced(a.Leader)) {
		return false
	}
	m.rec.InSync = slices.Clone(a.InSync)
	for i := range m.rec.Replicas {
		if rep := &m.rec.Replicas[i]; m.rec.IsInSync(rep.Peer) {
			rep.Kind = topology.Voter
		}
	}
	if a.Leader != 0 {
		m.rec.Leader = a.Leader
		m.rec.Epoch++
		m.w.tally["handed over"]++
	}
	m.w.tally["altered"]++
	m.changed()
	return true
}
