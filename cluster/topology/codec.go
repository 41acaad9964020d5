package topology

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/cluster/topology/topologypb"
)

// formatVersion is the first byte of an encoded command or state; a message of
// topologypb follows (docs/format/topology.md).
const formatVersion = 1

var (
	// ErrUnknown says that bytes come from a newer node: they have a format, a command or a
	// field that this one doesn't know. To go on without it would mean another state than
	// the others', so the node must stop.
	ErrUnknown = errors.New("topology bytes of a newer version")
	// ErrMalformed says that bytes are no command or state.
	ErrMalformed = errors.New("topology bytes are malformed")
)

// Encode returns the whole state as bytes, for a snapshot. Equal states have equal bytes.
func (s *State) Encode() ([]byte, error) {
	m := &topologypb.State{
		LastAlloc: uint64(s.lastAlloc), LastHistory: s.lastHistory, ClusterId: s.clusterID,
		ClusterVersion: s.clusterVersion, Index: s.index,
	}
	for _, p := range s.Peers() {
		m.Peers = append(m.Peers, &topologypb.Peer{
			Id: uint64(p.ID), Uri: p.URI, Incarnation: p.Incarnation, Fenced: p.Fenced, Draining: p.Draining,
			Zone: p.Zone, Version: p.Version,
		})
	}
	m.Removed = numbers(s.removed.Keys())
	var w writer
	for _, c := range s.Collections() {
		m.Collections = append(m.Collections, w.collection(c))
	}
	s.aliases.Scan(func(k, v string) bool {
		m.Aliases = append(m.Aliases, &topologypb.Pair{Key: k, Value: v})
		return true
	})
	s.dropped.Scan(func(k, v string) bool {
		m.Dropped = append(m.Dropped, &topologypb.Pair{Key: k, Value: v})
		return true
	})
	s.metadata.Scan(func(k string, v []byte) bool {
		m.Metadata = append(m.Metadata, &topologypb.Metadata{Key: k, Value: v})
		return true
	})
	return w.seal(m)
}

// Hash returns a number that tells equal states from different ones.
func (s *State) Hash() (uint64, error) {
	b, err := s.Encode()
	return xxhash.Sum64(b), err
}

// DecodeState reads what Encode returned, and checks that it is a state.
func DecodeState(b []byte) (*State, error) {
	m := &topologypb.State{}
	if err := open(b, m); err != nil {
		return nil, err
	}
	s := &State{
		lastAlloc: AllocID(m.GetLastAlloc()), lastHistory: m.GetLastHistory(), clusterID: m.GetClusterId(),
		clusterVersion: m.GetClusterVersion(), index: m.GetIndex(),
	}
	twice := false
	for _, p := range m.GetPeers() {
		_, old := s.peers.Set(PeerID(p.GetId()), &Peer{
			ID: PeerID(p.GetId()), URI: p.GetUri(), Incarnation: p.GetIncarnation(), Fenced: p.GetFenced(),
			Draining: p.GetDraining(), Zone: p.GetZone(), Version: p.GetVersion(),
		})
		twice = twice || old
	}
	for _, id := range m.GetRemoved() {
		_, old := s.removed.Set(PeerID(id), struct{}{})
		twice = twice || old
	}
	for _, p := range m.GetAliases() {
		_, old := s.aliases.Set(p.GetKey(), p.GetValue())
		twice = twice || old
	}
	for _, p := range m.GetDropped() {
		_, old := s.dropped.Set(p.GetKey(), p.GetValue())
		twice = twice || old
	}
	for _, p := range m.GetMetadata() {
		_, old := s.metadata.Set(p.GetKey(), orNoBytes(p.GetValue()))
		twice = twice || old
	}
	var r reader
	for _, p := range m.GetCollections() {
		c := r.collection(p)
		_, old := s.collections.Set(c.Name, c)
		_, older := s.names.Set(c.Incarnation, c.Name)
		twice = twice || old || older
		for _, sh := range c.Shards {
			s.countLed(sh.Leader, +1)
		}
	}
	if twice {
		return nil, fmt.Errorf("%w: something is listed twice", ErrMalformed)
	}
	if err := r.err; err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}

// orNoBytes keeps an empty value from being none.
func orNoBytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// open reads the message behind the format version and refuses what it doesn't know.
func open(b []byte, m proto.Message) error {
	switch {
	case len(b) == 0:
		return fmt.Errorf("%w: there are none", ErrMalformed)
	case b[0] != formatVersion:
		return fmt.Errorf("%w: format %d", ErrUnknown, b[0])
	}
	if err := proto.Unmarshal(b[1:], m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !known(m.ProtoReflect()) {
		return fmt.Errorf("%w: unknown fields in %s", ErrUnknown, m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

// known tells whether m has no field that this version doesn't know, at any depth. The
// messages have no maps.
func known(m protoreflect.Message) bool {
	ok := len(m.GetUnknown()) == 0
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				ok = ok && known(v.List().Get(i).Message())
			}
		default:
			ok = ok && known(v.Message())
		}
		return ok
	})
	return ok
}

// writer makes messages; the first error is kept.
type writer struct{ err error }

// seal returns the bytes of a message behind the format version.
func (w *writer) seal(m proto.Message) ([]byte, error) {
	if w.err != nil {
		return nil, fmt.Errorf("encode topology: %w", w.err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{formatVersion}, m)
	if err != nil {
		return nil, fmt.Errorf("encode topology: %w", err)
	}
	return b, nil
}

// bytes embeds a message of the public API.
func (w *writer) bytes(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	w.err = errors.Join(w.err, err)
	return b
}

func (w *writer) key(k *pb.ShardKey) []byte {
	if k == nil {
		return nil
	}
	return w.bytes(k)
}

func (w *writer) schema(schema map[string]*pb.PayloadSchemaInfo) []*topologypb.Field {
	var list []*topologypb.Field
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		list = append(list, &topologypb.Field{Name: name, Schema: w.bytes(schema[name])})
	}
	return list
}

func (w *writer) collection(c *Collection) *topologypb.Collection {
	m := &topologypb.Collection{
		Name: c.Name, Incarnation: c.Incarnation, Config: w.bytes(c.Config), Schema: w.schema(c.Schema),
		RingEpoch: c.RingEpoch, SchemaVersion: c.SchemaVersion, NextShard: c.NextShard,
	}
	for _, sh := range c.Shards {
		m.Shards = append(m.Shards, w.shard(sh))
	}
	for _, k := range c.Keys {
		m.Keys = append(m.Keys, &topologypb.KeyShards{Key: w.key(k.Key), ReplicationFactor: k.ReplicationFactor, Shards: k.Shards, Pool: numbers(k.Pool)})
	}
	for _, t := range c.Transfers {
		m.Transfers = append(m.Transfers, &topologypb.Transfer{
			Shard: t.Shard, ToShard: t.ToShard, From: uint64(t.From), To: uint64(t.To), Sync: t.Sync, Method: string(t.Method),
			Comment: t.Comment, Alloc: uint64(t.Alloc), Move: t.Move, ByUser: t.ByUser, Started: t.Started, Added: t.Added,
		})
	}
	return m
}

func (w *writer) shard(sh *Shard) *topologypb.Shard {
	m := &topologypb.Shard{
		Id: sh.ID, Key: w.key(sh.Key), History: sh.History, Epoch: sh.Epoch, Version: sh.Version, Leader: uint64(sh.Leader),
		Preferred: uint64(sh.Preferred), InSync: numbers(sh.InSync), Partial: sh.Partial,
	}
	for _, r := range sh.Replicas {
		m.Replicas = append(m.Replicas, &topologypb.Replica{Peer: uint64(r.Peer), Alloc: uint64(r.Alloc), Kind: uint32(r.Kind), Created: r.Created})
	}
	if sh.Pin != (Pin{}) {
		m.Pin = &topologypb.Pin{Until: sh.Pin.Until, Avoid: uint64(sh.Pin.Avoid)}
	}
	return m
}

// reader reads messages; the first error is kept.
type reader struct{ err error }

func (r *reader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
}

// read reads an embedded message on which the state depends beyond storing it.
func (r *reader) read(b []byte, m proto.Message) {
	r.fail(proto.Unmarshal(b, m))
	if r.err == nil && !known(m.ProtoReflect()) {
		r.err = fmt.Errorf("%w: unknown fields in %s", ErrUnknown, m.ProtoReflect().Descriptor().Name())
	}
}

func (r *reader) config(b []byte) *pb.CollectionConfig {
	m := &pb.CollectionConfig{}
	r.fail(proto.Unmarshal(b, m))
	return m
}

func (r *reader) key(b []byte) *pb.ShardKey {
	if len(b) == 0 {
		return nil
	}
	m := &pb.ShardKey{}
	r.read(b, m)
	return m
}

func (r *reader) schema(list []*topologypb.Field) map[string]*pb.PayloadSchemaInfo {
	schema := make(map[string]*pb.PayloadSchemaInfo, len(list))
	for _, f := range list {
		schema[f.GetName()] = r.field(f.GetSchema())
	}
	if len(schema) != len(list) {
		r.fail(errors.New("a field is listed twice"))
	}
	return schema
}

func (r *reader) field(b []byte) *pb.PayloadSchemaInfo {
	m := &pb.PayloadSchemaInfo{}
	r.fail(proto.Unmarshal(b, m))
	return m
}

func (r *reader) kind(k uint32) ReplicaKind {
	if k > uint32(Resharding) && r.err == nil {
		r.err = fmt.Errorf("%w: replica kind %d", ErrUnknown, k)
	}
	return ReplicaKind(k) // of no use after an error
}

func (r *reader) collection(m *topologypb.Collection) *Collection {
	c := &Collection{
		Name: m.GetName(), Incarnation: m.GetIncarnation(), Config: r.config(m.GetConfig()), Schema: r.schema(m.GetSchema()),
		SchemaVersion: m.GetSchemaVersion(), RingEpoch: m.GetRingEpoch(), NextShard: m.GetNextShard(),
	}
	for _, sh := range m.GetShards() {
		c.Shards = append(c.Shards, r.shard(sh))
	}
	for _, k := range m.GetKeys() {
		c.Keys = append(c.Keys, &KeyShards{Key: r.key(k.GetKey()), ReplicationFactor: k.GetReplicationFactor(), Shards: k.GetShards(), Pool: peerIDs(k.GetPool())})
	}
	for _, t := range m.GetTransfers() {
		c.Transfers = append(c.Transfers, &Transfer{
			Shard: t.GetShard(), ToShard: t.ToShard, From: PeerID(t.GetFrom()), To: PeerID(t.GetTo()), Sync: t.GetSync(),
			Method: TransferMethod(t.GetMethod()), Comment: t.GetComment(), Alloc: AllocID(t.GetAlloc()), Move: t.GetMove(),
			ByUser: t.GetByUser(), Started: t.GetStarted(), Added: t.GetAdded(),
		})
	}
	return c
}

func (r *reader) shard(m *topologypb.Shard) *Shard {
	sh := &Shard{
		ID: m.GetId(), Key: r.key(m.GetKey()), History: m.GetHistory(), Epoch: m.GetEpoch(), Version: m.GetVersion(),
		Leader: PeerID(m.GetLeader()), Preferred: PeerID(m.GetPreferred()), InSync: peerIDs(m.GetInSync()), Partial: m.GetPartial(),
		Pin: Pin{Until: m.GetPin().GetUntil(), Avoid: PeerID(m.GetPin().GetAvoid())},
	}
	for _, p := range m.GetReplicas() {
		sh.Replicas = append(sh.Replicas, Replica{
			Peer: PeerID(p.GetPeer()), Alloc: AllocID(p.GetAlloc()), Kind: r.kind(p.GetKind()), Created: p.GetCreated(),
		})
	}
	return sh
}

func numbers(peers []PeerID) []uint64 {
	var list []uint64
	for _, p := range peers {
		list = append(list, uint64(p))
	}
	return list
}

func peerIDs(list []uint64) []PeerID {
	var peers []PeerID
	for _, p := range list {
		peers = append(peers, PeerID(p))
	}
	return peers
}
