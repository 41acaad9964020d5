package rest

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/internal/apierror"
)

// operatedCluster is a cluster of three nodes in the middle of much work. It notes what it is
// asked beside the desk's notes.
type operatedCluster struct{ d *desk }

func (c operatedCluster) note(format string, args ...any) {
	c.d.asked = append(c.d.asked, fmt.Sprintf(format, args...))
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)

func (c operatedCluster) Status(context.Context) (*admin.Status, error) {
	return &admin.Status{
		Enabled: true, ID: "5f0c", Peer: 11, Peers: map[uint64]admin.Peer{
			22: {URI: "http://b:6335/", Zone: "east", Replicas: 3, Leads: 2}, 11: {URI: "http://a:6335/", Draining: true}, 1 << 53: {URI: "http://c:6335/", Fenced: true},
		},
		Raft:         admin.Raft{Term: 3, Commit: 400, Pending: 1, Leader: 22, Role: "Follower", Voter: true},
		Consensus:    admin.Consensus{Updated: at},
		SendFailures: map[string]admin.SendFailure{"http://c:6335/": {Count: 5, Latest: "connection refused", At: at}},
	}, nil
}

func (c operatedCluster) Recover(context.Context) error { c.note("Recover"); return nil }

func (c operatedCluster) RemovePeer(_ context.Context, peer uint64, force bool, timeout time.Duration) error {
	c.note("RemovePeer %d force=%t timeout=%s", peer, force, timeout)
	if !force {
		return apierror.New(apierror.BadRequest, "Cannot remove peer %d as there are shards on it", peer)
	}
	return nil
}

func (c operatedCluster) Drain(_ context.Context, peer uint64, draining bool, timeout time.Duration) error {
	c.note("Drain %d %t timeout=%s", peer, draining, timeout)
	return nil
}

func (c operatedCluster) HandOver(_ context.Context, peer, to uint64, timeout time.Duration) error {
	c.note("HandOver %d to=%d timeout=%s", peer, to, timeout)
	return nil
}

func (c operatedCluster) Lead(_ context.Context, r *admin.Lead) error {
	c.note("Lead %+v", *r)
	return nil
}

func (operatedCluster) MetadataKeys(context.Context) ([]string, error) {
	return []string{"a", "b"}, nil
}

func (operatedCluster) Metadata(_ context.Context, key string) ([]byte, error) {
	if key == "a" {
		return []byte(`{"x":[1,1.0]}`), nil
	}
	return nil, nil
}

func (c operatedCluster) SetMetadata(_ context.Context, key string, value []byte, wait bool) error {
	c.note("SetMetadata %s=%s nil=%t wait=%t", key, value, value == nil, wait)
	return nil
}

func (operatedCluster) Telemetry(context.Context) (*admin.Telemetry, error) {
	return &admin.Telemetry{
		Enabled: true,
		Peers: map[uint64]admin.PeerTelemetry{
			22: {URI: "http://b:6335/"},
			11: {URI: "http://a:6335/", Answer: &admin.PeerAnswer{
				Version: "1.19.0", Raft: admin.Raft{Term: 3, Commit: 4, Role: "Leader", Voter: true}, Consensus: admin.Consensus{Stopped: true, Err: "disk"},
			}},
		},
		Collections: map[string]admin.CollectionTelemetry{
			"c": {Replicas: []admin.Replica{{Shard: 1, Peer: 11}, {Shard: 0, Peer: 11, Points: 3}, {Shard: 1, Peer: 22, State: pb.ReplicaState_Dead}}},
		},
	}, nil
}

func (c operatedCluster) Collection(_ context.Context, name string) (*admin.Collection, error) {
	c.note("Collection %s", name)
	if name == "plain" {
		return &admin.Collection{Shards: 1, Local: []admin.Replica{{Points: 2}}}, nil
	}
	own := &admin.Replication{Leader: 11, Epoch: 4, InSync: []uint64{11, 22}, Lag: new(uint64(0))}
	return &admin.Collection{
		Peer: 11, Shards: 2,
		Local: []admin.Replica{
			{Shard: 0, Key: pb.NewShardKey("x"), Points: 7, Replication: own},
			{Shard: 1, Key: pb.NewShardKeyNum(5), State: pb.ReplicaState_ManualRecovery, Replication: &admin.Replication{InSync: []uint64{}}},
		},
		Remote: []admin.Replica{
			{Shard: 0, Key: pb.NewShardKey("x"), Peer: 22, State: pb.ReplicaState_Partial, Replication: own},
		},
		Transfers: []admin.Transfer{
			{ShardTransferInfo: &pb.ShardTransferInfo{ShardId: 0, From: 11, To: 22, Sync: true}, Method: pb.ShardTransferMethod_WalDelta.Enum(), Comment: "1/2"},
			{ShardTransferInfo: &pb.ShardTransferInfo{ShardId: 1, ToShardId: new(uint32(2)), From: 22, To: 11}},
		},
		Resharding: []*pb.ReshardingInfo{{ShardId: 2, PeerId: 11, Direction: pb.ReshardingDirection_Down}},
	}, nil
}

func (c operatedCluster) Update(context.Context, *pb.UpdateCollectionClusterSetupRequest) error {
	return apierror.New(apierror.Internal, "the collections' service does it")
}

func (c operatedCluster) Reshard(_ context.Context, r *admin.Reshard) error {
	text := fmt.Sprintf("Reshard %s step=%d uuid=%q direction=%s key=%v timeout=%s", r.Collection, r.Step, r.UUID, r.Direction, r.Key.GetKey() != nil, r.Timeout)
	if r.Peer != nil {
		text += fmt.Sprintf(" peer=%d", *r.Peer)
	}
	if r.Shard != nil {
		text += fmt.Sprintf(" shard=%d", *r.Shard)
	}
	c.note("%s", text)
	return nil
}

func (operatedCluster) ShardKeys(context.Context, string) ([]*pb.ShardKey, error) { return nil, nil }

func (c operatedCluster) Local(name string, shard uint32) (admin.LocalReads, error) {
	c.note("Local %s %d", name, shard)
	if shard > 1 {
		return nil, apierror.New(apierror.NotFound, "Shard %d is not on this node", shard)
	}
	return pointsFace{d: c.d}, nil
}

func (f collectionsFace) UpdateCollectionClusterSetup(ctx context.Context, r *pb.UpdateCollectionClusterSetupRequest) (*pb.UpdateCollectionClusterSetupResponse, error) {
	return ask[pb.UpdateCollectionClusterSetupResponse](ctx, f.d, "UpdateCollectionClusterSetup", r)
}

func (f collectionsFace) CreateShardKey(ctx context.Context, r *pb.CreateShardKeyRequest) (*pb.CreateShardKeyResponse, error) {
	return ask[pb.CreateShardKeyResponse](ctx, f.d, "CreateShardKey", r)
}

func (f collectionsFace) DeleteShardKey(ctx context.Context, r *pb.DeleteShardKeyRequest) (*pb.DeleteShardKeyResponse, error) {
	return ask[pb.DeleteShardKeyResponse](ctx, f.d, "DeleteShardKey", r)
}

func (f collectionsFace) ListShardKeys(ctx context.Context, r *pb.ListShardKeysRequest) (*pb.ListShardKeysResponse, error) {
	return ask[pb.ListShardKeysResponse](ctx, f.d, "ListShardKeys", r)
}

// TestClusterScripts runs testdata/cluster as TestScripts does, against a cluster, or
// in files whose name begins with "alone" a node without one.
func TestClusterScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/cluster", func(t *testing.T, path string) {
		t.Helper()
		d := &desk{}
		h := door(d, func(o *Options) {
			if !strings.Contains(path, "/alone") {
				o.Cluster = operatedCluster{d}
			}
		})
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			t.Helper()
			if td.Cmd == "answer" {
				d.answer = td.Input
				return ""
			}
			d.asked = nil
			r := httptest.NewRequestWithContext(t.Context(), td.Cmd, td.CmdArgs[0].String(), strings.NewReader(td.Input))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return fmt.Sprintf("%s%d %s\n", strings.Join(append(d.asked, ""), "\n"), w.Code, took.ReplaceAllString(w.Body.String(), `"time":T`))
		})
	})
}

// leveled is a front desk that notes how much its reads must have seen.
type leveled struct {
	pointsFace
	level *consistency.Level
}

func (f leveled) Count(ctx context.Context, r *pb.CountPoints) (*pb.CountResponse, error) {
	*f.level = consistency.Of(ctx)
	return f.pointsFace.Count(ctx, r)
}

func TestLinearizableHeader(t *testing.T) {
	var level consistency.Level
	d := &desk{}
	h := door(d, func(o *Options) { o.Points = leveled{pointsFace{d: d}, &level} })
	const path = "/collections/c/points/count"
	require.Equal(t, 200, request(h, "POST", path, "{}").Code)
	require.Equal(t, consistency.Level{}, level)
	require.Equal(t, 200, request(h, "POST", path, "{}", "x-read-consistency", "linearizable").Code)
	require.Equal(t, consistency.Level{Mode: consistency.Linearizable}, level)
	w := request(h, "POST", path, "{}", "X-Read-Consistency", "strong")
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), "unknown value `strong`")
}
