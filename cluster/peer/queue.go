package peer

import (
	"errors"
	"slices"
	"sync"

	"github.com/sextantdb/sextant/cluster/replication"
)

// errOverflow is a message that was forgotten for newer ones.
var errOverflow = errors.New("send queue is full, its oldest messages were dropped")

// message is one thing to send: bytes of the consensus in the control lane, an envelope
// in the other.
type message struct {
	raft     []byte
	envelope replication.Envelope
	size     int
	sent     func(error) // may be nil
}

// done tells what became of it.
func (m *message) done(err error) {
	if m.sent != nil {
		m.sent(err)
	}
}

// fifo is a list with its bytes counted.
type fifo struct {
	list  []message
	bytes int
}

func (f *fifo) push(m message) {
	f.list = append(f.list, m)
	f.bytes += m.size
}

func (f *fifo) pop() message {
	m := f.list[0]
	f.list[0] = message{}
	if f.list = f.list[1:]; len(f.list) == 0 {
		f.list = nil // what append left behind may be collected
	}
	f.bytes -= m.size
	return m
}

// queue holds what a lane has to send. It never has more than a number of messages and
// bytes: the oldest go first, only the newest is always taken. Messages larger than a
// frame wait in a list of their own if overtake is set, and small ones overtake them.
type queue struct {
	maxMessages, maxBytes int
	overtake              bool
	wake                  chan struct{} // has one when something was pushed

	mu           sync.Mutex
	small, large fifo
}

func newQueue(maxMessages, maxBytes int, overtake bool) *queue {
	return &queue{maxMessages: maxMessages, maxBytes: maxBytes, overtake: overtake, wake: make(chan struct{}, 1)}
}

// push adds a message and returns those that had to go.
func (q *queue) push(m message) (dropped []message) {
	q.mu.Lock()
	f := &q.small
	if q.overtake && m.size > frameBytes {
		f = &q.large
	}
	f.push(m)
	for len(f.list) > 1 && (len(f.list) > q.maxMessages || f.bytes > q.maxBytes) {
		dropped = append(dropped, f.pop())
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return dropped
}

// takeLarge returns the next message if it is one that doesn't fit a frame.
func (q *queue) takeLarge() (message, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := &q.small
	if q.overtake {
		f = &q.large
	}
	if len(f.list) == 0 || f.list[0].size <= frameBytes {
		return message{}, false
	}
	return f.pop(), true
}

// take appends messages to batch that together fit into budget bytes, at least one unless
// the next one doesn't fit a frame.
func (q *queue) take(batch []message, budget int) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	for first := true; len(q.small.list) > 0; first = false {
		size := q.small.list[0].size
		if size > frameBytes || (!first && size > budget) {
			break
		}
		budget -= size
		batch = append(batch, q.small.pop())
	}
	return batch
}

// clear empties the queue and returns what was in it.
func (q *queue) clear() []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := slices.Concat(q.small.list, q.large.list)
	q.small, q.large = fifo{}, fifo{}
	return all
}
