package topology

import (
	"cmp"
	"fmt"
	"slices"
)

// Check says what is wrong with a state: one that is made by commands is never wrong.
// It is for states that come from elsewhere, and for tests.
func (s *State) Check() error {
	allocs := map[AllocID]bool{}
	led := map[PeerID]int{}
	for _, c := range s.Collections() {
		if err := s.checkCollection(c, allocs, led); err != nil {
			return fmt.Errorf("collection %s: %w", c.Name, err)
		}
	}
	if len(led) != s.led.Len() {
		return fmt.Errorf("%d leaders, %d are counted", len(led), s.led.Len())
	}
	for p, n := range led {
		if s.Led(p) != n {
			return fmt.Errorf("peer %d leads %d shards, counted are %d", p, n, s.Led(p))
		}
	}
	for _, p := range s.Peers() {
		if s.Removed(p.ID) {
			return fmt.Errorf("peer %d is there and removed", p.ID)
		}
		if p.ID == 0 || p.URI == "" && !p.Fenced || p.Incarnation == 0 {
			return fmt.Errorf("peer %d has no ID, address or incarnation", p.ID)
		}
	}
	for _, a := range s.Aliases("") {
		_, taken := s.collections.Get(a.Name)
		if _, err := s.own(a.Collection); err != nil || taken || a.Name == "" {
			return fmt.Errorf("alias %q of collection %q", a.Name, a.Collection)
		}
	}
	return nil
}

func (s *State) checkCollection(c *Collection, allocs map[AllocID]bool, led map[PeerID]int) error {
	_, dropped := s.dropped.Get(c.Incarnation)
	if c.Name == "" || c.Incarnation == "" || c.Config == nil || dropped || s.Incarnation(c.Incarnation) != c {
		return fmt.Errorf("incarnation %q", c.Incarnation)
	}
	if !ascending(c.Shards, func(a, b *Shard) int { return cmp.Compare(a.ID, b.ID) }) {
		return fmt.Errorf("shards %d don't ascend", c.ShardIDs())
	}
	for _, sh := range c.Shards {
		if sh.ID >= c.NextShard {
			return fmt.Errorf("shard %d, the next one is %d", sh.ID, c.NextShard)
		}
		if err := s.checkShard(sh, allocs); err != nil {
			return fmt.Errorf("shard %d: %w", sh.ID, err)
		}
		if sh.Leader != 0 {
			led[sh.Leader]++
		}
	}
	if err := c.checkKeys(); err != nil {
		return err
	}
	return s.checkTransfers(c)
}

func (s *State) checkShard(sh *Shard, allocs map[AllocID]bool) error {
	if !ascending(sh.Replicas, func(a, b Replica) int { return cmp.Compare(a.Peer, b.Peer) }) || !ascending(sh.InSync, cmp.Compare[PeerID]) {
		return fmt.Errorf("replicas %v or copies in sync %d don't ascend", sh.Replicas, sh.InSync)
	}
	for _, r := range sh.Replicas {
		if r.Alloc == 0 || r.Alloc > s.lastAlloc || allocs[r.Alloc] || r.Kind > Resharding || s.Peer(r.Peer) == nil {
			return fmt.Errorf("replica %v", r)
		}
		allocs[r.Alloc] = true
	}
	for _, p := range sh.InSync {
		if r, ok := sh.Replica(p); !ok || r.Kind != Voter {
			return fmt.Errorf("peer %d is in sync without a vote", p)
		}
	}
	if sh.Leader != 0 && (!sh.IsInSync(sh.Leader) || !s.alive(sh.Leader)) {
		return fmt.Errorf("peer %d leads, but isn't in sync, or gone", sh.Leader)
	}
	if _, ok := sh.Replica(sh.Preferred); !ok && sh.Preferred != 0 {
		return fmt.Errorf("peer %d is preferred without a copy", sh.Preferred)
	}
	if sh.History > s.lastHistory {
		return fmt.Errorf("history %d", sh.History)
	}
	return nil
}

func (c *Collection) checkKeys() error {
	if !ascending(c.Keys, func(a, b *KeyShards) int { return compareKeys(a.Key, b.Key) }) {
		return fmt.Errorf("%d shard keys don't ascend", len(c.Keys))
	}
	keyed := 0
	for _, k := range c.Keys {
		if !ascending(k.Pool, cmp.Compare[PeerID]) {
			return fmt.Errorf("peers %d of key %s don't ascend", k.Pool, keyText(k.Key))
		}
		for i, id := range k.Shards {
			sh := c.Shard(id)
			if k.Key.GetKey() == nil || sh == nil || sh.Key == nil || compareKeys(sh.Key, k.Key) != 0 || i > 0 && k.Shards[i-1] >= id {
				return fmt.Errorf("shard %d of key %s", id, keyText(k.Key))
			}
			keyed++
		}
	}
	for _, sh := range c.Shards {
		if sh.Key != nil {
			keyed--
		}
	}
	if keyed != 0 {
		return fmt.Errorf("shards and shard keys don't match by %d", keyed)
	}
	return nil
}

func (s *State) checkTransfers(c *Collection) error {
	if !ascending(c.Transfers, compareTransfers) {
		return fmt.Errorf("%d transfers don't ascend", len(c.Transfers))
	}
	for _, t := range c.Transfers {
		from, to := c.Shard(t.Shard), c.Shard(t.target())
		if from == nil || to == nil {
			return fmt.Errorf("transfer of shard %d", t.Shard)
		}
		_, hasSource := from.Replica(t.From)
		r, hasTarget := to.Replica(t.To)
		if !hasSource || !hasTarget || r.Alloc != t.Alloc || t.ToShard == nil && to.IsInSync(t.To) {
			return fmt.Errorf("transfer of shard %d from peer %d to peer %d", t.Shard, t.From, t.To)
		}
	}
	return nil
}

// ascending tells whether every element is above the one before.
func ascending[T any](list []T, compare func(a, b T) int) bool {
	return slices.IsSortedFunc(list, compare) && len(slices.CompactFunc(slices.Clone(list), func(a, b T) bool { return compare(a, b) == 0 })) == len(list)
}
