package topology

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"slices"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sextantdb/sextant/internal/fsx"
)

// ErrCorrupted says that the stored topology isn't what was written.
var ErrCorrupted = errors.New("topology file is corrupted")

// storeHeader is the first line of the file: format version and CRC-32C of all
// bytes behind the line.
const storeHeader = "sextant-topology 1 %08x\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store keeps a State in one file, replaced atomically at each Save
// (docs/format/topology.md), and beside it a reserve: a file of no meaning on whose
// blocks a deletion can be recorded when the disk has no other.
type Store struct {
	// FS is the file system.
	FS fsx.FS
	// Path is the file.
	Path string
}

type storedState struct {
	Collections []storedCollection `json:"collections"`
	Aliases     map[string]string  `json:"aliases,omitempty"`
	Dropped     map[string]string  `json:"dropped,omitempty"`
}

type storedCollection struct {
	Name          string                     `json:"name"`
	Incarnation   string                     `json:"incarnation"`
	Config        json.RawMessage            `json:"config"`
	Schema        map[string]json.RawMessage `json:"schema,omitempty"`
	SchemaVersion uint64                     `json:"schema_version,omitempty"`
	Shards        []uint32                   `json:"shards"`
	RingEpoch     uint64                     `json:"ring_epoch,omitempty"`
	NextShard     uint32                     `json:"next_shard,omitempty"`
	Keys          []storedKey                `json:"keys,omitempty"`
	Partial       []uint32                   `json:"partial,omitempty"`
}

type storedKey struct {
	Key               json.RawMessage `json:"key"`
	ReplicationFactor uint32          `json:"replication_factor,omitempty"`
	Shards            []uint32        `json:"shards"`
}

// errClustered says that a state has what only a cluster's has. A cluster keeps its state
// in the Raft log and its snapshots, not in a Store.
var errClustered = errors.New("the topology is a cluster's")

// Save makes s durable.
func (st Store) Save(s *State) error {
	content, err := marshal(s)
	if err != nil {
		return fmt.Errorf("encode topology: %w", err)
	}
	if err := fsx.WriteAtomic(st.FS, st.Path, content); err != nil {
		return fmt.Errorf("save topology: %w", err)
	}
	st.keepReserve(len(content))
	return nil
}

// SaveDeletion is Save for a change that makes room on the disk: when that is full
// it writes over the reserve and puts it in the file's place.
func (st Store) SaveDeletion(s *State) error {
	err := st.Save(s)
	if !fsx.IsFull(err) {
		return err
	}
	content, encodeErr := marshal(s)
	if encodeErr != nil {
		return fmt.Errorf("encode topology: %w", encodeErr)
	}
	if reserveErr := st.useReserve(content); reserveErr != nil {
		return fmt.Errorf("%w; and in the reserve: %w", err, reserveErr)
	}
	return nil
}

// Load reads the state back. A missing file is an empty state, and found is
// false.
func (st Store) Load() (s *State, found bool, err error) {
	raw, err := fsx.ReadFile(st.FS, st.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return &State{}, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("load topology: %w", err)
	}
	if s, err = unmarshal(raw); err != nil {
		return nil, true, fmt.Errorf("read %s: %w", st.Path, err)
	}
	return s, true, nil
}

// Remove durably removes the state, when it is kept elsewhere. A missing one is no error.
func (st Store) Remove() error {
	for _, name := range []string{st.Path, st.Path + reserveSuffix} {
		if err := st.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove topology: %w", err)
		}
	}
	if err := st.FS.SyncDir(path.Dir(st.Path)); err != nil {
		return fmt.Errorf("remove topology: %w", err)
	}
	return nil
}

// marshal returns the file's content.
func marshal(s *State) ([]byte, error) {
	if s.peers.Len() > 0 || s.metadata.Len() > 0 || s.lastHistory > 0 || s.clusterID != "" || s.clusterVersion > 0 {
		return nil, errClustered
	}
	out := storedState{Aliases: map[string]string{}, Dropped: s.Dropped()}
	for _, a := range s.Aliases("") {
		out.Aliases[a.Name] = a.Collection
	}
	for _, c := range s.Collections() {
		sc, err := storeCollection(c)
		if err != nil {
			return nil, err
		}
		out.Collections = append(out.Collections, sc)
	}
	body, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return nil, err
	}
	header := fmt.Sprintf(storeHeader, crc32.Checksum(body, castagnoli))
	return append([]byte(header), body...), nil
}

func storeCollection(c *Collection) (storedCollection, error) {
	sc := storedCollection{
		Name: c.Name, Incarnation: c.Incarnation, Shards: c.ShardIDs(), Schema: map[string]json.RawMessage{},
		SchemaVersion: c.SchemaVersion, RingEpoch: c.RingEpoch, NextShard: c.NextShard,
	}
	var err error
	if sc.Config, err = protojson.Marshal(c.Config); err != nil {
		return sc, err
	}
	for field, schema := range c.Schema {
		if sc.Schema[field], err = protojson.Marshal(schema); err != nil {
			return sc, err
		}
	}
	for _, k := range c.Keys {
		key, err := protojson.Marshal(k.Key)
		if err != nil {
			return sc, err
		}
		sc.Keys = append(sc.Keys, storedKey{Key: key, ReplicationFactor: k.ReplicationFactor, Shards: k.Shards})
	}
	for _, sh := range c.Shards {
		if sh.Partial {
			sc.Partial = append(sc.Partial, sh.ID)
		}
	}
	return sc, nil
}

func unmarshal(raw []byte) (*State, error) {
	line, body, ok := strings.Cut(string(raw), "\n")
	var sum uint32
	if _, err := fmt.Sscanf(line+"\n", storeHeader, &sum); err != nil || !ok {
		return nil, fmt.Errorf("%w: header %.60q", ErrCorrupted, line)
	}
	if got := crc32.Checksum([]byte(body), castagnoli); got != sum {
		return nil, fmt.Errorf("%w: checksum %08x, expected %08x", ErrCorrupted, got, sum)
	}
	var in storedState
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupted, err)
	}
	s := &State{}
	for name, target := range in.Aliases {
		s.aliases.Set(name, target)
	}
	for incarnation, name := range in.Dropped {
		s.dropped.Set(incarnation, name)
	}
	for _, sc := range in.Collections {
		c, err := loadCollection(sc)
		if err != nil {
			return nil, fmt.Errorf("%w: collection %s: %w", ErrCorrupted, sc.Name, err)
		}
		s.collections.Set(c.Name, c)
		s.names.Set(c.Incarnation, c.Name)
	}
	return s, nil
}

func loadCollection(sc storedCollection) (*Collection, error) {
	// Fields of a newer version are dropped rather than fatal, so that a node can
	// be taken back one version.
	lenient := protojson.UnmarshalOptions{DiscardUnknown: true}
	c := &Collection{
		Name: sc.Name, Incarnation: sc.Incarnation, Config: &pb.CollectionConfig{}, Schema: map[string]*pb.PayloadSchemaInfo{},
		// An older node has no versions; then these are the first.
		SchemaVersion: max(sc.SchemaVersion, 1), RingEpoch: max(sc.RingEpoch, 1), NextShard: sc.NextShard,
	}
	if err := lenient.Unmarshal(sc.Config, c.Config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	for field, raw := range sc.Schema {
		schema := &pb.PayloadSchemaInfo{}
		if err := lenient.Unmarshal(raw, schema); err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
		c.Schema[field] = schema
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(sc.Shards))) {
		c.Shards = append(c.Shards, &Shard{ID: id, Partial: slices.Contains(sc.Partial, id)})
		c.NextShard = max(c.NextShard, id+1)
	}
	for _, k := range sc.Keys {
		key := &pb.ShardKey{}
		if err := lenient.Unmarshal(k.Key, key); err != nil {
			return nil, fmt.Errorf("shard key: %w", err)
		}
		c.Keys = append(c.Keys, &KeyShards{Key: key, ReplicationFactor: k.ReplicationFactor, Shards: k.Shards})
		for _, id := range k.Shards {
			if sh := c.Shard(id); sh != nil {
				sh.Key = key
			}
		}
	}
	slices.SortFunc(c.Keys, func(a, b *KeyShards) int { return compareKeys(a.Key, b.Key) })
	return c, nil
}
