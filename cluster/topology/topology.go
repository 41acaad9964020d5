// Package topology is the replicated picture of what exists: collections with
// their configuration, payload schema and shards, and aliases.
//
// State is a pure state machine: Apply takes one Command and either changes the
// state and says what changed, or refuses and changes nothing. It knows no
// clock, disk or peer, so every node that applies the same commands in the same
// order holds the same state. On a node without a cluster the coordinator
// applies commands itself and keeps the state in a Store.
//
// Callers: cluster/coordinator.
package topology

import (
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
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
	// Shards lists the shard numbers, ascending.
	Shards []uint32
}

// clone returns a copy that shares nothing mutable.
func (c *Collection) clone() *Collection {
	d := *c
	d.Config = proto.CloneOf(c.Config)
	d.Schema = maps.Clone(c.Schema) // values are replaced, never changed
	d.Shards = slices.Clone(c.Shards)
	return &d
}

// State is the topology at one moment. The zero value is empty and ready. It is
// not safe for concurrent use.
type State struct {
	collections map[string]*Collection
	aliases     map[string]string // alias → collection
	dropped     map[string]string // incarnation → collection name
}

// Clone returns a copy that can be changed without changing s. Collections are
// shared: they are replaced, never changed.
func (s *State) Clone() *State {
	return &State{collections: maps.Clone(s.collections), aliases: maps.Clone(s.aliases), dropped: maps.Clone(s.dropped)}
}

// Dropped returns the deleted collections whose data may still be on disk:
// incarnation → name. Only what is listed here may be removed from a disk, so
// that a lost topology never costs data.
func (s *State) Dropped() map[string]string { return maps.Clone(s.dropped) }

// Collection returns a collection by its own name or by an alias.
func (s *State) Collection(name string) (*Collection, error) {
	if target, ok := s.aliases[name]; ok {
		name = target
	}
	if c, ok := s.collections[name]; ok {
		return c, nil
	}
	return nil, apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", name)
}

// Collections returns all collections, ordered by name.
func (s *State) Collections() []*Collection {
	return slices.SortedFunc(maps.Values(s.collections), func(a, b *Collection) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
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
	for _, name := range slices.Sorted(maps.Keys(s.aliases)) {
		if target := s.aliases[name]; collection == "" || target == collection {
			list = append(list, Alias{Name: name, Collection: target})
		}
	}
	return list
}

// Command is one change of the topology.
type Command interface {
	// apply checks the command against s and changes s only if it holds. It
	// reports whether anything changed.
	apply(s *State) (bool, error)
}

// Apply carries out one command. An error means that the command was refused and
// s is unchanged.
func (s *State) Apply(c Command) (changed bool, err error) {
	if s.collections == nil {
		s.collections, s.aliases, s.dropped = map[string]*Collection{}, map[string]string{}, map[string]string{}
	}
	return c.apply(s)
}

// CreateCollection adds a collection.
type CreateCollection struct {
	// Collection is added as it is; its Config must be complete and valid.
	Collection *Collection
}

func (c CreateCollection) apply(s *State) (bool, error) {
	name := c.Collection.Name
	if _, ok := s.collections[name]; ok {
		return false, apierror.New(apierror.AlreadyExists, "Collection `%s` already exists!", name)
	}
	if _, ok := s.aliases[name]; ok {
		return false, apierror.New(apierror.BadInput, "Can't create collection with name %s. Alias with the same name already exists", name)
	}
	s.collections[name] = c.Collection.clone()
	return true, nil
}

// DeleteCollection removes a collection and its aliases. A missing one is no
// error.
type DeleteCollection struct {
	// Name is the collection's own name.
	Name string
}

func (c DeleteCollection) apply(s *State) (bool, error) { //nolint:unparam // a Command may refuse, this one never does
	old, ok := s.collections[c.Name]
	if !ok {
		return false, nil
	}
	s.dropped[old.Incarnation] = old.Name
	delete(s.collections, c.Name)
	maps.DeleteFunc(s.aliases, func(_, target string) bool { return target == c.Name })
	return true, nil
}

// ForgetDropped says that the data of a deleted collection is gone.
type ForgetDropped struct {
	// Incarnation is the collection that was deleted.
	Incarnation string
}

func (c ForgetDropped) apply(s *State) (bool, error) { //nolint:unparam // as above
	_, ok := s.dropped[c.Incarnation]
	delete(s.dropped, c.Incarnation)
	return ok, nil
}

// ReplaceConfig gives a collection another configuration.
type ReplaceConfig struct {
	// Name is the collection's own name.
	Name string
	// Config must be complete and valid.
	Config *pb.CollectionConfig
}

func (c ReplaceConfig) apply(s *State) (bool, error) {
	old, err := s.own(c.Name)
	if err != nil {
		return false, err
	}
	if proto.Equal(old.Config, c.Config) {
		return false, nil
	}
	next := old.clone()
	next.Config = proto.CloneOf(c.Config)
	s.collections[c.Name] = next
	return true, nil
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

func (c SetField) apply(s *State) (bool, error) {
	old, err := s.own(c.Name)
	if err != nil {
		return false, err
	}
	if proto.Equal(old.Schema[c.Field], c.Schema) {
		return false, nil
	}
	next := old.clone()
	if next.Schema == nil {
		next.Schema = map[string]*pb.PayloadSchemaInfo{}
	}
	if c.Schema == nil {
		delete(next.Schema, c.Field)
	} else {
		next.Schema[c.Field] = proto.CloneOf(c.Schema)
	}
	s.collections[c.Name] = next
	return true, nil
}

// ChangeAliases carries out a list of alias operations, all or none.
type ChangeAliases struct {
	// Actions are carried out in order.
	Actions []*pb.AliasOperations
}

func (c ChangeAliases) apply(s *State) (bool, error) {
	next := maps.Clone(s.aliases)
	for _, a := range c.Actions {
		if err := s.changeAlias(next, a); err != nil {
			return false, err
		}
	}
	changed := !maps.Equal(next, s.aliases)
	s.aliases = next
	return changed, nil
}

func (s *State) changeAlias(aliases map[string]string, a *pb.AliasOperations) error {
	switch a := a.GetAction().(type) {
	case *pb.AliasOperations_CreateAlias:
		return s.createAlias(aliases, a.CreateAlias.GetAliasName(), a.CreateAlias.GetCollectionName())
	case *pb.AliasOperations_DeleteAlias:
		delete(aliases, a.DeleteAlias.GetAliasName())
		return nil
	case *pb.AliasOperations_RenameAlias:
		was := a.RenameAlias.GetOldAliasName()
		target, ok := aliases[was]
		if !ok {
			return apierror.New(apierror.NotFound, "Alias %s does not exists!", was)
		}
		delete(aliases, was)
		return s.createAlias(aliases, a.RenameAlias.GetNewAliasName(), target)
	default:
		return apierror.New(apierror.BadInput, "Alias operation without an action")
	}
}

func (s *State) createAlias(aliases map[string]string, alias, collection string) error {
	if alias == "" {
		return apierror.New(apierror.Validation, "alias_name must not be empty")
	}
	if _, ok := s.collections[alias]; ok {
		return apierror.New(apierror.AlreadyExists, "Collection `%s` already exists!", alias)
	}
	if _, ok := s.collections[collection]; !ok {
		return apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", collection)
	}
	aliases[alias] = collection
	return nil
}

// own returns a collection by its own name only.
func (s *State) own(name string) (*Collection, error) {
	if c, ok := s.collections[name]; ok {
		return c, nil
	}
	return nil, apierror.New(apierror.NotFound, "Collection `%s` doesn't exist!", name)
}
