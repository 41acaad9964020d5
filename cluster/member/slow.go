package member

import (
	"context"
	"time"

	"github.com/sextantdb/sextant/cluster/shardcall"
)

const (
	// slowRead is how long a copy on another node may take over a read before another copy is asked, too:
	// its node may be frozen or cut off, which takes seconds to be noticed.
	slowRead = 200 * time.Millisecond
	// extraReads bounds the reads of a node that ask another copy because one is slow. When
	// everything is slow, asking twice makes it slower.
	extraReads = 64
)

// copyAnswer is what a copy said to a read.
type copyAnswer[T any] struct {
	out T
	err error
}

// firstAnswer has a read answered by the first of some copies that does: the next one is asked when one
// can't answer, or is slow and extra has room. again says that no copy could. Answers that come later are for
// nobody: each read makes its own.
func firstAnswer[T any](
	ctx context.Context, copies []shardcall.Shard, extra chan struct{}, read func(context.Context, shardcall.Shard) (T, error),
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
			slow.Reset(slowRead)
			if asked == len(copies) {
				continue
			}
			select {
			case extra <- struct{}{}:
				ask(func() { <-extra })
			default:
			}
		}
	}
	return out, true, err
}
