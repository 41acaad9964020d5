package consensus_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// small makes snapshots frequent.
func small(o *consensus.Options) { o.SnapshotEntries, o.KeepEntries = 4, 2 }

// requireAcked says that everything that was answered is there, once, and in order,
// with nothing that wasn't asked for.
func requireAcked(t *testing.T, acked, asked, got []string) {
	t.Helper()
	require.Subset(t, asked, got)
	next := 0
	seen := map[string]bool{}
	for _, v := range got {
		require.False(t, seen[v], "%s is applied twice", v)
		seen[v] = true
		if next < len(acked) && acked[next] == v {
			next++
		}
	}
	require.Equal(t, len(acked), next, "answered was %q, there is %q", acked, got)
}

// One node loses its power at every change of its disk, at each once: when founding,
// storing, taking snapshots, starting again.
func TestPowerCutAtEveryWrite(t *testing.T) {
	for n := int64(1); ; n++ {
		finished := false
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			c.options = small
			mem := fsx.NewMem()
			fault := fsx.NewFault(mem, fsx.StopAt(n))
			var acked, asked []string
			finished = lifeOfOne(c, fault, &acked, &asked)
			rng := rand.New(rand.NewPCG(uint64(n), 3))
			node, err := c.open(1, mem.CrashClone(rng))
			require.NoError(t, err, "after a power cut before change %d", n)
			if !node.group.HasState() {
				require.Empty(t, acked)
				require.NoError(t, node.group.Found(t.Context()), "before change %d", n)
			}
			requireAcked(t, acked, asked, node.list.all())
			c.propose(node, "after")
			requireAcked(t, append(acked, "after"), append(asked, "after"), node.list.all())
		})
		if finished {
			require.Greater(t, n, int64(50))
			return
		}
	}
}

// lifeOfOne founds a group, and proposes through two starts. It returns false when the
// disk has stopped.
func lifeOfOne(c *cluster, fs fsx.FS, acked, asked *[]string) bool {
	for life := range 2 {
		n, err := c.open(1, fs)
		if err != nil {
			require.ErrorIs(c.t, err, fsx.ErrStopped)
			return false
		}
		if !n.group.HasState() {
			if err := n.group.Found(c.t.Context()); err != nil {
				c.requireStopped(n)
				return false
			}
		}
		for i := range 9 {
			v := fmt.Sprintf("%d/%d", life, i)
			*asked = append(*asked, v)
			if _, _, err := n.group.Propose(c.t.Context(), []byte(v)); err != nil {
				c.requireStopped(n)
				return false
			}
			*acked = append(*acked, v)
			<-time.After(70 * time.Millisecond) // sometimes a tick comes in between
		}
		c.stop(1)
	}
	return true
}

// requireStopped says that a group has ended because of its disk, and that callers
// hear of it.
func (c *cluster) requireStopped(n *node) {
	c.t.Helper()
	<-n.group.Done()
	require.ErrorIs(c.t, n.group.Err(), fsx.ErrStopped)
	require.ErrorIs(c.t, n.group.Close(), fsx.ErrStopped)
	_, _, err := n.group.Propose(c.t.Context(), nil)
	require.ErrorIs(c.t, err, fsx.ErrStopped)
	_, me := c.told(n)
	require.False(c.t, me)
}

// A failed sync ends the group. What was answered before is there at the next start.
func TestFailedSyncEndsTheGroup(t *testing.T) {
	broken := errors.New("broken disk")
	for n := 1; ; n++ {
		finished := false
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			c.options = small
			mem := fsx.NewMem()
			syncs := 0
			fault := fsx.NewFault(mem, nil)
			fault.SetInject(func(op fsx.Op) error {
				if op.Kind != fsx.OpSync {
					return nil
				}
				if syncs++; syncs != n {
					return nil
				}
				if err := mem.FailSync(op.Path); err != nil {
					return err
				}
				return broken
			})
			node, err := c.open(1, fault)
			if err != nil {
				require.ErrorIs(t, err, broken)
				return
			}
			var acked, asked []string
			if err = node.group.Found(t.Context()); err == nil {
				for i := range 9 {
					v := strconv.Itoa(i)
					asked = append(asked, v)
					if _, _, err = node.group.Propose(t.Context(), []byte(v)); err != nil {
						break
					}
					acked = append(acked, v)
				}
			}
			if finished = err == nil; !finished {
				<-node.group.Done()
				require.ErrorIs(t, node.group.Err(), broken)
			}
			c.stop(1)
			node = c.start(1, mem.CrashClone(rand.New(rand.NewPCG(uint64(n), 5))))
			requireAcked(t, acked, asked, node.list.all())
		})
		if finished {
			require.Greater(t, n, 10)
			return
		}
	}
}

// One of three nodes loses its power again and again, wherever it is in its work, and
// the two others talk and lead on. Nothing that was answered by anybody is lost.
func TestPowerCutsOfOneOfThree(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				rng := rand.New(rand.NewPCG(seed, 7))
				c.options = small
				c.grow(3)
				var acked []string
				var mu sync.Mutex
				var wg sync.WaitGroup
				stop := make(chan struct{})
				for id := topology.PeerID(1); id <= 3; id++ {
					wg.Go(func() {
						for i := 0; ; i++ {
							select {
							case <-stop:
								return
							case <-time.After(30 * time.Millisecond):
							}
							c.mu.Lock()
							n := c.nodes[id]
							c.mu.Unlock()
							v := fmt.Sprintf("%d/%d", id, i)
							if n == nil {
								continue
							}
							if _, _, err := n.group.Propose(within(t, 3*time.Second), []byte(v)); err == nil {
								mu.Lock()
								acked = append(acked, v)
								mu.Unlock()
							}
						}
					})
				}
				for range 8 {
					c.cutPower(topology.PeerID(rng.IntN(3)+1), rng)
				}
				close(stop)
				wg.Wait()
				c.leader()
				c.propose(c.nodes[1], "end")
				values := c.agree()
				require.Subset(t, values, acked)
				seen := map[string]bool{}
				for _, v := range values {
					require.False(t, seen[v], "%s is applied twice", v)
					seen[v] = true
				}
				require.NotEmpty(t, acked)
			})
		})
	}
}

// cutPower restarts a node on a disk that stops after some changes, and then again on
// what is left of it.
func (c *cluster) cutPower(id topology.PeerID, rng *rand.Rand) {
	c.t.Helper()
	mem := c.kill(id, func(m *fsx.Mem) *fsx.Mem { return m.CrashClone(rng) })
	n, err := c.open(id, fsx.NewFault(mem, fsx.StopAt(rng.Int64N(120)+1)))
	if err == nil {
		select {
		case <-n.group.Done():
			require.ErrorIs(c.t, n.group.Err(), fsx.ErrStopped)
		case <-time.After(time.Minute):
		}
		c.stop(id)
	} else {
		require.ErrorIs(c.t, err, fsx.ErrStopped)
	}
	c.start(id, mem.CrashClone(rng))
}

// The new beginning after the loss of the majority is there or isn't.
func TestPowerCutsWhileBeginningAnew(t *testing.T) {
	for n := int64(1); ; n++ {
		finished := false
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			c.options = small
			c.grow(2)
			want := numbered("v", 7)
			for _, v := range want {
				c.propose(c.nodes[1], v)
			}
			c.agree()
			c.stop(1)
			disk := c.stop(2).(*fsx.Mem)
			node, err := c.open(2, fsx.NewFault(disk, fsx.StopAt(n)))
			var group uint64
			if err == nil {
				if err := node.group.Reinit(t.Context(), nil); err == nil {
					group = node.group.Status().Group
					_, _, err = node.group.Propose(t.Context(), []byte("alone"))
					finished = err == nil
				}
				_ = node.group.Close()
			}
			node = c.start(2, disk.CrashClone(rand.New(rand.NewPCG(uint64(n), 9))))
			synctest.Wait()
			if s := node.group.Status(); s.Leader == 0 {
				require.Zero(t, group, "a beginning that was answered")
				require.NoError(t, node.group.Reinit(t.Context(), nil))
			} else if group != 0 {
				require.Equal(t, group, s.Group)
			}
			c.propose(node, "end")
			got := node.list.all()
			if finished {
				want = append(want, "alone")
			}
			requireAcked(t, append(want, "end"), append(numbered("v", 7), "alone", "end"), got)
		})
		if finished {
			return
		}
	}
}
