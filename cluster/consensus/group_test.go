package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

func TestOneNodeFoundsAGroupAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		n := c.start(1, nil)
		require.False(t, n.group.HasState())
		require.NoError(t, n.group.Found(t.Context()))
		require.True(t, n.group.HasState())
		require.Equal(t, apierror.Precondition, apierror.KindOf(n.group.Found(t.Context())))
		for i, v := range numbered("v", 5) {
			result, index, err := n.group.Propose(t.Context(), []byte(v))
			require.NoError(t, err)
			require.Equal(t, i+1, result)
			require.Equal(t, n.group.Status().Applied, index)
		}
		before := n.group.Status()
		require.Equal(t, consensus.Leader, before.Role)
		leader, me := c.told(n)
		require.Equal(t, n.id, leader)
		require.True(t, me)
		require.NotZero(t, before.Group)

		n = c.restart(1)
		require.Equal(t, numbered("v", 5), n.list.all()[:5], "what was committed is applied when Open returns")
		after := n.group.Status()
		require.Equal(t, before.Group, after.Group)
		require.Equal(t, before.Voters, after.Voters)
		require.Greater(t, after.Term, before.Term)
		c.propose(n, "more")
		require.Equal(t, append(numbered("v", 5), "more"), n.list.all())
	})
}

// A machine that has a state when the group is founded keeps it.
func TestFoundKeepsTheMachinesState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		n := c.start(1, nil)
		n.list.values = []string{"of before"}
		require.NoError(t, n.group.Found(t.Context()))
		require.Equal(t, []string{"of before"}, n.list.all())
		second := c.start(2, nil)
		require.NoError(t, n.group.AddLearner(c.deadline(), 2))
		c.propose(second, "new")
		require.Equal(t, []string{"of before", "new"}, c.agree())
	})
}

func TestProposalsFromEveryNode(t *testing.T) {
	for _, size := range []int{2, 3, 5, 8} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.grow(size)
				for _, n := range c.sorted() {
					c.propose(n, fmt.Sprint(n.id))
				}
				require.Len(t, c.agree(), size)
				roles := map[consensus.Role]int{}
				for _, n := range c.sorted() {
					roles[n.group.Status().Role]++
				}
				require.Equal(t, map[consensus.Role]int{consensus.Leader: 1, consensus.Follower: size - 1}, roles)
			})
		})
	}
}

func TestEverybodyRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(4)
		want := numbered("v", 10)
		for i, v := range want {
			c.propose(c.nodes[topology.PeerID(i%4+1)], v)
		}
		c.agree()
		for id := range topology.PeerID(4) {
			c.restart(id + 1)
		}
		c.leader()
		c.propose(c.nodes[4], "after")
		require.Equal(t, append(want, "after"), c.agree())
		s := c.nodes[4].group.Status()
		require.Equal(t, []topology.PeerID{1, 2, 3}, s.Voters)
		require.Equal(t, []topology.PeerID{4}, s.Learners)
		require.False(t, s.IsVoter)
		require.True(t, s.Joined)
	})
}

// Three nodes survive the loss of one as soon as they are three: nothing waits for the leader's next
// look around.
func TestLearnersVoteAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		first := c.start(1, nil)
		require.NoError(t, first.group.Found(t.Context()))
		for id := range topology.PeerID(2) {
			c.start(id+2, nil)
			require.NoError(t, first.group.AddLearner(c.deadline(), id+2))
		}
		begun := time.Now()
		c.eventually("all vote", func() bool { return len(first.group.Status().Voters) == 3 })
		require.LessOrEqual(t, time.Since(begun), 4*consensus.DefaultTickInterval)
	})
}

// A leader that is cut off gives up, the others go on, and what it had taken in the
// meantime is applied once when it is back.
func TestLeaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		old := c.leader()
		c.setCut(old.id, true)
		var wg sync.WaitGroup
		for _, v := range numbered("cut off ", 3) {
			wg.Go(func() {
				if _, _, err := old.group.Propose(c.deadline(), []byte(v)); err != nil {
					t.Error(err)
				}
			})
		}
		c.eventually("the old leader gives up", func() bool {
			leader, me := c.told(old)
			return old.group.Status().Leader == 0 && leader == 0 && !me
		})
		_, err := old.group.ReadIndex(within(t, 5*time.Second))
		require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
		require.ErrorIs(t, err, consensus.ErrNoLeader)
		fresh := c.leader()
		require.NotEqual(t, old.id, fresh.id)
		c.propose(fresh, "without it")
		require.Equal(t, []string{"without it"}, fresh.list.all())
		c.setCut(old.id, false)
		wg.Wait()
		values := c.agree()
		require.Equal(t, "without it", values[0])
		require.ElementsMatch(t, append(numbered("cut off ", 3), "without it"), values)
	})
}

// When the others know that the leader is gone, one of them leads within a few ticks.
func TestLeaderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		for range 5 {
			old := c.leader()
			c.setCut(old.id, true)
			before := time.Now()
			for _, n := range c.sorted() {
				if n != old {
					n.group.LeaderGone(old.id)
				}
			}
			c.eventually("another leader", func() bool {
				for _, n := range c.sorted() {
					if n != old && n.group.Status().Role == consensus.Leader {
						return true
					}
				}
				return false
			})
			// Time passes only when all wait: this is the number of ticks.
			require.LessOrEqual(t, time.Since(before), 3*consensus.DefaultTickInterval)
			c.setCut(old.id, false)
		}
	})
}

// Who says that a leader is gone which the others hear changes nothing.
func TestLeaderIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		old := c.leader()
		term := old.group.Status().Term
		for _, n := range c.sorted() {
			if n != old {
				n.group.LeaderGone(old.id)
				break
			}
		}
		for range 30 {
			<-time.After(consensus.DefaultTickInterval)
			synctest.Wait()
		}
		require.Equal(t, old.id, c.leader().id)
		require.Equal(t, term, c.leader().group.Status().Term)
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Messages get lost and come again, much later too, leaders change, nodes are killed:
// each proposal that was answered is applied exactly once, the others at most once,
// in the same order everywhere.
func TestBadNetwork(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.options = func(o *consensus.Options) { o.SnapshotEntries, o.KeepEntries = 20, 5 }
				c.grow(size)
				c.mu.Lock()
				c.lose, c.repeat = 0.1, 0.2
				c.mu.Unlock()
				var wg sync.WaitGroup
				var mu sync.Mutex
				var acked []string
				for id := 1; id <= size; id++ {
					wg.Go(func() {
						for i := range 40 {
							c.mu.Lock()
							n := c.nodes[topology.PeerID(id)]
							c.mu.Unlock()
							if n == nil {
								continue
							}
							v := fmt.Sprintf("%d/%d", id, i)
							_, _, err := n.group.Propose(within(t, 5*time.Second), []byte(v))
							if err == nil || errors.Is(err, consensus.ErrResultLost) {
								mu.Lock()
								acked = append(acked, v)
								mu.Unlock()
							}
						}
					})
				}
				rng := rand.New(rand.NewPCG(uint64(size), 4))
				for i := range 20 {
					<-time.After(2 * time.Second)
					id := topology.PeerID(rng.IntN(size) + 1)
					switch i % 3 {
					case 0:
						c.restart(id)
					case 1:
						_ = c.nodes[id].group.TransferLeadership(within(t, time.Second), topology.PeerID(size))
					default:
						c.setCut(id, true)
						<-time.After(3 * time.Second)
						c.setCut(id, false)
					}
				}
				wg.Wait()
				c.mu.Lock()
				c.lose, c.repeat = 0, 0
				c.mu.Unlock()
				c.propose(c.nodes[1], "end")
				values := c.agree()
				require.NotEmpty(t, acked)
				seen := map[string]bool{}
				for _, v := range values {
					require.False(t, seen[v], "%s is applied twice", v)
					seen[v] = true
				}
				for _, v := range acked {
					require.True(t, seen[v], "%s is lost", v)
				}
			})
		})
	}
}

func TestFollowerCatchesUpByASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.options = func(o *consensus.Options) { o.SnapshotEntries, o.KeepEntries = 10, 3 }
		c.grow(3)
		c.leader()
		c.setCut(3, true)
		want := numbered("v", 50)
		for _, v := range want {
			c.propose(c.nodes[1], v)
		}
		before := c.nodes[3].list.restored
		c.setCut(3, false)
		require.Equal(t, want, c.agree())
		require.Greater(t, c.nodes[3].list.restored, before)
		// What came by the snapshot is on disk.
		c.setCut(3, true)
		n := c.restart(3)
		require.Subset(t, want, n.list.all())
		require.NotEmpty(t, n.list.all())
		c.setCut(3, false)
		c.start(4, nil)
		require.NoError(t, c.nodes[2].group.AddLearner(c.deadline(), 4))
		require.Equal(t, want, c.agree())
	})
}

// A snapshot that gets lost, with nobody to say so, is sent again.
func TestSnapshotGetsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		n := c.start(1, nil)
		require.NoError(t, n.group.Found(t.Context()))
		lost := 0
		c.drop = func(m *raftpb.Message) bool {
			if m.GetType() != raftpb.MsgSnap || lost == 2 {
				return false
			}
			lost++
			return true
		}
		c.start(2, nil)
		require.NoError(t, n.group.AddLearner(c.deadline(), 2))
		c.eventually("a first snapshot is lost", func() bool { return lost == 1 })
		n.group.ReportSnapshot(2, false)
		c.eventually("the learner votes", func() bool { return len(n.group.Status().Voters) == 2 })
		require.Equal(t, 2, lost)
	})
}

func TestRemovedMemberNeverComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(4)
		leader := c.leader()
		var other *node
		for _, n := range c.sorted() {
			if n != leader && n.group.Status().IsVoter {
				other = n
			}
		}
		require.NoError(t, leader.group.RemoveMember(c.deadline(), other.id))
		c.eventually("the spare node votes instead", func() bool { return len(leader.group.Status().Voters) == 3 })
		require.NotContains(t, leader.group.Status().Voters, other.id)
		err := leader.group.AddLearner(c.deadline(), other.id)
		require.Equal(t, apierror.BadInput, apierror.KindOf(err))
		require.ErrorContains(t, err, "can't come back")
		require.NoError(t, leader.group.RemoveMember(c.deadline(), other.id), "it is removed already")
		_, _, err = other.group.Propose(within(t, 10*time.Second), []byte("from outside"))
		require.Error(t, err)
		c.propose(leader, "inside")
		c.stop(other.id)
		require.Equal(t, []string{"inside"}, c.agree())

		// Nor with another disk.
		c.start(other.id, nil)
		_, _, err = c.nodes[other.id].group.Propose(within(t, 10*time.Second), []byte("from outside"))
		require.ErrorIs(t, err, consensus.ErrNoLeader)
	})
}

// The machine says who is gone; their votes would count against those that are there.
func TestMembersThatAreGoneAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var mu sync.Mutex
		gone := map[topology.PeerID]bool{}
		c.options = func(o *consensus.Options) {
			o.Gone = func(id topology.PeerID) bool {
				mu.Lock()
				defer mu.Unlock()
				return gone[id]
			}
		}
		goes := func(id topology.PeerID) {
			mu.Lock()
			defer mu.Unlock()
			gone[id] = true
		}
		c.grow(5)
		// Two are lost for good: three of five votes are left.
		for _, id := range []topology.PeerID{4, 5} {
			c.stop(id)
			goes(id)
		}
		c.eventually("the dead have no votes", func() bool { return len(c.leader().group.Status().Voters) == 3 })
		// So one more may go, the leader, as the others agree on without it.
		old := c.leader()
		goes(old.id)
		require.NoError(t, old.group.RemoveMember(c.deadline(), old.id))
		c.stop(old.id)
		c.eventually("another leads", func() bool { return c.leader() != nil && c.leader() != old })
		require.Len(t, c.leader().group.Status().Voters, 2)
		c.propose(c.leader(), "with those that are left")
		require.Equal(t, []string{"with those that are left"}, c.agree())
	})
}

// Who is removed must not leave a group that can agree on nothing.
func TestARemovalWaitsForAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		leader := c.leader()
		var others []topology.PeerID
		for _, n := range c.sorted() {
			if n != leader {
				others = append(others, n.id)
			}
		}
		disk := c.stop(others[0])
		<-time.After(5 * time.Second) // until nothing was heard of it for a while
		require.Error(t, leader.group.RemoveMember(within(t, 5*time.Second), others[1]))
		require.Len(t, leader.group.Status().Voters, 3)
		c.propose(leader, "x")
		c.start(others[0], disk)
		require.NoError(t, leader.group.RemoveMember(c.deadline(), others[1]))
		require.Len(t, leader.group.Status().Voters, 2)
	})
}

func TestLeaderRemovesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		old := c.leader()
		require.NoError(t, old.group.RemoveMember(c.deadline(), old.id))
		require.True(t, old.group.Status().Removed)
		led := 0
		for _, n := range c.sorted() {
			if n.group.Status().Role == consensus.Leader {
				led++
			}
		}
		require.Equal(t, 1, led, "it has handed over before it went")
		_, _, err := old.group.Propose(t.Context(), []byte("x"))
		require.Equal(t, apierror.Precondition, apierror.KindOf(err))
		require.Equal(t, apierror.Precondition, apierror.KindOf(old.group.Reinit(t.Context(), nil)))
		c.stop(old.id)
		c.propose(c.leader(), "without it")
		require.Equal(t, []string{"without it"}, c.agree())
		require.Len(t, c.leader().group.Status().Voters, 2)
	})
}

func TestLastMemberStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(1)
		require.Equal(t, apierror.BadInput, apierror.KindOf(c.nodes[1].group.RemoveMember(t.Context(), 1)))
		require.Equal(t, apierror.BadInput, apierror.KindOf(c.nodes[1].group.RemoveMember(t.Context(), 0)))
		require.Equal(t, apierror.BadInput, apierror.KindOf(c.nodes[1].group.AddLearner(t.Context(), math.MaxUint64)))
		require.Equal(t, apierror.BadInput, apierror.KindOf(c.nodes[1].group.TransferLeadership(t.Context(), 0)))
		require.Equal(t, apierror.BadInput, apierror.KindOf(c.nodes[1].group.TransferLeadership(t.Context(), 7)))
	})
}

func TestALearnerGetsAVoteToLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(4)
		old := c.leader()
		learner := old.group.Status().Learners[0]
		require.NoError(t, old.group.TransferLeadership(c.deadline(), learner))
		require.Equal(t, learner, c.leader().id)
		c.eventually("three vote", func() bool { return len(c.leader().group.Status().Voters) == 3 })
		require.Contains(t, c.leader().group.Status().Voters, learner)
		c.propose(old, "x")
		require.Equal(t, []string{"x"}, c.agree())
	})
}

func TestTransferLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		old := c.leader()
		require.NoError(t, old.group.TransferLeadership(c.deadline(), 0))
		fresh := c.leader()
		require.NotEqual(t, old.id, fresh.id)
		require.NoError(t, fresh.group.TransferLeadership(c.deadline(), old.id))
		require.Equal(t, old.id, c.leader().id)
		c.eventually("everybody was told", func() bool {
			for _, n := range c.sorted() {
				if leader, me := c.told(n); leader != old.id || me != (n == old) {
					return false
				}
			}
			return true
		})
	})
}

// Whoever reads after ReadIndex sees everything that was answered before, at any node.
func TestReadIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(4)
		leader := c.leader()
		for i, v := range numbered("v", 20) {
			c.propose(c.nodes[topology.PeerID(i%4+1)], v)
			reader := c.nodes[topology.PeerID((i+1)%4+1)]
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					_, err := reader.group.ReadIndex(c.deadline())
					if err != nil || !slices.Contains(reader.list.all(), v) {
						t.Errorf("%s isn't seen by %d: %v", v, reader.id, err)
					}
				})
			}
			wg.Wait()
		}
		// A leader that doesn't know yet that it doesn't lead any more answers nothing.
		c.setCut(leader.id, true)
		done := make(chan error, 1)
		go func() {
			_, err := leader.group.ReadIndex(within(t, 20*time.Second))
			done <- err
		}()
		synctest.Wait()
		require.Empty(t, done)
		require.Error(t, <-done)
	})
}

func TestLostMessagesOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		leader := c.leader()
		reader := c.nodes[leader.id%3+1]
		c.propose(leader, "x")
		lost := 0
		c.mu.Lock()
		c.drop = func(m *raftpb.Message) bool {
			if m.GetType() == raftpb.MsgReadIndexResp && lost < 3 {
				lost++
				return true
			}
			return false
		}
		c.mu.Unlock()
		_, err := reader.group.ReadIndex(c.deadline())
		require.NoError(t, err)
		require.Equal(t, 3, lost)
		require.Equal(t, []string{"x"}, reader.list.all())
	})
}

// A reader has what was committed when it asked, also when that comes after the answer.
func TestReadWaitsUntilItIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		leader := c.leader()
		reader := c.nodes[leader.id%3+1]
		late := true
		c.mu.Lock()
		c.drop = func(m *raftpb.Message) bool {
			return late && m.GetType() == raftpb.MsgApp && m.GetTo() == uint64(reader.id)
		}
		c.mu.Unlock()
		c.propose(leader, "x")
		done := make(chan error, 1)
		go func() {
			_, err := reader.group.ReadIndex(c.deadline())
			done <- err
		}()
		<-time.After(3 * time.Second)
		require.Empty(t, done)
		require.Empty(t, reader.list.all())
		c.mu.Lock()
		late = false
		c.mu.Unlock()
		require.NoError(t, <-done)
		require.Equal(t, []string{"x"}, reader.list.all())
	})
}

func TestLostProposalIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		leader := c.leader()
		lost := 0
		c.mu.Lock()
		c.drop = func(m *raftpb.Message) bool {
			if m.GetType() == raftpb.MsgProp && lost < 2 {
				lost++
				return true
			}
			return false
		}
		c.mu.Unlock()
		begin := time.Now()
		c.propose(c.nodes[leader.id%3+1], "x")
		require.Equal(t, 2, lost)
		require.Less(t, time.Since(begin), 5*time.Second)
		require.Equal(t, []string{"x"}, c.agree())
	})
}

// A proposer that learns by a snapshot that its proposal was applied hears so.
func TestResultLostInASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.options = small
		c.grow(3)
		leader := c.leader()
		far := c.nodes[leader.id%3+1]
		deaf := true
		c.mu.Lock()
		c.drop = func(m *raftpb.Message) bool { return deaf && m.GetTo() == uint64(far.id) }
		c.mu.Unlock()
		done := make(chan error, 1)
		go func() {
			_, _, err := far.group.Propose(c.deadline(), []byte("far"))
			done <- err
		}()
		c.eventually("the others have it", func() bool { return slices.Contains(leader.list.all(), "far") })
		for _, v := range numbered("v", 20) {
			c.propose(leader, v)
		}
		require.Empty(t, done)
		c.mu.Lock()
		deaf = false
		c.mu.Unlock()
		require.ErrorIs(t, <-done, consensus.ErrResultLost)
		require.Equal(t, append([]string{"far"}, numbered("v", 20)...), c.agree())
	})
}

// Who is elected leads for others only when everything of before is applied.
func TestLeaderIsAnnouncedWhenItIsUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		old := c.leader()
		next := c.nodes[old.id%3+1]
		stuck := true
		c.mu.Lock()
		c.drop = func(m *raftpb.Message) bool {
			return stuck && m.GetType() == raftpb.MsgAppResp && m.GetTo() == uint64(next.id)
		}
		c.mu.Unlock()
		require.NoError(t, old.group.TransferLeadership(c.deadline(), next.id))
		synctest.Wait()
		require.Equal(t, consensus.Leader, next.group.Status().Role)
		_, me := c.told(next)
		require.False(t, me)
		c.mu.Lock()
		stuck = false
		c.mu.Unlock()
		c.eventually("it is announced", func() bool {
			leader, me := c.told(next)
			return me && leader == next.id
		})
	})
}

// Changes of members that come again much later do nothing.
func TestLateChangesOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(2)
		leader := c.leader()
		var late []*raftpb.Message
		c.mu.Lock()
		c.drop = func(m *raftpb.Message) bool {
			if m.GetType() == raftpb.MsgProp {
				late = append(late, m)
			}
			return false
		}
		c.mu.Unlock()
		again := func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, m := range late {
				c.deliver(m)
			}
		}
		c.start(3, nil)
		require.NoError(t, c.nodes[3-leader.id].group.AddLearner(c.deadline(), 3))
		require.NotEmpty(t, late)
		c.eventually("it votes", func() bool { return len(leader.group.Status().Voters) == 3 })
		before := leader.group.Status().Commit
		again()
		c.eventually("it comes again", func() bool { return leader.group.Status().Commit > before })
		require.Len(t, leader.group.Status().Voters, 3)
		require.NoError(t, c.nodes[3-leader.id].group.RemoveMember(c.deadline(), 3))
		c.stop(3)
		before = leader.group.Status().Commit
		again()
		c.eventually("all come again", func() bool { return leader.group.Status().Commit > before })
		require.Len(t, leader.group.Status().Voters, 2)
		require.Empty(t, leader.group.Status().Learners)
		c.propose(leader, "x")
		require.Equal(t, []string{"x"}, c.agree())
	})
}

// A node that starts with nobody to talk to has what it knew to be committed.
func TestStartAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		for _, v := range numbered("v", 5) {
			c.propose(c.nodes[1], v)
		}
		c.agree()
		<-time.After(time.Second)
		for id := range topology.PeerID(3) {
			c.setCut(id+1, true)
		}
		n := c.start(2, c.kill(2, func(m *fsx.Mem) *fsx.Mem { return m.CrashClone(c.rng) }))
		require.Equal(t, numbered("v", 5), n.list.all())
	})
}

// The majority is lost: the node that is left goes on alone, with everything that it
// has. The others can't come back with what they have.
func TestReinit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(3)
		want := numbered("v", 5)
		for _, v := range want {
			c.propose(c.nodes[2], v)
		}
		c.agree()
		require.NoError(t, c.leader().group.TransferLeadership(c.deadline(), 1))
		c.leader()
		before := c.nodes[3].group.Status()
		require.Equal(t, apierror.Precondition, apierror.KindOf(c.nodes[3].group.Reinit(t.Context(), nil)), "there is a leader")
		disks := map[topology.PeerID]fsx.FS{1: c.stop(1), 2: c.stop(2)}
		last := c.nodes[3]
		c.eventually("no leader is known", func() bool { return last.group.Status().Leader == 0 })
		require.NoError(t, last.group.Reinit(t.Context(), nil))
		c.propose(last, "alone")
		s := last.group.Status()
		require.Equal(t, []topology.PeerID{3}, s.Voters)
		require.NotEqual(t, before.Group, s.Group)
		require.Greater(t, s.Term, before.Term)

		last = c.restart(3)
		require.Equal(t, append(want, "alone"), last.list.all())
		for id, disk := range disks {
			c.start(id, disk)
		}
		<-time.After(time.Minute)
		require.Equal(t, append(want, "alone"), last.list.all())
		require.Equal(t, s.Group, last.group.Status().Group)
		require.Equal(t, consensus.Leader, last.group.Status().Role)
		for id := range disks {
			c.stop(id)
		}
		// Under the number of before with another log, or under another number.
		for _, id := range []topology.PeerID{1, 4} {
			c.start(id, nil)
			require.NoError(t, last.group.AddLearner(c.deadline(), id))
			c.propose(c.nodes[id], fmt.Sprint("together with ", id))
		}
		require.Equal(t, append(want, "alone", "together with 1", "together with 4"), c.agree())
		require.NoError(t, last.group.RemoveMember(c.deadline(), 2), "who was left behind may be removed for ever")
		require.Error(t, last.group.AddLearner(c.deadline(), 2))
	})
}

// What the last node has in its log may have been answered to somebody.
func TestReinitAppliesWhatMayBeCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(2)
		require.NoError(t, c.nodes[1].group.TransferLeadership(c.deadline(), 1))
		c.leader()
		// Node 2 stores the entry and answers, and never hears that it is committed.
		c.mu.Lock()
		answered := false
		c.drop = func(m *raftpb.Message) bool {
			lost := answered && m.GetTo() == 2
			answered = answered || m.GetType() == raftpb.MsgAppResp
			return lost
		}
		c.mu.Unlock()
		c.propose(c.nodes[1], "answered")
		require.Empty(t, c.nodes[2].list.all())
		c.stop(1)
		last := c.nodes[2]
		c.eventually("no leader is known", func() bool { return last.group.Status().Leader == 0 })
		require.NoError(t, last.group.Reinit(t.Context(), nil))
		require.Equal(t, []string{"answered"}, last.list.all())
		require.Equal(t, []string{"answered"}, c.restart(2).list.all())
	})
}

func TestReinitNeedsAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		require.Equal(t, apierror.Precondition, apierror.KindOf(c.start(1, nil).group.Reinit(t.Context(), nil)))
	})
}

func TestWithoutALeaderProposalsWaitAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		n := c.start(1, nil)
		_, _, err := n.group.Propose(within(t, time.Second), []byte("x"))
		require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
		require.ErrorIs(t, err, consensus.ErrNoLeader)
		_, _, err = n.group.Propose(t.Context(), make([]byte, consensus.MaxProposal+1))
		require.Equal(t, apierror.BadRequest, apierror.KindOf(err))

		// Bytes: five of 8 MiB are too many. And those given up make room.
		for range 3 {
			<-time.After(time.Second)
			var mu sync.Mutex
			refused := 0
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					ctx := within(t, time.Second)
					if _, _, err := n.group.Propose(ctx, make([]byte, consensus.MaxProposal)); ctx.Err() == nil {
						mu.Lock()
						defer mu.Unlock()
						refused++
						if apierror.KindOf(err) != apierror.Unavailable {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			require.Equal(t, 1, refused)
		}
		<-time.After(time.Second)

		// Number, of proposals and of questions.
		var wg sync.WaitGroup
		var mu sync.Mutex
		var errs []error
		for range 5000 {
			wg.Go(func() {
				_, err := n.group.ReadIndex(within(t, time.Second))
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		for range 2000 {
			wg.Go(func() {
				_, _, err := n.group.Propose(within(t, time.Second), nil)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		wg.Wait()
		refused := 0
		for _, err := range errs {
			require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
			if !errors.Is(err, consensus.ErrNoLeader) {
				refused++
			}
		}
		require.Equal(t, 5000-4096+2000-1024, refused)
		<-time.After(time.Second)
		require.NoError(t, n.group.Found(t.Context()))
		c.propose(n, "now")
		require.Equal(t, []string{"now"}, n.list.all())
	})
}

func TestCloseReleasesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		n := c.start(1, nil)
		errs := make(chan error, 4)
		go func() { _, _, err := n.group.Propose(t.Context(), []byte("x")); errs <- err }()
		go func() { _, err := n.group.ReadIndex(t.Context()); errs <- err }()
		go func() { errs <- n.group.AddLearner(t.Context(), 2) }()
		go func() { errs <- n.group.RemoveMember(t.Context(), 2) }()
		synctest.Wait()
		require.NoError(t, n.group.Close())
		for range 4 {
			err := <-errs
			require.ErrorIs(t, err, consensus.ErrClosed)
			require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
		}
		require.NoError(t, n.group.Close())
		_, _, err := n.group.Propose(t.Context(), nil)
		require.ErrorIs(t, err, consensus.ErrClosed)
		require.ErrorIs(t, n.group.Found(t.Context()), consensus.ErrClosed)
		n.group.Step(&raftpb.Message{})
		n.group.ReportUnreachable(3)
	})
}

// What comes from the network is not trusted: it must not stop the group.
func TestNonsenseFromTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(2)
		n := c.leader()
		other := uint64(3 - n.id)
		me := uint64(n.id)
		term := n.group.Status().Term
		for kind := range raftpb.MessageType_name {
			typ := raftpb.MessageType(kind)
			for _, from := range []uint64{0, me, other, 99, math.MaxUint64, math.MaxUint64 - 1} {
				n.group.Step(&raftpb.Message{Type: &typ, From: &from})
				n.group.Step(&raftpb.Message{Type: &typ, From: &from, To: &me})
				n.group.Step(&raftpb.Message{Type: &typ, From: &from, To: &me, Entries: []*raftpb.Entry{{Data: []byte("?")}}})
				n.group.Step(&raftpb.Message{Type: &typ, From: &from, To: &me, Entries: []*raftpb.Entry{
					{Type: raftpb.EntryConfChange.Enum(), Data: []byte("?")},
				}})
				n.group.Step(&raftpb.Message{Type: &typ, From: &from, To: &me, Term: &term, Snapshot: &raftpb.Snapshot{Data: []byte("?")}})
			}
		}
		c.eventually("it goes on", func() bool { return c.leader() != nil })
		c.propose(c.nodes[1], "x")
		require.Equal(t, []string{"x"}, c.agree())
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.grow(2)
		leader := c.leader()
		follower := c.nodes[3-leader.id]
		leader.group.ReportUnreachable(follower.id)
		leader.group.ReportUnreachable(follower.id)
		leader.group.ReportUnreachable(77)
		synctest.Wait()
		require.Equal(t, map[topology.PeerID]uint64{follower.id: 2}, leader.group.Status().SendFailures)
		<-time.After(time.Second)
		s := follower.group.Status()
		require.WithinDuration(t, time.Now(), s.LastHeardFromLeader, 200*time.Millisecond)
		require.Equal(t, leader.id, s.Leader)
		require.Zero(t, s.Pending)
		require.Equal(t, "Follower", s.Role.String())
	})
}

func TestOptions(t *testing.T) {
	_, err := consensus.Open(t.Context(), consensus.Options{KeepEntries: 3, SnapshotEntries: 2, ElectionTicks: 1, TickInterval: -1})
	for _, what := range []string{"ID", "FS", "Machine", "Send", "TickInterval", "ElectionTicks", "KeepEntries"} {
		require.ErrorContains(t, err, what)
	}
}
