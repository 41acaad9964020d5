package topology

import (
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// ChangeAliases carries out a list of alias operations, all or none.
type ChangeAliases struct {
	// Actions are carried out in order.
	Actions []*pb.AliasOperations
}

func (c ChangeAliases) apply(s *State) error {
	before := s.aliases.Copy()
	for _, a := range c.Actions {
		if err := s.changeAlias(a); err != nil {
			return err
		}
	}
	s.changes.Names = !sameEntries(before, &s.aliases, func(a, b string) bool { return a == b })
	return nil
}

func (s *State) changeAlias(a *pb.AliasOperations) error {
	switch a := a.GetAction().(type) {
	case *pb.AliasOperations_CreateAlias:
		return s.createAlias(a.CreateAlias.GetAliasName(), a.CreateAlias.GetCollectionName())
	case *pb.AliasOperations_DeleteAlias:
		s.aliases.Delete(a.DeleteAlias.GetAliasName())
		return nil
	case *pb.AliasOperations_RenameAlias:
		was := a.RenameAlias.GetOldAliasName()
		target, ok := s.aliases.Delete(was)
		if !ok {
			return apierror.New(apierror.NotFound, "Alias %s does not exists!", was)
		}
		return s.createAlias(a.RenameAlias.GetNewAliasName(), target)
	default:
		return apierror.New(apierror.BadInput, "Alias operation without an action")
	}
}

func (s *State) createAlias(alias, collection string) error {
	if alias == "" {
		return apierror.New(apierror.Validation, "alias_name must not be empty")
	}
	if _, ok := s.collections.Get(alias); ok {
		return apierror.New(apierror.AlreadyExists, "Collection `%s` already exists!", alias)
	}
	if _, err := s.own(collection); err != nil {
		return err
	}
	s.aliases.Set(alias, collection)
	return nil
}
