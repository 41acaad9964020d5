package dialect

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// This file reads and writes what concerns a cluster.

// ClusterOperation is the body of POST /collections/{c}/cluster: one of the three.
type ClusterOperation struct {
	// Setup is an operation that has a message.
	Setup *pb.UpdateCollectionClusterSetupRequest
	// Reshard is a step of a resharding.
	Reshard *admin.Reshard
	// Lead asks for another leader of a shard; it is not part of Qdrant's API.
	Lead *admin.Lead
}

// operations are the names of operations, for complaints.
const operations = "ClusterOperations"

// ReadClusterOperation reads the body of POST /collections/{c}/cluster.
func ReadClusterOperation(body []byte) (*ClusterOperation, error) {
	op, err := read(body, func(r *jsonx.Reader) *ClusterOperation {
		op, found := &ClusterOperation{}, 0
		for name := range r.Fields() {
			if op.read(r, name) {
				found++
			} else {
				r.Skip()
			}
		}
		if found != 1 { // which one of several is meant can't be told
			r.NoVariant(operations)
		}
		return op
	})
	return checked(op, err, (*checks).clusterOperation)
}

// read reads the operation of a name; false when there is none.
func (op *ClusterOperation) read(r *jsonx.Reader, name string) bool {
	setup := func(m *pb.UpdateCollectionClusterSetupRequest) { op.Setup = m }
	switch name {
	case "move_shard":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_MoveShard{
			MoveShard: message[*pb.MoveShard](r),
		}})
	case "replicate_shard":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_ReplicateShard{
			ReplicateShard: message[*pb.ReplicateShard](r),
		}})
	case "abort_transfer":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_AbortTransfer{
			AbortTransfer: message[*pb.AbortShardTransfer](r),
		}})
	case "restart_transfer":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_RestartTransfer{
			RestartTransfer: message[*pb.RestartTransfer](r),
		}})
	case "drop_replica":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_DropReplica{
			DropReplica: message[*pb.Replica](r),
		}})
	case "create_sharding_key":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_CreateShardKey{
			CreateShardKey: message[*pb.CreateShardKey](r),
		}})
	case "drop_sharding_key":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_DeleteShardKey{
			DeleteShardKey: message[*pb.DeleteShardKey](r),
		}})
	case "replicate_points":
		setup(&pb.UpdateCollectionClusterSetupRequest{Operation: &pb.UpdateCollectionClusterSetupRequest_ReplicatePoints{
			ReplicatePoints: replicatePoints(r),
		}})
	case "lead_shard":
		op.Lead = leadShard(r)
	default:
		step, ok := reshardSteps(name)
		if !ok {
			return false
		}
		op.Reshard = reshard(r, step)
	}
	return true
}

func reshardSteps(name string) (admin.Step, bool) {
	switch name {
	case "start_resharding":
		return admin.Start, true
	case "abort_resharding":
		return admin.Abort, true
	case "finish_migrating_points":
		return admin.FinishMigratingPoints, true
	case "commit_read_hash_ring":
		return admin.CommitReadRing, true
	case "commit_write_hash_ring":
		return admin.CommitWriteRing, true
	case "finish_resharding":
		return admin.Finish, true
	default:
		return 0, false
	}
}

func replicatePoints(r *jsonx.Reader) *pb.ReplicatePoints {
	m := &pb.ReplicatePoints{}
	for name := range r.Fields() {
		switch name {
		case "from_shard_key":
			m.FromShardKey = shardKey(r)
		case "to_shard_key":
			m.ToShardKey = shardKey(r)
		case "filter":
			m.Filter = filter(r)
		default:
			r.Skip()
		}
	}
	r.Missing(m.FromShardKey == nil, "from_shard_key")
	r.Missing(m.ToShardKey == nil, "to_shard_key")
	return m
}

func leadShard(r *jsonx.Reader) *admin.Lead {
	m := &admin.Lead{}
	shard, peer := false, false
	for name := range r.Fields() {
		switch name {
		case "shard_id":
			m.Shard, shard = r.Uint32(), true
		case "peer_id":
			m.Peer, peer = r.Uint64(), true
		case "accept_data_loss":
			m.AcceptDataLoss = r.Bool()
		default:
			r.Skip()
		}
	}
	r.Missing(!shard, "shard_id")
	r.Missing(!peer, "peer_id")
	return m
}

func reshard(r *jsonx.Reader, step admin.Step) *admin.Reshard {
	m := &admin.Reshard{Step: step}
	directed := false
	for name := range r.Fields() {
		switch name {
		case "uuid":
			m.UUID = r.Text()
			if _, err := uuid.Parse(m.UUID); err != nil && r.Err() == nil {
				r.Failf("UUID parsing failed: %s", shorten(m.UUID))
			}
		case "direction":
			m.Direction, directed = enum[pb.ReshardingDirection](r, reshardingDirections), true
		case "peer_id":
			m.Peer = new(r.Uint64())
		case "shard_id":
			m.Shard = new(r.Uint32())
		case "shard_key":
			m.Key = shardKey(r)
		default:
			r.Skip()
		}
	}
	r.Missing(step == admin.Start && !directed, "direction")
	return m
}

func (c *checks) clusterOperation(op *ClusterOperation) {
	switch o := op.Setup.GetOperation().(type) {
	case *pb.UpdateCollectionClusterSetupRequest_MoveShard:
		c.otherPeer(root.member("move_shard"), o.MoveShard)
	case *pb.UpdateCollectionClusterSetupRequest_ReplicateShard:
		c.otherPeer(root.member("replicate_shard"), o.ReplicateShard)
	case *pb.UpdateCollectionClusterSetupRequest_AbortTransfer:
		c.otherPeer(root.member("abort_transfer"), o.AbortTransfer)
	case *pb.UpdateCollectionClusterSetupRequest_RestartTransfer:
		c.otherPeer(root.member("restart_transfer"), o.RestartTransfer)
	case *pb.UpdateCollectionClusterSetupRequest_CreateShardKey:
		c.createShardKey(root.member("create_sharding_key"), o.CreateShardKey)
	case *pb.UpdateCollectionClusterSetupRequest_ReplicatePoints:
		c.filter(root.member("replicate_points").member("filter"), o.ReplicatePoints.GetFilter())
	}
}

// between is a transfer between two peers.
type between interface {
	proto.Message
	GetShardId() uint32
	GetToShardId() uint32
	GetFromPeerId() uint64
	GetToPeerId() uint64
}

// otherPeer complains of a transfer of a shard to where it is.
func (c *checks) otherPeer(p *place, t between) {
	fd := t.ProtoReflect().Descriptor().Fields().ByName("to_shard_id")
	another := t.ProtoReflect().Has(fd) && t.GetToShardId() != t.GetShardId()
	if t.GetFromPeerId() == t.GetToPeerId() && !another {
		c.fail(p.member("to_peer_id"), `cannot transfer shard to itself, "to_peer_id" must be different than %d in "from_peer_id"`, t.GetFromPeerId())
	}
}

func (c *checks) createShardKey(p *place, m *pb.CreateShardKey) {
	c.atLeast1(p.member("shards_number"), m.ShardsNumber != nil, uint64(m.GetShardsNumber()))
	c.atLeast1(p.member("replication_factor"), m.ReplicationFactor != nil, uint64(m.GetReplicationFactor()))
}

// CreateShardKey reads the body of PUT /collections/{c}/shards.
func CreateShardKey(body []byte) (*pb.CreateShardKeyRequest, error) {
	m, err := read(body, message[*pb.CreateShardKey])
	m, err = checked(m, err, func(c *checks, m *pb.CreateShardKey) { c.createShardKey(root, m) })
	return &pb.CreateShardKeyRequest{Request: m}, err
}

// DeleteShardKey reads the body of POST /collections/{c}/shards/delete.
func DeleteShardKey(body []byte) (*pb.DeleteShardKeyRequest, error) {
	m, err := read(body, message[*pb.DeleteShardKey])
	return &pb.DeleteShardKeyRequest{Request: m}, err
}

// JSONText checks that a body is one JSON value, and returns it in memory of its own.
func JSONText(body []byte) ([]byte, error) {
	return read(body, func(r *jsonx.Reader) []byte { return slices.Clone(r.Raw()) })
}

// ClusterStatus writes what GET /cluster tells.
func ClusterStatus(s *admin.Status) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		defer w.Close('}')
		w.Name("status")
		if !s.Enabled {
			w.String("disabled")
			return
		}
		w.String("enabled")
		w.Name("cluster_id")
		writeText(w, s.ID)
		w.Name("peer_id")
		w.Uint(s.Peer)
		w.Name("peers")
		w.Open('{')
		for _, id := range slices.Sorted(maps.Keys(s.Peers)) {
			w.Name(strconv.FormatUint(id, 10))
			writePeerStanding(w, s.Peers[id])
		}
		w.Close('}')
		w.Name("raft_info")
		writeRaft(w, &s.Raft)
		w.Name("consensus_thread_status")
		writeConsensus(w, &s.Consensus)
		w.Name("message_send_failures")
		writeSendFailures(w, s.SendFailures)
	}
}

// writePeerStanding writes a node: the API's member, and ours behind it.
func writePeerStanding(w *jsonx.Writer, p admin.Peer) {
	w.Open('{')
	w.Name("uri")
	w.String(p.URI)
	w.Name("fenced")
	w.Bool(p.Fenced)
	w.Name("draining")
	w.Bool(p.Draining)
	if p.Zone != "" {
		w.Name("zone")
		w.String(p.Zone)
	}
	w.Name("replicas")
	w.Uint(uint64(p.Replicas)) //nolint:gosec // a count
	w.Name("leads")
	w.Uint(uint64(p.Leads)) //nolint:gosec // a count
	w.Close('}')
}

func writeRaft(w *jsonx.Writer, r *admin.Raft) {
	w.Open('{')
	w.Name("term")
	w.Uint(r.Term)
	w.Name("commit")
	w.Uint(r.Commit)
	w.Name("pending_operations")
	w.Uint(r.Pending)
	w.Name("leader")
	writePeer(w, r.Leader)
	w.Name("role")
	writeText(w, r.Role)
	w.Name("is_voter")
	w.Bool(r.Voter)
	w.Close('}')
}

// writePeer writes a peer's ID, null for nobody.
func writePeer(w *jsonx.Writer, id uint64) {
	if id == 0 {
		w.Null()
		return
	}
	w.Uint(id)
}

// writeText writes a text, null for none.
func writeText(w *jsonx.Writer, s string) {
	if s == "" {
		w.Null()
		return
	}
	w.String(s)
}

func writeTime(w *jsonx.Writer, t time.Time) { w.String(t.UTC().Format(time.RFC3339Nano)) }

func writeConsensus(w *jsonx.Writer, c *admin.Consensus) {
	w.Open('{')
	w.Name("consensus_thread_status")
	switch {
	case !c.Stopped:
		w.String("working")
		w.Name("last_update")
		writeTime(w, c.Updated)
	case c.Err != "":
		w.String("stopped_with_err")
		w.Name("err")
		w.String(c.Err)
	default:
		w.String("stopped")
	}
	w.Close('}')
}

func writeSendFailures(w *jsonx.Writer, failures map[string]admin.SendFailure) {
	w.Open('{')
	for _, address := range slices.Sorted(maps.Keys(failures)) {
		f := failures[address]
		w.Name(address)
		w.Open('{')
		w.Name("count")
		w.Uint(f.Count)
		w.Name("latest_error")
		writeText(w, f.Latest)
		if !f.At.IsZero() {
			w.Name("latest_error_timestamp")
			writeTime(w, f.At)
		}
		w.Close('}')
	}
	w.Close('}')
}

// CollectionCluster writes what GET /collections/{c}/cluster tells.
func CollectionCluster(c *admin.Collection) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("peer_id")
		w.Uint(c.Peer)
		w.Name("shard_count")
		w.Uint(c.Shards)
		w.Name("local_shards")
		each(w, c.Local, func(w *jsonx.Writer, r admin.Replica) {
			writeReplica(w, &r, func() {
				w.Name("points_count")
				w.Uint(r.Points)
			})
		})
		w.Name("remote_shards")
		each(w, c.Remote, func(w *jsonx.Writer, r admin.Replica) {
			writeReplica(w, &r, func() {
				w.Name("peer_id")
				w.Uint(r.Peer)
			})
		})
		w.Name("shard_transfers")
		each(w, c.Transfers, writeTransfer)
		if len(c.Resharding) > 0 {
			w.Name("resharding_operations")
			each(w, c.Resharding, writeResharding)
		}
		w.Close('}')
	}
}

// writeReplica writes a copy of a shard: the API's members, of which own writes one,
// and ours behind them.
func writeReplica(w *jsonx.Writer, r *admin.Replica, own func()) {
	w.Open('{')
	w.Name("shard_id")
	w.Uint(uint64(r.Shard))
	writeKeyAndOrder(w, r.Key, nil)
	own()
	w.Name("state")
	writeEnum(w, replicaStates, int(r.State))
	if e := r.Replication; e != nil {
		w.Name("leader")
		writePeer(w, e.Leader)
		w.Name("epoch")
		w.Uint(e.Epoch)
		w.Name("in_sync")
		each(w, e.InSync, (*jsonx.Writer).Uint)
		if e.Lag != nil {
			w.Name("lag")
			w.Uint(*e.Lag)
		}
	}
	w.Close('}')
}

func writeTransfer(w *jsonx.Writer, t admin.Transfer) {
	w.Open('{')
	w.Name("shard_id")
	w.Uint(uint64(t.GetShardId()))
	if t.ToShardId != nil {
		w.Name("to_shard_id")
		w.Uint(uint64(t.GetToShardId()))
	}
	w.Name("from")
	w.Uint(t.GetFrom())
	w.Name("to")
	w.Uint(t.GetTo())
	w.Name("sync")
	w.Bool(t.GetSync())
	if t.Method != nil {
		w.Name("method")
		writeEnum(w, transferMethods, int(*t.Method))
	}
	if t.Comment != "" {
		w.Name("comment")
		w.String(t.Comment)
	}
	w.Close('}')
}

func writeResharding(w *jsonx.Writer, m *pb.ReshardingInfo) {
	w.Open('{')
	w.Name("direction")
	writeEnum(w, reshardingDirections, int(m.GetDirection()))
	w.Name("shard_id")
	w.Uint(uint64(m.GetShardId()))
	w.Name("peer_id")
	w.Uint(m.GetPeerId())
	writeKeyAndOrder(w, m.GetShardKey(), nil)
	w.Close('}')
}

// ShardKeys writes what GET /collections/{c}/shards tells.
func ShardKeys(m *pb.ListShardKeysResponse) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("shard_keys")
		if m.GetShardKeys() == nil { // not of custom sharding, or empty
			w.Null()
		} else {
			each(w, m.GetShardKeys(), func(w *jsonx.Writer, d *pb.ShardKeyDescription) {
				w.Open('{')
				w.Name("key")
				writeShardKey(w, d.GetKey())
				w.Close('}')
			})
		}
		w.Close('}')
	}
}

func writeShardKey(w *jsonx.Writer, k *pb.ShardKey) {
	switch v := k.GetKey().(type) {
	case *pb.ShardKey_Keyword:
		w.String(v.Keyword)
	case *pb.ShardKey_Number:
		w.Uint(v.Number)
	default:
		w.Null()
	}
}

// Texts writes a list of texts.
func Texts(list []string) Answer {
	return func(w *jsonx.Writer) { each(w, list, (*jsonx.Writer).String) }
}

// ClusterTelemetry writes what GET /cluster/telemetry tells.
func ClusterTelemetry(t *admin.Telemetry) Answer {
	return func(w *jsonx.Writer) {
		w.Open('{')
		w.Name("collections")
		w.Open('{')
		for _, name := range slices.Sorted(maps.Keys(t.Collections)) {
			w.Name(name)
			writeCollectionTelemetry(w, name, t.Collections[name])
		}
		w.Close('}')
		w.Name("cluster")
		w.Open('{')
		w.Name("enabled")
		w.Bool(t.Enabled)
		w.Name("number_of_peers")
		if t.Enabled {
			w.Uint(uint64(len(t.Peers)))
		} else {
			w.Null()
		}
		w.Name("peers")
		w.Open('{')
		for _, id := range slices.Sorted(maps.Keys(t.Peers)) {
			w.Name(strconv.FormatUint(id, 10))
			writePeerTelemetry(w, t.Peers[id])
		}
		w.Close('}')
		w.Close('}')
		w.Close('}')
	}
}

func writePeerTelemetry(w *jsonx.Writer, p admin.PeerTelemetry) {
	w.Open('{')
	w.Name("uri")
	w.String(p.URI)
	w.Name("responsive")
	w.Bool(p.Answer != nil)
	w.Name("details")
	if a := p.Answer; a == nil {
		w.Null()
	} else {
		w.Open('{')
		w.Name("version")
		w.String(a.Version)
		w.Name("role")
		writeText(w, a.Raft.Role)
		w.Name("is_voter")
		w.Bool(a.Raft.Voter)
		w.Name("term")
		w.Uint(a.Raft.Term)
		w.Name("commit")
		w.Uint(a.Raft.Commit)
		w.Name("num_pending_operations")
		w.Uint(a.Raft.Pending)
		w.Name("consensus_thread_status")
		writeConsensus(w, &a.Consensus)
		w.Close('}')
	}
	w.Close('}')
}

// writeCollectionTelemetry writes the copies of a collection by their shards.
func writeCollectionTelemetry(w *jsonx.Writer, name string, c admin.CollectionTelemetry) {
	w.Open('{')
	w.Name("id")
	w.String(name)
	w.Name("shards")
	copies := map[uint32][]admin.Replica{}
	for _, r := range c.Replicas {
		copies[r.Shard] = append(copies[r.Shard], r)
	}
	w.Open('[')
	for _, id := range slices.Sorted(maps.Keys(copies)) {
		writeShardTelemetry(w, id, copies[id])
	}
	w.Close(']')
	if len(c.Resharding) > 0 {
		w.Name("reshardings")
		each(w, c.Resharding, writeResharding)
	}
	if len(c.Transfers) > 0 {
		w.Name("shard_transfers")
		each(w, c.Transfers, writeTransfer)
	}
	w.Close('}')
}

func writeShardTelemetry(w *jsonx.Writer, id uint32, copies []admin.Replica) {
	w.Open('{')
	w.Name("id")
	w.Uint(uint64(id))
	if k := copies[0].Key; k != nil {
		w.Name("key")
		writeShardKey(w, k)
	}
	w.Name("replicas")
	each(w, copies, func(w *jsonx.Writer, r admin.Replica) {
		w.Open('{')
		w.Name("peer_id")
		w.Uint(r.Peer)
		w.Name("state")
		writeEnum(w, replicaStates, int(r.State))
		w.Name("num_points")
		w.Uint(r.Points)
		w.Close('}')
	})
	w.Close('}')
}
