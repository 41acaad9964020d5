package shard

import (
	"sync"
	"sync/atomic"
)

// waiters are those who wait until a sequence is applied. When there are none, an
// application costs one atomic load.
type waiters struct {
	n  atomic.Int64
	mu sync.Mutex
	// ready is closed when the sequence is applied.
	ready map[chan struct{}]uint64
}

// add registers one; forget must be called, once.
func (w *waiters) add(seq uint64) (ready chan struct{}, forget func()) {
	ready = make(chan struct{})
	w.n.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ready == nil {
		w.ready = map[chan struct{}]uint64{}
	}
	w.ready[ready] = seq
	return ready, func() {
		w.n.Add(-1)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ready, ready)
	}
}

// wake tells those who wait for a sequence up to this one.
func (w *waiters) wake(upTo uint64) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ready, seq := range w.ready {
		if seq <= upTo {
			close(ready)
			delete(w.ready, ready)
		}
	}
}
