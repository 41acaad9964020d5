// Package topology is the replicated picture of what exists: peers, collections
// with their configuration, payload schema, shard keys and shards (who holds each,
// who leads, who is in sync), transfers, aliases and the users' metadata.
//
// State is a pure state machine: Apply takes one Command and either changes the
// state and says what changed, or refuses and changes nothing. It knows no
// clock, disk or connection, so every node that applies the same commands in the
// same order holds the same state, to the byte (Encode, Hash). On a node without a
// cluster the coordinator applies commands itself and keeps the state in a Store.
//
// Callers: cluster/coordinator, cluster/consensus, cluster/controller,
// cluster/member, cluster/simulation.
package topology

import (
	"cmp"
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Collection is one collection as the cluster knows it. Values handed out by a
// State are shared: treat them as read-only.
type Collection struct {
	// Name is what clients call it.
	Name string
	// Incarnation tells this collection from an earlier one of the same name; it
	// names the collection's data on disk and in the log.
	Incarnation string
	// Config has every default spelled out.
	Config *pb.CollectionConfig
	// Schema is the payload index of each indexed field.
	Schema map[string]*pb.PayloadSchemaInfo
	// SchemaVersion grows with every change of Config and Schema.
	SchemaVersion uint64
	// Shards are the records, ascending by number.
	Shards []*Shard
	// RingEpoch grows whenever other shards are responsible for points.
	RingEpoch uint64
	// NextShard is the number of the next shard that is made; none is used twice.
	NextShard uint32
	// Keys are the shard keys with custom sharding: words first, each kind ascending.
	Keys []*KeyShards
	// Transfers are the copies that are being filled, ordered by shard, target shard
	// and peers.
	Transfers []*Transfer
}

// ShardIDs returns the shard numbers, ascending.
func (c *Collection) ShardIDs() []uint32 {
	ids := make([]uint32, len(c.Shards))
	for i, sh := range c.Shards {
		ids[i] = sh.ID
	}
	return ids
}

// Shard returns the record of a shard; nil when there is none.
func (c *Collection) Shard(id uint32) *Shard {
	if i, ok := c.find(id); ok {
		return c.Shards[i]
	}
	return nil
}

func (c *Collection) find(id uint32) (int, bool) {
	return slices.BinarySearchFunc(c.Shards, id, func(sh *Shard, id uint32) int { return cmp.Compare(sh.ID, id) })
}

// Key returns the shards of a shard key; nil when there are none.
func (c *Collection) Key(key *pb.ShardKey) *KeyShards {
	if i, ok := c.findKey(key); ok {
		return c.Keys[i]
	}
	return nil
}

func (c *Collection) findKey(key *pb.ShardKey) (int, bool) {
	return slices.BinarySearchFunc(c.Keys, key, func(k *KeyShards, key *pb.ShardKey) int { return compareKeys(k.Key, key) })
}

// name returns the name of one of its shards.
func (c *Collection) name(id uint32) ShardName {
	return ShardName{Collection: c.Incarnation, Shard: id}
}

// clone returns a copy whose own fields can be changed. What they point to is
// shared: it is replaced, never changed.
func (c *Collection) clone() *Collection {
	d := *c
	return &d
}

// State is the topology at one moment. The zero value is empty and ready. It is
// not safe for concurrent use; a state that isn't changed any more may be read
// by many.
type State struct {
	collections btree.Map[string, *Collection] // by name
	names       btree.Map[string, string]      // incarnation → name
	aliases     btree.Map[string, string]      // alias → collection
	dropped     btree.Map[string, string]      // incarnation → collection name
	peers       btree.Map[PeerID, *Peer]
	removed     btree.Map[PeerID, struct{}] // who must not come back
	metadata    btree.Map[string, []byte]
	// led counts the shards that each peer leads, for elections. It follows from the
	// records.
	led btree.Map[PeerID, int]

	lastAlloc      AllocID
	lastHistory    uint64
	clusterID      string
	clusterVersion uint32
	index          uint64

	changes Changes
}

// Clone returns a copy that can be changed without changing s. It costs the same
// for any size: what isn't changed stays shared.
func (s *State) Clone() *State {
	c := *s
	c.collections, c.names = *s.collections.Copy(), *s.names.Copy()
	c.aliases, c.dropped = *s.aliases.Copy(), *s.dropped.Copy()
	c.peers, c.removed = *s.peers.Copy(), *s.removed.Copy()
	c.metadata, c.led = *s.metadata.Copy(), *s.led.Copy()
	return &c
}

// Command is one change of the topology.
type Command interface {
	// apply checks the command against s and changes it. After an error s is thrown
	// away, so a command may find out late that it doesn't hold. Every change is noted
	// in s.changes; a command that notes none is taken as one that changed nothing.
	apply(s *State) error
}

// Apply carries out one command. An error means that the command was refused and
// s is unchanged.
func (s *State) Apply(c Command) (changed bool, err error) {
	next := s.Clone()
	next.changes = Changes{}
	if err := c.apply(next); err != nil {
		s.changes = Changes{}
		return false, err
	}
	next.changes.normalize()
	if !next.changes.Any() {
		s.changes = Changes{Results: next.changes.Results}
		return false, nil
	}
	*s = *next
	return true, nil
}

// SetIndex says which entry of the Raft log the next command is. It never goes back.
func (s *State) SetIndex(index uint64) { s.index = max(s.index, index) }

// Index returns the Raft index of the last command (SetIndex).
func (s *State) Index() uint64 { return s.index }

// LastAlloc returns the highest number that was given to a copy.
func (s *State) LastAlloc() AllocID { return s.lastAlloc }

// ClusterID returns what tells this cluster from others; empty when it has no ID yet.
func (s *State) ClusterID() string { return s.clusterID }

// ClusterVersion returns the cluster protocol that all peers are to speak.
func (s *State) ClusterVersion() uint32 { return s.clusterVersion }

// Dropped returns the deleted collections whose data may still be on disk:
// incarnation → name. Only what is listed here may be removed from a disk, so
// that a lost topology never costs data.
func (s *State) Dropped() map[string]string {
	all := make(map[string]string, s.dropped.Len())
	s.dropped.Scan(func(incarnation, name string) bool {
		all[incarnation] = name
		return true
	})
	return all
}

// Collection returns a collection by its own name or by an alias.
func (s *State) Collection(name string) (*Collection, error) {
	if target, ok := s.aliases.Get(name); ok {
		name = target
	}
	return s.own(name)
}

// own returns a collection by its own name only.
func (s *State) own(name string) (*Collection, error) {
	if c, ok := s.collections.Get(name); ok {
		return c, nil
	}
	return nil, apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", name)
}

// Incarnation returns a collection by its incarnation; nil when there is none.
func (s *State) Incarnation(incarnation string) *Collection {
	name, ok := s.names.Get(incarnation)
	if !ok {
		return nil
	}
	c, _ := s.collections.Get(name)
	return c
}

// Shard returns a shard's record; nil when there is none.
func (s *State) Shard(name ShardName) *Shard {
	if c := s.Incarnation(name.Collection); c != nil {
		return c.Shard(name.Shard)
	}
	return nil
}

// Collections returns all collections, ordered by name.
func (s *State) Collections() []*Collection { return s.collections.Values() }

// Peer returns a peer; nil when it is unknown.
func (s *State) Peer(id PeerID) *Peer {
	p, _ := s.peers.Get(id)
	return p
}

// Peers returns all peers, ordered by ID.
func (s *State) Peers() []*Peer { return s.peers.Values() }

// Removed tells whether a peer was taken out of the cluster. It never comes back under
// this ID.
func (s *State) Removed(id PeerID) bool {
	_, ok := s.removed.Get(id)
	return ok
}

// Led returns how many shards a peer leads.
func (s *State) Led(id PeerID) int {
	n, _ := s.led.Get(id)
	return n
}

// alive tells whether a peer is registered and not fenced.
func (s *State) alive(id PeerID) bool {
	p := s.Peer(id)
	return p != nil && !p.Fenced
}

// Alias is another name of a collection.
type Alias struct {
	// Name is the other name.
	Name string
	// Collection is the collection's own name.
	Collection string
}

// Aliases returns the aliases, ordered by name; those of one collection when its
// name isn't empty.
func (s *State) Aliases(collection string) []Alias {
	var list []Alias
	s.aliases.Scan(func(name, target string) bool {
		if collection == "" || target == collection {
			list = append(list, Alias{Name: name, Collection: target})
		}
		return true
	})
	return list
}

// Metadata returns a value (JSON) that a user stored under a key; ok is false when
// there is none.
func (s *State) Metadata(key string) (value []byte, ok bool) { return s.metadata.Get(key) }

// MetadataKeys returns the keys of the users' values, ascending.
func (s *State) MetadataKeys() []string { return s.metadata.Keys() }

// put stores a collection whose own fields changed.
func (s *State) put(c *Collection) {
	s.collections.Set(c.Name, c)
	s.changes.Collections = append(s.changes.Collections, c.Incarnation)
}

// putPeer stores a peer.
func (s *State) putPeer(p Peer) {
	s.peers.Set(p.ID, &p)
	s.changes.Peers = append(s.changes.Peers, p.ID)
}

// countLed notes that a peer leads more or fewer shards.
func (s *State) countLed(p PeerID, more int) {
	if p == 0 {
		return
	}
	if n := s.Led(p) + more; n != 0 {
		s.led.Set(p, n)
	} else {
		s.led.Delete(p)
	}
}

// newAlloc returns the number of a new copy.
func (s *State) newAlloc() AllocID {
	s.lastAlloc++
	return s.lastAlloc
}

// newHistory returns the identity of a new log.
func (s *State) newHistory() uint64 {
	s.lastHistory++
	return s.lastHistory
}

// shardOf finds a shard and its collection.
func (s *State) shardOf(name ShardName) (*Collection, *Shard, error) {
	c := s.Incarnation(name.Collection)
	if c == nil {
		return nil, nil, apierror.New(apierror.NotFound, "Collection of shard %d doesn't exist (any more)", name.Shard)
	}
	sh := c.Shard(name.Shard)
	if sh == nil {
		return nil, nil, apierror.New(apierror.NotFound, "Shard %d of collection %s does not exist", name.Shard, c.Name)
	}
	return c, sh, nil
}

// edit changes the shards of a collection that match, each on a copy. A record that is
// another one afterwards gets the next version. f must not put the collection itself.
func (s *State) edit(c *Collection, match func(*Shard) bool, f func(*Shard)) {
	var next *Collection
	for i, old := range c.Shards {
		if !match(old) {
			continue
		}
		sh := old.clone()
		f(sh)
		if sh.equal(old) {
			continue
		}
		sh.Version = old.Version + 1
		if next == nil {
			next = c.clone()
			next.Shards = slices.Clone(c.Shards)
		}
		next.Shards[i] = sh
		s.countLed(old.Leader, -1)
		s.countLed(sh.Leader, +1)
		s.changes.Shards = append(s.changes.Shards, c.name(sh.ID))
	}
	if next != nil {
		s.collections.Set(c.Name, next)
	}
}

// editAll is edit for the shards of every collection.
func (s *State) editAll(match func(*Shard) bool, f func(*Collection, *Shard)) {
	for _, c := range s.Collections() {
		s.edit(c, match, func(sh *Shard) { f(c, sh) })
	}
}

// editShard is edit for one shard, which exists.
func (s *State) editShard(name ShardName, f func(*Shard)) {
	s.edit(s.Incarnation(name.Collection), func(sh *Shard) bool { return sh.ID == name.Shard }, f)
}

// cloneSchema returns a copy that shares nothing.
func cloneSchema(schema map[string]*pb.PayloadSchemaInfo) map[string]*pb.PayloadSchemaInfo {
	out := maps.Clone(schema)
	for field, s := range out {
		out[field] = proto.CloneOf(s)
	}
	return out
}
