// Package feed hands on the states of the topology as they come, and tells each of those who follow
// it what has changed since they looked last: their work is in proportion to that, and not to what
// exists.
//
// Callers: cluster/member, cluster/coordinator.
package feed

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/cluster/topology"
)

// View is the topology after the entry of the consensus's log with this index; a node alone has no
// such log. It is never changed.
type View struct {
	*topology.State
	Index uint64
}

// Feed has the newest view. It is safe for concurrent use.
type Feed struct {
	now atomic.Pointer[View]

	mu      sync.Mutex
	changed chan struct{} // closed when a newer view is there
	readers []*Reader
}

// New returns a feed that begins with a view.
func New(v *View) *Feed {
	f := &Feed{changed: make(chan struct{})}
	f.now.Store(v)
	return f
}

// Now returns the newest view. It costs nothing.
func (f *Feed) Now() *View { return f.now.Load() }

// Newest returns the newest view and a channel that is closed when there is a newer one.
func (f *Feed) Newest() (*View, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.Load(), f.changed
}

// Publish makes a view the newest one; changes are what differs from the one before.
func (f *Feed) Publish(v *View, changes topology.Changes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.readers {
		r.news.add(&changes)
	}
	f.now.Store(v)
	close(f.changed)
	f.changed = make(chan struct{})
}

// Replace makes a view the newest one that came another way than by commands.
func (f *Feed) Replace(v *View) { f.Publish(v, topology.Diff(f.Now().State, v.State)) }

// Reader follows a feed. It belongs to one goroutine.
type Reader struct {
	feed *Feed
	news News // the feed's mu guards it
}

// Follow returns a reader, to whom at first everything is new. It costs memory until the feed itself is
// no longer used.
func (f *Feed) Follow() *Reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &Reader{feed: f}
	r.news.add(new(topology.Diff(&topology.State{}, f.now.Load().State)))
	r.news.Names, r.news.Settings = true, true
	f.readers = append(f.readers, r)
	return r
}

// Take returns the newest view, a channel that is closed when there is a newer one, and what is new since
// the last time.
func (r *Reader) Take() (v *View, changed <-chan struct{}, news News) {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	news, r.news = r.news, News{}
	return r.feed.now.Load(), r.feed.changed, news
}

// News is what has changed. What is in it may be gone by now, or be as it was; how much there is depends on
// what exists, not on how often it changed.
type News struct {
	// Collections are the incarnations of collections that came, went, or were changed
	// themselves (topology.Changes), Shards records that changed in others.
	Collections map[string]struct{}
	Shards      map[topology.ShardName]struct{}
	// Peers are those that came, went or changed.
	Peers map[topology.PeerID]struct{}
	// Names says that aliases or the list of dropped collections changed, Settings that other things
	// did that belong to the whole cluster.
	Names, Settings bool
}

func (n *News) add(c *topology.Changes) {
	for _, one := range c.Collections {
		n.Collections = with(n.Collections, one)
	}
	for _, one := range c.Shards {
		n.Shards = with(n.Shards, one)
	}
	for _, one := range c.Peers {
		n.Peers = with(n.Peers, one)
	}
	n.Names, n.Settings = n.Names || c.Names, n.Settings || c.Settings
}

func with[K comparable](set map[K]struct{}, one K) map[K]struct{} {
	if set == nil {
		set = map[K]struct{}{}
	}
	set[one] = struct{}{}
	return set
}

// Affected returns the incarnations of all collections of which something changed, ascending.
func (n *News) Affected() []string {
	all := maps.Clone(n.Collections)
	for name := range n.Shards {
		all = with(all, name.Collection)
	}
	return slices.Sorted(maps.Keys(all))
}
