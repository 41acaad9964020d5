package node

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercent is how much may be allocated, in percent of what is live, before
	// the collector runs. Data lies outside the heap, so what is live is small;
	// when it isn't, during a load, what is resident counts.
	gcPercent = 50
	// gcRoom may be allocated between two collections in any case. A collection
	// costs a few milliseconds whatever there is to be had, and a node at rest has
	// 5 to 10 MB that live: half of that is garbage of 400 searches.
	gcRoom = 16 << 20
	// gcPercentMost is the percentage for the smallest heap, for which the runtime
	// takes 4 MiB.
	gcPercentMost = 100 * gcRoom / (4 << 20)
)

// pace fits the collector's percentage to the live heap after each collection.
type pace struct {
	live func() uint64
	set  func(percent int)

	now int
}

// fit is called after a collection.
func (p *pace) fit() {
	want := gcPercentMost
	if live := p.live(); live > 0 {
		want = int(min(max(100*gcRoom/live, gcPercent), gcPercentMost))
	}
	// Setting it stops the world for a moment.
	if want > p.now+p.now/8 || want < p.now-p.now/8 {
		p.now = want
		p.set(want)
	}
}

// collected is garbage from the beginning, so that its cleanup runs after the
// next collection. The pointer keeps the runtime from putting it into a block
// with others.
type collected struct{ _ *collected }

// keep calls fit after each collection from now on.
func (p *pace) keep() {
	p.fit()
	runtime.AddCleanup(&collected{}, func(p *pace) { p.keep() }, p)
}

// paceCollector fits the collector to the heap for the rest of the process.
func paceCollector() {
	p := &pace{live: liveHeap, set: func(percent int) { debug.SetGCPercent(percent) }}
	p.keep()
}

// liveHeap is what the last collection found alive, 0 before the first.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
