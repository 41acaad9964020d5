package simulation

import (
	"slices"

	"github.com/sextantdb/sextant/cluster/replication"
)

// export is what a copy's files are, on their way.
type export struct {
	files
	history uint64
}

// startFilling takes the files of another copy in place of this one's.
func (r *replica) startFilling(from replication.FileSource) {
	w := r.p.n.w
	w.trace("%d takes files of shard %d from %d: history %d, up to %d at least", r.p.n.id, r.name.Shard, from.Peer, from.History, from.From)
	if r.filling {
		return
	}
	r.filling = true
	source := w.node(from.Peer)
	if source == nil || source.proc == nil || !w.linked(source, r.p.n) {
		r.soon(w.around(w.plan.Delay), r.fillingFailed)
		return
	}
	p := source.proc
	// The way there, the export, and the way back.
	source.soon(w.around(w.plan.Delay), func(*proc) { p.export(r) })
	r.soon(w.around(w.plan.Delay*20)+w.plan.Delay*60, func() { r.fetched(nil) })
}

func (r *replica) fillingFailed() {
	if r.filling && !r.shut {
		r.filling = false
		r.p.n.w.tally["filling failed"]++
		r.step(replication.FilesFailed{})
	}
}

// export sends the files of a copy. Which log it is was asked a moment before.
func (p *proc) export(to *replica) {
	w := p.n.w
	o := p.replica(to.name)
	if o == nil || o.shut {
		p.ship(to, nil)
		return
	}
	history := o.disk.history
	p.n.soon(w.around(w.plan.Sync), func(*proc) {
		if o.closed || o.shut {
			p.ship(to, nil)
			return
		}
		o.flush()
		x := &export{o.disk.files, history}
		x.recent = slices.Clone(x.recent)
		p.ship(to, x)
	})
}

func (p *proc) ship(to *replica, x *export) {
	w := p.n.w
	if !w.linked(p.n, to.p.n) {
		return
	}
	w.after(w.around(w.plan.Delay*5), func() {
		to.p.n.run(to.p, to.inProc(func() { to.fetched(x) }))
	})
}

// fetched is when the files are there, or the source has none, or nothing came in time.
func (r *replica) fetched(x *export) {
	w := r.p.n.w
	switch {
	case !r.filling || r.shut:
	case x == nil || !w.calm && w.chance(50):
		r.fillingFailed()
	case r.applying: // is waited for
		r.soon(w.plan.Sync, func() { r.fetched(x) })
	default:
		r.shut = true
		r.soon(w.around(w.plan.Sync), func() { r.install(x) })
	}
}

// install puts files in place of the copy's own and begins the log behind them. A crash in
// between leaves files and log that don't belong together.
func (r *replica) install(x *export) {
	w := r.p.n.w
	if r.storing { // is waited for, too
		r.soon(w.plan.Sync, func() { r.install(x) })
		return
	}
	r.disk.files = x.files
	r.soon(w.around(w.plan.Sync), func() {
		r.disk.log = oplog{base: x.at}
		r.soon(w.around(w.plan.Sync), func() {
			r.disk.history = x.history
			r.installed(x)
		})
	})
}

func (r *replica) installed(x *export) {
	w := r.p.n.w
	r.load()
	r.log = oplog{base: x.at}
	r.filling, r.shut = false, false
	r.applied, r.commit = x.at.Seq, x.at.Seq
	w.tally["filled"]++
	w.trace("%d has files of shard %d up to %v, history %d", r.p.n.id, r.name.Shard, x.at, x.history)
	w.installedFiles(r, x)
	r.step(replication.FilesInstalled{At: x.at, History: x.history, Recent: r.recent.Clone()})
}
