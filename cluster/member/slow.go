package member

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
)

const (
	// slowRead is how long a copy on another node may take over a read before another copy is asked, too:
	// its node may be frozen or cut off, which takes seconds to be noticed.
	slowRead = 200 * time.Millisecond
	// extraReads bounds the reads of a node that ask another copy because one is slow. When
	// everything is slow, asking twice makes it slower.
	extraReads = 64
	// slowTime is how long reads go elsewhere first after a copy was slow.
	slowTime = time.Second
)

// slowPeers are the nodes whose copies were slow a moment ago.
type slowPeers struct {
	mu    sync.Mutex
	until map[topology.PeerID]time.Time
}

// note remembers that a node's copy is slow.
func (s *slowPeers) note(p topology.PeerID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[topology.PeerID]time.Time{}
	}
	s.until[p] = now.Add(slowTime)
}

// last returns peers in their order, but those that were slow a moment ago last.
func (s *slowPeers) last(peers []topology.PeerID, now time.Time) []topology.PeerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.until) == 0 {
		return peers
	}
	var well, slow []topology.PeerID
	for _, p := range peers {
		switch until, ok := s.until[p]; {
		case ok && now.Before(until):
			slow = append(slow, p)
			continue
		case ok:
			delete(s.until, p)
		}
		well = append(well, p)
	}
	return slices.Concat(well, slow)
}

// awayCopy is the copy on another node.
type awayCopy struct {
	*shardcall.Remote
	peer topology.PeerID
}

// copyAnswer is what a copy said to a read.
type copyAnswer[T any] struct {
	out T
	err error
}

// firstAnswer has a read answered by the first of some copies that does: the next one is asked when one
// can't answer, or is slow, which late is told, and extra has room. again says that no copy could. Answers that
// come later are for nobody: each read makes its own.
func firstAnswer[T any](
	ctx context.Context, copies []shardcall.Shard, extra chan struct{}, late func(shardcall.Shard),
	read func(context.Context, shardcall.Shard) (T, error),
) (out T, again bool, err error) {
	final := func(err error) bool { return err == nil || !isElsewhere(err) || ctx.Err() != nil }
	err = &shardcall.Moved{}
	for len(copies) == 1 || len(copies) > 0 && copies[0].Local() { // nobody else to ask, or nothing to wait for
		if out, err = read(ctx, copies[0]); final(err) {
			return out, false, err
		}
		copies = copies[1:]
	}
	if len(copies) == 0 {
		return out, true, err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan copyAnswer[T], len(copies))
	asked := 0
	ask := func(done func()) {
		c := copies[asked]
		asked++
		go func() {
			defer done()
			out, err := read(reading, c)
			answers <- copyAnswer[T]{out, err}
		}()
	}
	ask(func() {})
	slow := time.NewTimer(slowRead)
	defer slow.Stop()
	for answered := 0; answered < asked; {
		select {
		case a := <-answers:
			answered++
			if final(a.err) {
				return a.out, false, a.err
			}
			err = a.err
			if answered == asked && asked < len(copies) {
				ask(func() {})
				slow.Reset(slowRead)
			}
		case <-slow.C:
			late(copies[asked-1])
			if asked == len(copies) {
				continue
			}
			slow.Reset(slowRead)
			select {
			case extra <- struct{}{}:
				ask(func() { <-extra })
			default:
			}
		}
	}
	return out, true, err
}
