package topology

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidwall/btree"
)

// Changes is what one or more commands changed.
type Changes struct {
	// Collections are the incarnations of collections that were made or deleted, or
	// whose own fields changed: configuration, schema, which shards there are, shard
	// keys, transfers. Ascending.
	Collections []string
	// Shards are the records that changed, in collections that were there before.
	// Ascending.
	Shards []ShardName
	// Peers are those that came, went or changed, ascending.
	Peers []PeerID
	// Names says that aliases changed or the list of dropped collections; Settings
	// that metadata, the cluster's ID or its version did.
	Names, Settings bool
	// Events are what people should know about, in order.
	Events []Event
	// Results are the verdicts on the parts of a batch (AlterMany), nil for those that
	// were carried out.
	Results []error
}

// Event is something that people should know about.
type Event struct {
	// Shard and Peer are what it is about, as far as it is about one.
	Shard ShardName
	Peer  PeerID
	// Text says what happened.
	Text string
}

// Changed returns what the last command changed. It is empty after one that was refused
// or changed nothing, but for Results.
func (s *State) Changed() Changes { return s.changes }

// Any tells whether anything changed.
func (c *Changes) Any() bool {
	return len(c.Collections) > 0 || len(c.Shards) > 0 || len(c.Peers) > 0 || c.Names || c.Settings
}

// Add adds what later commands changed. Results aren't added: they belong to one command.
func (c *Changes) Add(later Changes) {
	c.Collections = append(slices.Clip(c.Collections), later.Collections...)
	c.Shards = append(slices.Clip(c.Shards), later.Shards...)
	c.Peers = append(slices.Clip(c.Peers), later.Peers...)
	c.Events = append(slices.Clip(c.Events), later.Events...)
	c.Names, c.Settings = c.Names || later.Names, c.Settings || later.Settings
	c.normalize()
}

// normalize sorts what is sorted, and drops what is listed twice.
func (c *Changes) normalize() {
	slices.Sort(c.Collections)
	c.Collections = slices.Compact(c.Collections)
	slices.SortFunc(c.Shards, compareShardNames)
	c.Shards = slices.Compact(c.Shards)
	slices.Sort(c.Peers)
	c.Peers = slices.Compact(c.Peers)
}

func compareShardNames(a, b ShardName) int {
	return cmp.Or(cmp.Compare(a.Collection, b.Collection), cmp.Compare(a.Shard, b.Shard))
}

// event notes something that people should know about.
func (s *State) event(c *Collection, shard uint32, p PeerID, format string, args ...any) {
	e := Event{Peer: p, Text: fmt.Sprintf(format, args...)}
	if c != nil {
		e.Shard = c.name(shard)
		e.Text = fmt.Sprintf("shard %d of collection %s: %s", shard, c.Name, e.Text)
	}
	s.changes.Events = append(s.changes.Events, e)
}

// Diff returns what differs between two states, without events: for whoever follows a
// state and missed commands (a snapshot came instead). Records that both states share
// cost one comparison.
func Diff(old, next *State) Changes {
	var d Changes
	for _, c := range old.Collections() {
		n := next.Incarnation(c.Incarnation)
		switch {
		case n == nil:
			d.Collections = append(d.Collections, c.Incarnation)
		case n != c:
			d.collection(c, n)
		}
	}
	for _, c := range next.Collections() {
		if old.Incarnation(c.Incarnation) == nil {
			d.Collections = append(d.Collections, c.Incarnation)
		}
	}
	for _, p := range old.Peers() {
		if n := next.Peer(p.ID); n == nil || *n != *p {
			d.Peers = append(d.Peers, p.ID)
		}
	}
	for _, p := range next.Peers() {
		if old.Peer(p.ID) == nil {
			d.Peers = append(d.Peers, p.ID)
		}
	}
	d.Names = !sameEntries(&old.aliases, &next.aliases, func(a, b string) bool { return a == b }) ||
		!sameEntries(&old.dropped, &next.dropped, func(a, b string) bool { return a == b })
	d.Settings = old.clusterID != next.clusterID || old.clusterVersion != next.clusterVersion ||
		!sameEntries(&old.metadata, &next.metadata, slices.Equal[[]byte])
	d.normalize()
	return d
}

// collection adds what differs between two forms of a collection.
func (c *Changes) collection(old, next *Collection) {
	own := old.SchemaVersion != next.SchemaVersion || old.RingEpoch != next.RingEpoch || old.NextShard != next.NextShard ||
		!slices.EqualFunc(old.Transfers, next.Transfers, (*Transfer).equal) ||
		!slices.EqualFunc(old.Keys, next.Keys, func(a, b *KeyShards) bool { return slices.Equal(a.Pool, b.Pool) })
	for _, sh := range next.Shards {
		if was := old.Shard(sh.ID); was != nil && was != sh && !was.equal(sh) {
			c.Shards = append(c.Shards, next.name(sh.ID))
		}
	}
	if own {
		c.Collections = append(c.Collections, next.Incarnation)
	}
}

func (t *Transfer) equal(o *Transfer) bool {
	if t == o {
		return true
	}
	a, b := *t, *o
	a.ToShard, b.ToShard = nil, nil
	return a == b && equalNumber(t.ToShard, o.ToShard)
}

// sameEntries compares two maps entry by entry.
func sameEntries[V any](a, b *btree.Map[string, V], equal func(a, b V) bool) bool {
	if a.Len() != b.Len() {
		return false
	}
	same := true
	a.Scan(func(key string, v V) bool {
		w, ok := b.Get(key)
		same = ok && equal(v, w)
		return same
	})
	return same
}
