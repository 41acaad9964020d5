package topology

import (
	"fmt"
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/topology/topologypb"
)

// EncodeCommand returns a command as bytes, for the Raft log.
func EncodeCommand(c Command) ([]byte, error) {
	var w writer
	m := &topologypb.Command{}
	if !w.collectionCommand(m, c) && !w.peerCommand(m, c) && !w.shardCommand(m, c) && !w.transferCommand(m, c) {
		return nil, fmt.Errorf("encode topology: command %T", c)
	}
	return w.seal(m)
}

func (w *writer) collectionCommand(m *topologypb.Command, c Command) bool {
	switch c := c.(type) {
	case CreateCollection:
		m.Kind = &topologypb.Command_CreateCollection{CreateCollection: w.createCollection(c)}
	case DeleteCollection:
		m.Kind = &topologypb.Command_DeleteCollection{DeleteCollection: &topologypb.DeleteCollection{Name: c.Name}}
	case ForgetDropped:
		m.Kind = &topologypb.Command_ForgetDropped{ForgetDropped: &topologypb.ForgetDropped{Incarnation: c.Incarnation}}
	case ReplaceConfig:
		m.Kind = &topologypb.Command_ReplaceConfig{ReplaceConfig: &topologypb.ReplaceConfig{Name: c.Name, Config: w.bytes(c.Config), Seen: c.Seen}}
	case SetField:
		f := &topologypb.SetField{Name: c.Name, Field: c.Field}
		if c.Schema != nil {
			f.Schema = w.bytes(c.Schema)
		}
		m.Kind = &topologypb.Command_SetField{SetField: f}
	case ChangeAliases:
		a := &topologypb.ChangeAliases{}
		for _, action := range c.Actions {
			a.Actions = append(a.Actions, w.bytes(action))
		}
		m.Kind = &topologypb.Command_ChangeAliases{ChangeAliases: a}
	case CreateShardKey:
		m.Kind = &topologypb.Command_CreateShardKey{CreateShardKey: &topologypb.CreateShardKey{
			Collection: c.Collection, Key: w.key(c.Key), ReplicationFactor: c.ReplicationFactor,
			Placement: placementOut(c.Placement), InitialState: c.InitialState, Pool: numbers(c.Pool),
		}}
	case DropShardKey:
		m.Kind = &topologypb.Command_DropShardKey{DropShardKey: &topologypb.DropShardKey{Collection: c.Collection, Key: w.key(c.Key)}}
	default:
		return false
	}
	return true
}

func (w *writer) createCollection(c CreateCollection) *topologypb.CreateCollection {
	m := &topologypb.CreateCollection{Placement: placementOut(c.Placement)}
	if n := c.Collection; n != nil {
		m.Name, m.Incarnation, m.Config, m.Schema, m.Shards = n.Name, n.Incarnation, w.bytes(n.Config), w.schema(n.Schema), n.ShardIDs()
	}
	return m
}

func (w *writer) peerCommand(m *topologypb.Command, c Command) bool {
	switch c := c.(type) {
	case RegisterPeer:
		m.Kind = &topologypb.Command_RegisterPeer{RegisterPeer: &topologypb.RegisterPeer{
			Peer: uint64(c.Peer), Uri: c.URI, Incarnation: c.Incarnation, Zone: c.Zone, Version: c.Version, Held: copiesOut(c.Held),
		}}
	case FencePeers:
		m.Kind = &topologypb.Command_FencePeers{FencePeers: &topologypb.FencePeers{Sessions: sessionsOut(c.Sessions)}}
	case RelievePeers:
		m.Kind = &topologypb.Command_RelievePeers{RelievePeers: &topologypb.RelievePeers{Sessions: sessionsOut(c.Sessions)}}
	case RemovePeer:
		m.Kind = &topologypb.Command_RemovePeer{RemovePeer: &topologypb.RemovePeer{Peer: uint64(c.Peer), Force: c.Force}}
	case DrainPeer:
		m.Kind = &topologypb.Command_DrainPeer{DrainPeer: &topologypb.DrainPeer{Peer: uint64(c.Peer), Draining: c.Draining}}
	case SetMetadata:
		m.Kind = &topologypb.Command_SetMetadata{SetMetadata: &topologypb.Metadata{Key: c.Key, Value: c.Value}}
	case SetClusterID:
		m.Kind = &topologypb.Command_SetClusterId{SetClusterId: &topologypb.SetClusterID{Id: c.ID}}
	case SetClusterVersion:
		m.Kind = &topologypb.Command_SetClusterVersion{SetClusterVersion: &topologypb.SetClusterVersion{Version: c.Version}}
	default:
		return false
	}
	return true
}

func (w *writer) shardCommand(m *topologypb.Command, c Command) bool {
	switch c := c.(type) {
	case AlterInSync:
		m.Kind = &topologypb.Command_AlterInSync{AlterInSync: alterOut(c)}
	case AlterMany:
		many := &topologypb.AlterMany{}
		for _, a := range c.Alters {
			many.Alters = append(many.Alters, alterOut(a))
		}
		m.Kind = &topologypb.Command_AlterMany{AlterMany: many}
	case ElectLeader:
		m.Kind = &topologypb.Command_ElectLeader{ElectLeader: &topologypb.ElectLeader{Shard: nameOut(c.Shard), Epoch: c.Epoch, Preferred: uint64(c.Preferred)}}
	case ElectLeaders:
		e := &topologypb.ElectLeaders{}
		for _, name := range c.Shards {
			e.Shards = append(e.Shards, nameOut(name))
		}
		m.Kind = &topologypb.Command_ElectLeaders{ElectLeaders: e}
	case ForceLeader:
		m.Kind = &topologypb.Command_ForceLeader{ForceLeader: &topologypb.ForceLeader{Shard: nameOut(c.Shard), Peer: uint64(c.Peer), AcceptDataLoss: c.AcceptDataLoss}}
	case SetPreferred:
		m.Kind = &topologypb.Command_SetPreferred{SetPreferred: &topologypb.SetPreferred{Shard: nameOut(c.Shard), Peer: uint64(c.Peer)}}
	case ReplicasCreated:
		m.Kind = &topologypb.Command_ReplicasCreated{ReplicasCreated: &topologypb.ReplicasCreated{Peer: uint64(c.Peer), Copies: copiesOut(c.Copies)}}
	case AddReplica:
		m.Kind = &topologypb.Command_AddReplica{AddReplica: &topologypb.AddReplica{Shard: nameOut(c.Shard), Peer: uint64(c.Peer), Kind: uint32(c.Kind)}}
	case DropReplica:
		m.Kind = &topologypb.Command_DropReplica{DropReplica: &topologypb.DropReplica{Shard: nameOut(c.Shard), Peer: uint64(c.Peer), PinUntil: c.PinUntil}}
	default:
		return false
	}
	return true
}

func (w *writer) transferCommand(m *topologypb.Command, c Command) bool {
	switch c := c.(type) {
	case StartTransfer:
		m.Kind = &topologypb.Command_StartTransfer{StartTransfer: &topologypb.StartTransfer{
			Shard: nameOut(c.Shard), ToShard: c.ToShard, From: uint64(c.From), To: uint64(c.To), Sync: c.Sync, Method: string(c.Method),
			Comment: c.Comment, Move: c.Move, ByUser: c.ByUser, PinUntil: c.PinUntil,
		}}
	case AbortTransfer:
		m.Kind = &topologypb.Command_AbortTransfer{AbortTransfer: &topologypb.AbortTransfer{Transfer: transferOut(c.Transfer), Reason: c.Reason}}
	case FinishTransfer:
		m.Kind = &topologypb.Command_FinishTransfer{FinishTransfer: &topologypb.FinishTransfer{Transfer: transferOut(c.Transfer)}}
	case RestartTransfer:
		m.Kind = &topologypb.Command_RestartTransfer{RestartTransfer: &topologypb.RestartTransfer{Transfer: transferOut(c.Transfer), Method: string(c.Method)}}
	default:
		return false
	}
	return true
}

// DecodeCommand reads what EncodeCommand returned. ErrUnknown means that the command is
// one of a newer version: the node must stop, not go on without it.
func DecodeCommand(b []byte) (Command, error) {
	m := &topologypb.Command{}
	if err := open(b, m); err != nil {
		return nil, err
	}
	var r reader
	c := r.collectionCommand(m)
	if c == nil {
		c = r.peerCommand(m)
	}
	if c == nil {
		c = r.shardCommand(m)
	}
	if c == nil {
		c = r.transferCommand(m)
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case c == nil:
		return nil, fmt.Errorf("%w: the command", ErrUnknown)
	default:
		return c, nil
	}
}

func (r *reader) collectionCommand(m *topologypb.Command) Command {
	switch k := m.GetKind().(type) {
	case *topologypb.Command_CreateCollection:
		c := k.CreateCollection
		made := &Collection{Name: c.GetName(), Incarnation: c.GetIncarnation(), Config: r.config(c.GetConfig()), Schema: r.schema(c.GetSchema())}
		for _, id := range c.GetShards() {
			made.Shards = append(made.Shards, &Shard{ID: id})
		}
		return CreateCollection{Collection: made, Placement: placementIn(c.GetPlacement())}
	case *topologypb.Command_DeleteCollection:
		return DeleteCollection{Name: k.DeleteCollection.GetName()}
	case *topologypb.Command_ForgetDropped:
		return ForgetDropped{Incarnation: k.ForgetDropped.GetIncarnation()}
	case *topologypb.Command_ReplaceConfig:
		return ReplaceConfig{Name: k.ReplaceConfig.GetName(), Config: r.config(k.ReplaceConfig.GetConfig()), Seen: k.ReplaceConfig.GetSeen()}
	case *topologypb.Command_SetField:
		c := SetField{Name: k.SetField.GetName(), Field: k.SetField.GetField()}
		if k.SetField.Schema != nil {
			c.Schema = r.field(k.SetField.Schema)
		}
		return c
	case *topologypb.Command_ChangeAliases:
		var c ChangeAliases
		for _, b := range k.ChangeAliases.GetActions() {
			a := &pb.AliasOperations{}
			r.read(b, a)
			c.Actions = append(c.Actions, a)
		}
		return c
	case *topologypb.Command_CreateShardKey:
		c := k.CreateShardKey
		return CreateShardKey{
			Collection: c.GetCollection(), Key: r.key(c.GetKey()), ReplicationFactor: c.GetReplicationFactor(),
			Placement: placementIn(c.GetPlacement()), InitialState: c.GetInitialState(), Pool: peerIDs(c.GetPool()),
		}
	case *topologypb.Command_DropShardKey:
		return DropShardKey{Collection: k.DropShardKey.GetCollection(), Key: r.key(k.DropShardKey.GetKey())}
	default:
		return nil
	}
}

func (r *reader) peerCommand(m *topologypb.Command) Command {
	switch k := m.GetKind().(type) {
	case *topologypb.Command_RegisterPeer:
		c := k.RegisterPeer
		return RegisterPeer{
			Peer: PeerID(c.GetPeer()), URI: c.GetUri(), Incarnation: c.GetIncarnation(), Zone: c.GetZone(), Version: c.GetVersion(),
			Held: copiesIn(c.GetHeld()),
		}
	case *topologypb.Command_FencePeers:
		return FencePeers{Sessions: sessionsIn(k.FencePeers.GetSessions())}
	case *topologypb.Command_RelievePeers:
		return RelievePeers{Sessions: sessionsIn(k.RelievePeers.GetSessions())}
	case *topologypb.Command_RemovePeer:
		return RemovePeer{Peer: PeerID(k.RemovePeer.GetPeer()), Force: k.RemovePeer.GetForce()}
	case *topologypb.Command_DrainPeer:
		return DrainPeer{Peer: PeerID(k.DrainPeer.GetPeer()), Draining: k.DrainPeer.GetDraining()}
	case *topologypb.Command_SetMetadata:
		return SetMetadata{Key: k.SetMetadata.GetKey(), Value: k.SetMetadata.Value}
	case *topologypb.Command_SetClusterId:
		return SetClusterID{ID: k.SetClusterId.GetId()}
	case *topologypb.Command_SetClusterVersion:
		return SetClusterVersion{Version: k.SetClusterVersion.GetVersion()}
	default:
		return nil
	}
}

func (r *reader) shardCommand(m *topologypb.Command) Command {
	switch k := m.GetKind().(type) {
	case *topologypb.Command_AlterInSync:
		return alterIn(k.AlterInSync)
	case *topologypb.Command_AlterMany:
		var c AlterMany
		for _, a := range k.AlterMany.GetAlters() {
			c.Alters = append(c.Alters, alterIn(a))
		}
		return c
	case *topologypb.Command_ElectLeader:
		c := k.ElectLeader
		return ElectLeader{Shard: nameIn(c.GetShard()), Epoch: c.GetEpoch(), Preferred: PeerID(c.GetPreferred())}
	case *topologypb.Command_ElectLeaders:
		var c ElectLeaders
		for _, name := range k.ElectLeaders.GetShards() {
			c.Shards = append(c.Shards, nameIn(name))
		}
		return c
	case *topologypb.Command_ForceLeader:
		c := k.ForceLeader
		return ForceLeader{Shard: nameIn(c.GetShard()), Peer: PeerID(c.GetPeer()), AcceptDataLoss: c.GetAcceptDataLoss()}
	case *topologypb.Command_SetPreferred:
		return SetPreferred{Shard: nameIn(k.SetPreferred.GetShard()), Peer: PeerID(k.SetPreferred.GetPeer())}
	case *topologypb.Command_ReplicasCreated:
		return ReplicasCreated{Peer: PeerID(k.ReplicasCreated.GetPeer()), Copies: copiesIn(k.ReplicasCreated.GetCopies())}
	case *topologypb.Command_AddReplica:
		c := k.AddReplica
		return AddReplica{Shard: nameIn(c.GetShard()), Peer: PeerID(c.GetPeer()), Kind: r.kind(c.GetKind())}
	case *topologypb.Command_DropReplica:
		c := k.DropReplica
		return DropReplica{Shard: nameIn(c.GetShard()), Peer: PeerID(c.GetPeer()), PinUntil: c.GetPinUntil()}
	default:
		return nil
	}
}

func (r *reader) transferCommand(m *topologypb.Command) Command {
	switch k := m.GetKind().(type) {
	case *topologypb.Command_StartTransfer:
		c := k.StartTransfer
		return StartTransfer{
			Shard: nameIn(c.GetShard()), ToShard: c.ToShard, From: PeerID(c.GetFrom()), To: PeerID(c.GetTo()), Sync: c.GetSync(),
			Method: TransferMethod(c.GetMethod()), Comment: c.GetComment(), Move: c.GetMove(), ByUser: c.GetByUser(), PinUntil: c.GetPinUntil(),
		}
	case *topologypb.Command_AbortTransfer:
		return AbortTransfer{Transfer: transferIn(k.AbortTransfer.GetTransfer()), Reason: k.AbortTransfer.GetReason()}
	case *topologypb.Command_FinishTransfer:
		return FinishTransfer{Transfer: transferIn(k.FinishTransfer.GetTransfer())}
	case *topologypb.Command_RestartTransfer:
		return RestartTransfer{Transfer: transferIn(k.RestartTransfer.GetTransfer()), Method: TransferMethod(k.RestartTransfer.GetMethod())}
	default:
		return nil
	}
}

func nameOut(n ShardName) *topologypb.ShardName {
	return &topologypb.ShardName{Collection: n.Collection, Shard: n.Shard}
}

func nameIn(m *topologypb.ShardName) ShardName {
	return ShardName{Collection: m.GetCollection(), Shard: m.GetShard()}
}

func transferOut(k TransferKey) *topologypb.TransferKey {
	return &topologypb.TransferKey{Shard: nameOut(k.Shard), ToShard: k.ToShard, From: uint64(k.From), To: uint64(k.To)}
}

func transferIn(m *topologypb.TransferKey) TransferKey {
	k := TransferKey{Shard: nameIn(m.GetShard()), From: PeerID(m.GetFrom()), To: PeerID(m.GetTo())}
	if m != nil {
		k.ToShard = m.ToShard
	}
	return k
}

func alterOut(c AlterInSync) *topologypb.AlterInSync {
	m := &topologypb.AlterInSync{
		Shard: nameOut(c.Shard), Proposer: uint64(c.Proposer), Epoch: c.Epoch, Version: c.Version,
		InSync: numbers(c.InSync), Leader: uint64(c.Leader),
	}
	for _, p := range slices.Sorted(maps.Keys(c.Allocs)) {
		m.Allocs = append(m.Allocs, &topologypb.PeerAlloc{Peer: uint64(p), Alloc: uint64(c.Allocs[p])})
	}
	return m
}

func alterIn(m *topologypb.AlterInSync) AlterInSync {
	c := AlterInSync{
		Shard: nameIn(m.GetShard()), Proposer: PeerID(m.GetProposer()), Epoch: m.GetEpoch(), Version: m.GetVersion(),
		InSync: peerIDs(m.GetInSync()), Leader: PeerID(m.GetLeader()),
	}
	for _, a := range m.GetAllocs() {
		if c.Allocs == nil {
			c.Allocs = map[PeerID]AllocID{}
		}
		c.Allocs[PeerID(a.GetPeer())] = AllocID(a.GetAlloc())
	}
	return c
}

func copiesOut(list []HeldReplica) []*topologypb.Copy {
	var out []*topologypb.Copy
	for _, h := range list {
		out = append(out, &topologypb.Copy{Shard: nameOut(h.Shard), Alloc: uint64(h.Alloc)})
	}
	return out
}

func copiesIn(list []*topologypb.Copy) []HeldReplica {
	var out []HeldReplica
	for _, m := range list {
		out = append(out, HeldReplica{Shard: nameIn(m.GetShard()), Alloc: AllocID(m.GetAlloc())})
	}
	return out
}

func placementOut(placement [][]PeerID) []*topologypb.Peers {
	var out []*topologypb.Peers
	for _, peers := range placement {
		out = append(out, &topologypb.Peers{Peers: numbers(peers)})
	}
	return out
}

func placementIn(placement []*topologypb.Peers) [][]PeerID {
	var out [][]PeerID
	for _, m := range placement {
		out = append(out, peerIDs(m.GetPeers()))
	}
	return out
}

func sessionsOut(list []Session) (out []*topologypb.Session) {
	for _, e := range list {
		out = append(out, &topologypb.Session{Peer: uint64(e.Peer), Incarnation: e.Incarnation})
	}
	return out
}

func sessionsIn(list []*topologypb.Session) (out []Session) {
	for _, e := range list {
		out = append(out, Session{Peer: PeerID(e.GetPeer()), Incarnation: e.GetIncarnation()})
	}
	return out
}
