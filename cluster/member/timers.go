package member

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/replication"
)

// timers wakes replicas at the times they ask for. An idle replica asks for none.
type timers struct {
	mu    sync.Mutex
	queue wakeQueue
	byOne map[*replica]*wakeUp
	poke  chan struct{}
}

type wakeUp struct {
	r     *replica
	at    replication.Now
	index int
}

func newTimers() *timers {
	return &timers{byOne: map[*replica]*wakeUp{}, poke: make(chan struct{}, 1)}
}

// set asks for a Tick at a time, instead of the one that was asked for before.
func (t *timers) set(r *replica, at replication.Now, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.byOne[r]
	switch {
	case w == nil && !ok:
		return
	case w == nil:
		w = &wakeUp{r: r, at: at}
		t.byOne[r] = w
		heap.Push(&t.queue, w)
	case !ok:
		heap.Remove(&t.queue, w.index)
		delete(t.byOne, r)
		return
	case w.at == at:
		return
	default:
		w.at = at
		heap.Fix(&t.queue, w.index)
	}
	if t.queue[0] == w {
		select {
		case t.poke <- struct{}{}:
		default:
		}
	}
}

// due takes out the replicas whose time has come, and tells how long it is until the next.
func (t *timers) due(now replication.Now) (out []*replica, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) > 0 && t.queue[0].at <= now {
		w, _ := heap.Pop(&t.queue).(*wakeUp)
		delete(t.byOne, w.r)
		out = append(out, w.r)
	}
	if len(t.queue) == 0 {
		return out, time.Hour
	}
	return out, t.queue[0].at - now
}

// run wakes replicas until ctx ends.
func (t *timers) run(ctx context.Context, now func() replication.Now) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, next := t.due(now())
		for _, r := range due {
			r.step(replication.Tick{})
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-t.poke:
		case <-ctx.Done():
			return
		}
	}
}

// wakeQueue is a heap of wake-ups, the earliest on top.
type wakeQueue []*wakeUp

func (q wakeQueue) Len() int           { return len(q) }
func (q wakeQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q wakeQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *wakeQueue) Push(x any) {
	w, _ := x.(*wakeUp)
	w.index = len(*q)
	*q = append(*q, w)
}

func (q *wakeQueue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return w
}
