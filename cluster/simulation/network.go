package simulation

import "time"

// link is the way from one machine to another.
type link struct {
	// cut says that nothing gets through, slow is what every message takes longer.
	cut  bool
	slow time.Duration
	// last is when the last message arrives that is on its way.
	last time.Duration
}

func (w *world) link(from, to *node) *link { return &w.links[from.machine][to.machine] }

// linked tells whether two machines reach each other.
func (w *world) linked(a, b *node) bool {
	return a == b || !w.link(a, b).cut && !w.link(b, a).cut
}

// carry takes a message to a machine. It is lost with the process that it is for.
func (w *world) carry(from, to *node, arrive func(*proc)) {
	times := 1
	if !w.calm && w.chance(w.plan.Double) {
		times = 2
	}
	w.bring(from, to, times, arrive)
}

// call is carry for a call: connections don't double those.
func (w *world) call(from, to *node, arrive func(*proc)) { w.bring(from, to, 1, arrive) }

func (w *world) bring(from, to *node, times int, arrive func(*proc)) {
	if from == to {
		to.soon(0, arrive)
		return
	}
	l := w.link(from, to)
	if l.cut || !w.calm && w.chance(w.plan.Drop) {
		return
	}
	for range times {
		at := w.now + w.around(w.plan.Delay) + l.slow
		switch {
		case !w.calm && w.plan.Late > 0 && w.chance(w.plan.Late):
			at += w.between(0, 3*time.Second) // from another epoch
		case w.plan.Reorder:
		default:
			at = max(at, l.last)
			l.last = at
		}
		w.events.add(at, func() {
			if w.link(from, to).cut && w.chance(500) {
				return // the connection broke under it
			}
			if p := to.proc; p != nil {
				to.run(p, arrive)
			}
		})
	}
}

// soon does something in the node's process, if it is still there then.
func (n *node) soon(d time.Duration, do func(*proc)) {
	p := n.proc
	if p == nil {
		return
	}
	n.w.after(d, func() { n.run(p, do) })
}

// run does something in a process, as soon as it isn't paused.
func (n *node) run(p *proc, do func(*proc)) {
	switch {
	case n.proc != p:
	case n.paused > n.w.now:
		n.w.events.add(min(n.paused, n.w.now+100*time.Millisecond), func() { n.run(p, do) })
	default:
		do(p)
	}
}
