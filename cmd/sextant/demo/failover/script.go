package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Play does the script: it kills the node that leads most shards while clients write and search,
// waits until its shards take writes again, lets the load go on without it, brings it back, waits
// until all copies are in sync, and proves that nothing is lost.
func (s *Show) Play(ctx context.Context) error {
	s.view.say("\nThe cluster under load: %d writers and %d searchers take turns over the nodes; "+
		"a request that fails is tried once more on another.", writers, searchers)
	if err := s.underLoad(ctx, s.script); err != nil {
		return err
	}
	s.sum()
	return s.Prove(ctx)
}

func (s *Show) script(ctx context.Context) error {
	err := s.until(ctx, "all copies are in sync on nodes that all vote", func(p *Picture) bool {
		return p.whole() && !slices.ContainsFunc(p.Nodes, func(n Node) bool { return !n.Voter })
	})
	if err != nil {
		return err
	}
	if err := rest(ctx, s.Pace); err != nil {
		return err
	}
	p, _ := s.now()
	victim, ok := p.busiest()
	if !ok {
		return errors.New("no node leads a shard")
	}
	if err := s.lose(ctx, victim, p.led(victim)); err != nil {
		return err
	}
	if err := rest(ctx, s.Pace); err != nil {
		return err
	}
	if err := s.bringBack(ctx, victim); err != nil {
		return err
	}
	return rest(ctx, s.Pace/2)
}

// lose kills a node and waits until each shard that it led has acknowledged a write again.
func (s *Show) lose(ctx context.Context, victim int, led []uint32) error {
	s.view.say(">> kill -9 node %d, which leads %s", victim+1, shards(led))
	killed := time.Now()
	s.ledger.watch(killed)
	if err := s.Nodes.Kill(victim); err != nil {
		return err
	}
	err := s.until(ctx, shards(led)+" have new leaders and take writes", func(p *Picture) bool {
		for _, id := range led {
			if _, ok := s.ledger.firstWrite(id); !ok {
				return false
			}
		}
		return len(p.led(victim)) == 0
	})
	if err != nil {
		return err
	}
	t := newTable("shard", "led by", "now led by", "first write acknowledged after")
	p, _ := s.now()
	var longest time.Duration
	for _, id := range led {
		took, _ := s.ledger.firstWrite(id)
		longest = max(longest, took)
		leader := -1
		if i := slices.IndexFunc(p.Shards, func(sh Shard) bool { return sh.ID == id }); i >= 0 {
			leader = p.Shards[i].Leader
		}
		t.AppendRow([]any{id, name(victim), name(leader), fmt.Sprintf("%d ms", took.Milliseconds())})
	}
	s.view.say("%s\n>> new leaders: every shard takes writes again %d ms after the kill", t.Render(), longest.Milliseconds())
	return nil
}

// bringBack starts a node again and waits until all copies are in sync.
func (s *Show) bringBack(ctx context.Context, node int) error {
	s.view.say(">> start node %d again; it missed what was written meanwhile", node+1)
	began := time.Now()
	if err := s.Nodes.Heal(ctx, node); err != nil {
		return err
	}
	s.view.say(">> node %d answers after %d ms", node+1, time.Since(began).Milliseconds())
	if err := s.until(ctx, "all copies are in sync again", (*Picture).whole); err != nil {
		return err
	}
	s.view.say(">> node %d is back: all copies in sync %d ms after its start", node+1, time.Since(began).Milliseconds())
	return nil
}

// sum prints what became of the load.
func (s *Show) sum() {
	writes, reads := s.ledger.tallies(false)
	s.view.say(">> load stopped: %d writes acknowledged (%d at the second attempt), %d failed; %d searches answered (%d at the second attempt), %d failed",
		writes.OK, writes.Retried, writes.Failed, reads.OK, reads.Retried, reads.Failed)
	for _, t := range []Tally{writes, reads} {
		if t.Fault != nil {
			s.view.say("   the last failure: %s", oneLine(t.Fault))
		}
	}
}

// shards is a list of shards in words.
func shards(ids []uint32) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatUint(uint64(id), 10)
	}
	if len(words) == 1 {
		return "shard " + words[0]
	}
	last := len(words) - 1
	return "shards " + strings.Join(words[:last], ", ") + " and " + words[last]
}
