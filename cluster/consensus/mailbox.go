package consensus

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/internal/apierror"
)

// mailbox is what other goroutines want of the group's own, bounded.
type mailbox struct {
	// wake has a value when there is something to take.
	wake chan struct{}

	mu sync.Mutex
	// ended says why nothing is taken any more.
	ended error
	// messages wait to be read; size is their length.
	messages []*raftpb.Message
	size     int
	requests []func(*driver)
	// pending and pendingBytes are the proposals under way, waiting what else waits for
	// an answer.
	pending, pendingBytes, waiting int
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// put adds a message, or loses it.
func (b *mailbox) put(m *raftpb.Message) {
	size := len(m.GetSnapshot().GetData())
	for _, e := range m.GetEntries() {
		size += len(e.GetData())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	full := len(b.messages) >= maxInbox || len(b.messages) > 0 && b.size+size > maxInboxBytes
	if full || b.ended != nil {
		return
	}
	b.messages = append(b.messages, m)
	b.size += size
	b.signal()
}

// propose adds a request for a proposal of that length. settled takes it off again.
func (b *mailbox) propose(size int, do func(*driver)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return b.ended
	}
	if b.pending >= maxPending || b.pending > 0 && b.pendingBytes+size > maxPendingBytes {
		return apierror.New(apierror.Unavailable, "too many changes of the cluster are under way")
	}
	b.pending++
	b.pendingBytes += size
	b.requests = append(b.requests, do)
	b.signal()
	return nil
}

func (b *mailbox) settled(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending--
	b.pendingBytes -= size
}

// ask adds any other request. answered takes it off again.
func (b *mailbox) ask(do func(*driver)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return b.ended
	}
	if b.waiting >= maxWaiting {
		return apierror.New(apierror.Unavailable, "too many questions about the cluster are under way")
	}
	b.waiting++
	b.requests = append(b.requests, do)
	b.signal()
	return nil
}

func (b *mailbox) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
}

func (b *mailbox) take() ([]*raftpb.Message, []func(*driver)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages, requests := b.messages, b.requests
	b.messages, b.requests, b.size = nil, nil, 0
	return messages, requests
}

// end refuses everything from now on.
func (b *mailbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = err
	b.messages, b.requests = nil, nil
}

// why returns why nothing is taken any more.
func (b *mailbox) why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}
