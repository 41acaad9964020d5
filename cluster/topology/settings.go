package topology

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/sextantdb/sextant/internal/apierror"
)

// The limits of what users may store in the topology, which every node keeps in memory.
const (
	maxMetadataKey   = 4 << 10
	maxMetadataValue = 1 << 20
)

// SetMetadata stores, replaces or (with a nil Value) removes a user's value.
type SetMetadata struct {
	// Key is the user's name for it.
	Key string
	// Value is JSON.
	Value []byte
}

func (c SetMetadata) apply(s *State) error {
	old, have := s.metadata.Get(c.Key)
	if c.Value == nil {
		if have {
			s.metadata.Delete(c.Key)
			s.changes.Settings = true
		}
		return nil
	}
	switch {
	case c.Key == "" || len(c.Key) > maxMetadataKey:
		return apierror.New(apierror.Validation, "[key: length %d invalid, must be from 1 to %d]", len(c.Key), maxMetadataKey)
	case len(c.Value) > maxMetadataValue:
		return apierror.New(apierror.Validation, "[value: %d bytes, must be at most %d]", len(c.Value), maxMetadataValue)
	case !json.Valid(c.Value):
		return apierror.New(apierror.BadInput, "The value of metadata key %s is no JSON", c.Key)
	}
	if !have || !bytes.Equal(old, c.Value) {
		s.metadata.Set(c.Key, slices.Clone(c.Value))
		s.changes.Settings = true
	}
	return nil
}

// SetClusterID gives a new cluster its identity. It is given once.
type SetClusterID struct {
	// ID tells this cluster from others.
	ID string
}

func (c SetClusterID) apply(s *State) error {
	switch {
	case c.ID == "":
		return apierror.New(apierror.BadInput, "A cluster's ID must not be empty")
	case s.clusterID == c.ID:
		return nil
	case s.clusterID != "":
		return apierror.New(apierror.Precondition, "The cluster has the ID %s", s.clusterID)
	}
	s.clusterID = c.ID
	s.changes.Settings = true
	return nil
}

// SetClusterVersion raises the cluster protocol, once every peer speaks it.
type SetClusterVersion struct {
	// Version is the protocol.
	Version uint32
}

func (c SetClusterVersion) apply(s *State) error {
	if c.Version == s.clusterVersion {
		return nil
	}
	if c.Version < s.clusterVersion {
		return apierror.New(apierror.Precondition, "The cluster's version is %d and doesn't go back to %d", s.clusterVersion, c.Version)
	}
	for _, p := range s.Peers() {
		if p.Version < c.Version {
			return apierror.New(apierror.Precondition, "Peer %d speaks version %d of the cluster's protocol, not %d", p.ID, p.Version, c.Version)
		}
	}
	s.clusterVersion = c.Version
	s.changes.Settings = true
	return nil
}
