package member

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
)

// copyOf is a copy of a shard that says its name after a while, or fails.
type copyOf struct {
	shardcall.Shard
	name  string
	takes time.Duration // 0 is for ever
	err   error
	local bool
}

func (c *copyOf) Local() bool { return c.local }

func TestReadsThatAreSlowAskAnotherCopy(t *testing.T) {
	var (
		moved  = &shardcall.Moved{}
		broken = errors.New("broken")
	)
	for name, c := range map[string]struct {
		copies []shardcall.Shard
		busy   bool // nobody else may be asked
		want   string
		again  bool
		err    error
		takes  time.Duration
		late   []string // nil isn't looked at
	}{
		"no copy":                {again: true},
		"the first answers":      {copies: []shardcall.Shard{&copyOf{name: "a", takes: 1}, &copyOf{name: "b", takes: 1}}, want: "a", takes: 1},
		"the first is frozen":    {copies: []shardcall.Shard{&copyOf{name: "a"}, &copyOf{name: "b", takes: 1}}, want: "b", takes: slowRead + 1, late: []string{"a"}},
		"two are frozen":         {copies: []shardcall.Shard{&copyOf{name: "a"}, &copyOf{name: "b"}, &copyOf{name: "c", takes: 1}}, want: "c", takes: 2*slowRead + 1, late: []string{"a", "b"}},
		"the first is only slow": {copies: []shardcall.Shard{&copyOf{name: "a", takes: slowRead + 5}, &copyOf{}}, want: "a", takes: slowRead + 5},
		"the second is slower":   {copies: []shardcall.Shard{&copyOf{name: "a", takes: 2*slowRead - 1}, &copyOf{takes: time.Hour}}, want: "a", takes: 2*slowRead - 1, late: []string{"a"}},
		"too many are slow":      {copies: []shardcall.Shard{&copyOf{name: "a", takes: time.Hour}, &copyOf{name: "b", takes: 1}}, busy: true, want: "a", takes: time.Hour},
		"a copy here isn't slow": {copies: []shardcall.Shard{&copyOf{name: "a", takes: time.Hour, local: true}, &copyOf{name: "b", takes: 1}}, want: "a", takes: time.Hour},
		"a copy here is gone": {copies: []shardcall.Shard{
			&copyOf{err: moved, takes: 1, local: true}, &copyOf{}, &copyOf{name: "c", takes: 1},
		}, want: "c", takes: slowRead + 2},
		"one after the other": {copies: []shardcall.Shard{&copyOf{err: moved, takes: 1}, &copyOf{name: "b", takes: 1}}, want: "b", takes: 2},
		"none can":            {copies: []shardcall.Shard{&copyOf{err: moved, takes: 1}, &copyOf{err: moved, takes: 1}}, again: true, takes: 2},
		"no other copy helps": {copies: []shardcall.Shard{&copyOf{err: broken, takes: 1}, &copyOf{name: "b", takes: 1}}, err: broken, takes: 1},
		"only one":            {copies: []shardcall.Shard{&copyOf{name: "a", takes: time.Hour}}, want: "a", takes: time.Hour},
		"it takes too long":   {copies: []shardcall.Shard{&copyOf{}, &copyOf{}}, err: context.DeadlineExceeded, takes: 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				extra := make(chan struct{}, extraReads)
				if c.busy {
					extra = nil
				}
				var slow []string
				late := func(s shardcall.Shard) { slow = append(slow, s.(*copyOf).name) }
				begun := time.Now()
				out, again, err := firstAnswer(ctx, c.copies, extra, late, func(ctx context.Context, s shardcall.Shard) (string, error) {
					one := s.(*copyOf)
					var done <-chan time.Time
					if one.takes > 0 {
						done = time.After(one.takes)
					}
					select {
					case <-done:
						return one.name, one.err
					case <-ctx.Done():
						return "", ctx.Err()
					}
				})
				require.Equal(t, c.want, out)
				require.Equal(t, c.again, again)
				require.True(t, again && isElsewhere(err) || errors.Is(err, c.err), err)
				require.Equal(t, c.takes, time.Since(begun))
				if c.late != nil {
					require.Equal(t, c.late, slow)
				}
				synctest.Wait()
				require.Empty(t, extra, "room for others")
			})
		})
	}
}

func TestReadsAvoidNodesThatWereSlow(t *testing.T) {
	var s slowPeers
	now := time.Now()
	peers := []topology.PeerID{1, 2, 3}
	require.Equal(t, peers, s.last(peers, now))
	s.note(1, now)
	require.Equal(t, []topology.PeerID{2, 3, 1}, s.last(peers, now.Add(slowTime-1)))
	s.note(2, now.Add(slowTime-1))
	require.Equal(t, []topology.PeerID{1, 3, 2}, s.last(peers, now.Add(slowTime)))
	require.Equal(t, peers, s.last(peers, now.Add(2*slowTime)))
	require.Empty(t, s.until, "nothing stays")
}
