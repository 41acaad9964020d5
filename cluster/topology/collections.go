package topology

import (
	"errors"
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/internal/apierror"
)

// CreateCollection adds a collection with its shards.
type CreateCollection struct {
	// Collection has name, incarnation, configuration (complete and valid), schema and
	// the numbers of the shards; the command makes the rest of it.
	Collection *Collection
	// Placement names the peers that hold each shard, in the order of the shards. Empty
	// on a node without a cluster: then shards have no replicas.
	Placement [][]PeerID
}

func (c CreateCollection) apply(s *State) error {
	if err := c.check(s); err != nil {
		return err
	}
	name := c.Collection.Name
	next := &Collection{
		Name: name, Incarnation: c.Collection.Incarnation, Config: proto.CloneOf(c.Collection.Config),
		Schema: cloneSchema(c.Collection.Schema), SchemaVersion: 1, RingEpoch: 1,
	}
	for i, sh := range c.Collection.Shards {
		made := &Shard{ID: sh.ID}
		if len(c.Placement) > 0 {
			s.place(made, c.Placement[i])
		}
		next.Shards = append(next.Shards, made)
		next.NextShard = sh.ID + 1
	}
	s.names.Set(next.Incarnation, name)
	s.put(next)
	return nil
}

func (c CreateCollection) check(s *State) error {
	n := c.Collection
	if n == nil || n.Name == "" || n.Incarnation == "" || n.Config.GetParams() == nil {
		return apierror.New(apierror.BadInput, "A collection needs a name, an incarnation and a configuration")
	}
	if _, ok := s.collections.Get(n.Name); ok {
		return apierror.New(apierror.AlreadyExists, "Collection `%s` already exists!", n.Name)
	}
	if _, ok := s.aliases.Get(n.Name); ok {
		return apierror.New(apierror.BadInput, "Can't create collection with name %s. Alias with the same name already exists", n.Name)
	}
	_, used := s.names.Get(n.Incarnation)
	if _, dropped := s.dropped.Get(n.Incarnation); used || dropped {
		return apierror.New(apierror.BadInput, "Incarnation %s of collection %s was used before", n.Incarnation, n.Name)
	}
	if len(n.Shards) > maxShards {
		return apierror.New(apierror.BadInput, "A collection has at most %d shards", maxShards)
	}
	for i, sh := range n.Shards {
		if sh.ID > lastShard || i > 0 && n.Shards[i-1].ID >= sh.ID {
			return apierror.New(apierror.BadInput, "Shard numbers of collection %s don't ascend", n.Name)
		}
	}
	if len(c.Placement) != len(n.Shards) && (len(c.Placement) > 0 || s.peers.Len() > 0) {
		return apierror.New(apierror.BadInput, "%d placements for %d shards", len(c.Placement), len(n.Shards))
	}
	return s.checkPlacement(c.Placement)
}

// lastShard bounds shard numbers, so that there is always a next one.
const lastShard = 1 << 30

// checkPlacement says what is wrong with the peers that are to hold new shards. Shards
// without any are those of a node without a cluster.
func (s *State) checkPlacement(placement [][]PeerID) error {
	for _, peers := range placement {
		if len(peers) == 0 && s.peers.Len() > 0 {
			return apierror.New(apierror.BadRequest, "A shard needs at least one peer")
		}
		for i, p := range peers {
			if s.Peer(p) == nil {
				return noPeer(p)
			}
			if slices.Contains(peers[:i], p) {
				return apierror.New(apierror.BadRequest, "Peer %d is named twice for one shard", p)
			}
		}
	}
	return nil
}

// place gives a new shard its first copies. Nothing was written yet, so all are in sync;
// fenced peers aren't, if there is another one: nobody should wait for them.
func (s *State) place(sh *Shard, peers []PeerID) {
	if len(peers) == 0 {
		return
	}
	sh.History, sh.Version = s.newHistory(), 1
	for _, p := range slices.Sorted(slices.Values(peers)) {
		sh.setReplica(Replica{Peer: p, Alloc: s.newAlloc(), Kind: Voter})
		if s.alive(p) {
			sh.InSync = append(sh.InSync, p)
		}
	}
	if len(sh.InSync) == 0 {
		sh.InSync = slices.Sorted(slices.Values(peers))
	}
	sh.Epoch, sh.Leader = 1, s.elect(sh, 0)
	s.countLed(sh.Leader, +1)
}

// DeleteCollection removes a collection, its aliases and transfers. A missing one is no
// error.
type DeleteCollection struct {
	// Name is the collection's own name.
	Name string
}

func (c DeleteCollection) apply(s *State) error {
	old, ok := s.collections.Get(c.Name)
	if !ok {
		return nil
	}
	for _, sh := range old.Shards {
		s.countLed(sh.Leader, -1)
	}
	s.dropped.Set(old.Incarnation, old.Name)
	s.collections.Delete(c.Name)
	s.names.Delete(old.Incarnation)
	for _, a := range s.Aliases(c.Name) {
		s.aliases.Delete(a.Name)
	}
	s.changes.Collections = append(s.changes.Collections, old.Incarnation)
	s.changes.Names = true
	return nil
}

// ForgetDropped says that the data of a deleted collection is gone.
type ForgetDropped struct {
	// Incarnation is the collection that was deleted.
	Incarnation string
}

func (c ForgetDropped) apply(s *State) error {
	if _, ok := s.dropped.Delete(c.Incarnation); ok {
		s.changes.Names = true
	}
	return nil
}

// ReplaceConfig gives a collection another configuration. Its replication factor says
// how many copies there should be; making them is up to the controller.
type ReplaceConfig struct {
	// Name is the collection's own name.
	Name string
	// Config must be complete and valid.
	Config *pb.CollectionConfig
	// Seen is the schema version that Config was made from, 0 is any: a change that came in between
	// must not be lost, so then the command is refused (ErrChanged).
	Seen uint64
}

// ErrChanged is why a change is refused that was made from an older form of a collection.
var ErrChanged = errors.New("the collection was changed meanwhile")

func (c ReplaceConfig) apply(s *State) error {
	old, err := s.own(c.Name)
	if err != nil {
		return err
	}
	if c.Config.GetParams() == nil {
		return apierror.New(apierror.BadInput, "A collection needs a configuration")
	}
	if c.Seen != 0 && c.Seen != old.SchemaVersion {
		return apierror.New(apierror.Precondition, "Collection `%s`: %w", c.Name, ErrChanged)
	}
	if proto.Equal(old.Config, c.Config) {
		return nil
	}
	next := old.clone()
	next.Config = proto.CloneOf(c.Config)
	next.SchemaVersion++
	s.put(next)
	return nil
}

// SetField adds, replaces or (with a nil Schema) removes a field's payload index.
type SetField struct {
	// Name is the collection's own name.
	Name string
	// Field is the path of the field.
	Field string
	// Schema describes the index, without the number of points.
	Schema *pb.PayloadSchemaInfo
}

func (c SetField) apply(s *State) error {
	old, err := s.own(c.Name)
	if err != nil {
		return err
	}
	if proto.Equal(old.Schema[c.Field], c.Schema) {
		return nil
	}
	next := old.clone()
	if next.Schema = maps.Clone(old.Schema); next.Schema == nil {
		next.Schema = map[string]*pb.PayloadSchemaInfo{}
	}
	if c.Schema == nil {
		delete(next.Schema, c.Field)
	} else {
		next.Schema[c.Field] = proto.CloneOf(c.Schema)
	}
	next.SchemaVersion++
	s.put(next)
	return nil
}
