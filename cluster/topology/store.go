package topology

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
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
	Name        string                     `json:"name"`
	Incarnation string                     `json:"incarnation"`
	Config      json.RawMessage            `json:"config"`
	Schema      map[string]json.RawMessage `json:"schema,omitempty"`
	Shards      []uint32                   `json:"shards"`
}

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

// marshal returns the file's content.
func marshal(s *State) ([]byte, error) {
	out := storedState{Aliases: s.aliases, Dropped: s.dropped}
	for _, c := range s.Collections() {
		config, err := protojson.Marshal(c.Config)
		if err != nil {
			return nil, err
		}
		sc := storedCollection{
			Name: c.Name, Incarnation: c.Incarnation, Config: config, Shards: c.Shards,
			Schema: map[string]json.RawMessage{},
		}
		for field, schema := range c.Schema {
			if sc.Schema[field], err = protojson.Marshal(schema); err != nil {
				return nil, err
			}
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
	s := &State{collections: map[string]*Collection{}, aliases: map[string]string{}, dropped: map[string]string{}}
	maps.Copy(s.aliases, in.Aliases)
	maps.Copy(s.dropped, in.Dropped)
	// Fields of a newer version are dropped rather than fatal, so that a node can
	// be taken back one version.
	lenient := protojson.UnmarshalOptions{DiscardUnknown: true}
	for _, sc := range in.Collections {
		c := &Collection{
			Name: sc.Name, Incarnation: sc.Incarnation, Shards: sc.Shards,
			Config: &pb.CollectionConfig{}, Schema: map[string]*pb.PayloadSchemaInfo{},
		}
		if err := lenient.Unmarshal(sc.Config, c.Config); err != nil {
			return nil, fmt.Errorf("%w: config of %s: %w", ErrCorrupted, sc.Name, err)
		}
		for field, raw := range sc.Schema {
			schema := &pb.PayloadSchemaInfo{}
			if err := lenient.Unmarshal(raw, schema); err != nil {
				return nil, fmt.Errorf("%w: schema of %s: %w", ErrCorrupted, sc.Name, err)
			}
			c.Schema[field] = schema
		}
		s.collections[sc.Name] = c
	}
	return s, nil
}
