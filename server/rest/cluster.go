package rest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/admin"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/server/rest/dialect"
)

// clusterRoutes are for operators of a cluster. Those of a node alone are answered by
// its desk.
func (s *server) clusterRoutes() []route {
	c := s.Collections
	const metadata, shard = "/cluster/metadata/keys", collection + "/shards/{shard_id}"
	return []route{
		{"GET /cluster", Read, s.clusterStatus},
		{"POST /cluster/recover", Manage, s.recoverPeer},
		{"DELETE /cluster/peer/{peer_id}", Manage, s.removePeer},
		{"PUT /cluster/peer/{peer_id}/drain", Manage, s.drainPeer(true)},
		{"DELETE /cluster/peer/{peer_id}/drain", Manage, s.drainPeer(false)},
		{"POST /cluster/peer/{peer_id}/hand_over", Manage, s.handOver},
		{"GET /cluster/telemetry", Read, s.clusterTelemetry},
		{"GET " + metadata, Read, s.metadataKeys},
		{"GET " + metadata + "/{key}", Read, s.metadata},
		{"PUT " + metadata + "/{key}", Manage, s.setMetadata},
		{"DELETE " + metadata + "/{key}", Manage, s.deleteMetadata},
		{"GET " + collection + "/cluster", Read, s.collectionCluster},
		{"POST " + collection + "/cluster", Manage, s.changeCluster},
		{"GET " + collection + "/shards", Read, do(s, pathOnly[pb.ListShardKeysRequest], c.ListShardKeys, dialect.ShardKeys)},
		{"PUT " + collection + "/shards", Manage, changed(s, body(s, dialect.CreateShardKey), c.CreateShardKey)},
		{"POST " + collection + "/shards/delete", Manage, changed(s, body(s, dialect.DeleteShardKey), c.DeleteShardKey)},
		{"POST " + shard + "/points", Read, local(s, body(s, dialect.GetPoints), admin.LocalReads.Get, func(r *pb.GetResponse) dialect.Answer {
			return dialect.Records(r.GetResult())
		})},
		{"POST " + shard + "/points/scroll", Read, local(s, body(s, dialect.ScrollPoints), admin.LocalReads.Scroll, dialect.Scrolled)},
		{"POST " + shard + "/points/count", Read, local(s, body(s, dialect.CountPoints), admin.LocalReads.Count, func(r *pb.CountResponse) dialect.Answer {
			return dialect.Counted(r.GetResult())
		})},
	}
}

// say answers with a result that carries no time of its own.
func (s *server) say(x *exchange, result dialect.Answer) {
	s.answer(x, http.StatusOK, dialect.OK(nil, result, x.seconds(), nil))
}

// changed makes a route of a change whose answer says no more than that it is done.
func changed[Req proto.Message, Resp interface{ GetResult() bool }](
	s *server, read func(*exchange) (Req, error), call func(context.Context, Req) (Resp, error),
) func(*exchange) error {
	return func(x *exchange) error {
		req, err := read(x)
		if err != nil {
			return err
		}
		if err := addressed(x, req); err != nil {
			return err
		}
		resp, err := call(x.r.Context(), req)
		if err != nil {
			return err
		}
		s.say(x, dialect.Bool(resp.GetResult()))
		return nil
	}
}

// local makes a route of a read of this node's copy of a shard.
func local[Req proto.Message, Resp response](
	s *server, read func(*exchange) (Req, error), call func(admin.LocalReads, context.Context, Req) (Resp, error), render func(Resp) dialect.Answer,
) func(*exchange) error {
	return func(x *exchange) error {
		id, err := pathNumber(x, "shard_id", 32)
		if err != nil {
			return err
		}
		reads, err := s.Cluster.Local(x.collection, uint32(id)) //nolint:gosec // of 32 bits
		if err != nil {
			return err
		}
		return do(s, read, func(ctx context.Context, req Req) (Resp, error) { return call(reads, ctx, req) }, render)(x)
	}
}

// pathNumber reads a number that is part of the path.
func pathNumber(x *exchange, name string, bits int) (uint64, error) {
	v := x.r.PathValue(name)
	n, err := strconv.ParseUint(v, 10, bits)
	if err != nil {
		return 0, &plainError{http.StatusBadRequest, fmt.Sprintf("Format error in path parameters: invalid value %q for %s", v, name)}
	}
	return n, nil
}

// flag reads a switch of the query, false when it isn't there.
func flag(x *exchange, name string) (bool, error) {
	v := x.r.URL.Query().Get(name)
	if v == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, badQuery(name, v)
	}
	return on, nil
}

// patience reads the timeout of a change, 0 when there is none.
func patience(x *exchange) (time.Duration, error) {
	seconds, err := timeoutParam(x.r.URL)
	if err != nil || seconds == nil {
		return 0, err
	}
	return time.Duration(min(*seconds, 1<<31)) * time.Second, nil
}

func (s *server) clusterStatus(x *exchange) error {
	status, err := s.Cluster.Status(x.r.Context())
	if err != nil {
		return err
	}
	s.say(x, dialect.ClusterStatus(status))
	return nil
}

func (s *server) recoverPeer(x *exchange) error { return s.done(x, s.Cluster.Recover(x.r.Context())) }

func (s *server) removePeer(x *exchange) error {
	return s.peerChange(func(ctx context.Context, peer uint64, timeout time.Duration) error {
		force, err := flag(x, "force")
		if err != nil {
			return err
		}
		return s.Cluster.RemovePeer(ctx, peer, force, timeout)
	})(x)
}

// drainPeer makes the routes that begin and end a drain.
func (s *server) drainPeer(draining bool) func(*exchange) error {
	return s.peerChange(func(ctx context.Context, peer uint64, timeout time.Duration) error {
		return s.Cluster.Drain(ctx, peer, draining, timeout)
	})
}

// handOver serves the route by which a node gives away what it leads.
func (s *server) handOver(x *exchange) error {
	var to uint64
	if v := x.r.URL.Query().Get("to"); v != "" {
		var err error
		if to, err = strconv.ParseUint(v, 10, 64); err != nil {
			return badQuery("to", v)
		}
	}
	return s.peerChange(func(ctx context.Context, peer uint64, timeout time.Duration) error {
		return s.Cluster.HandOver(ctx, peer, to, timeout)
	})(x)
}

// peerChange makes a route of a change that concerns a node.
func (s *server) peerChange(change func(ctx context.Context, peer uint64, timeout time.Duration) error) func(*exchange) error {
	return func(x *exchange) error {
		peer, err := pathNumber(x, "peer_id", 64)
		if err != nil {
			return err
		}
		timeout, err := patience(x)
		if err != nil {
			return err
		}
		return s.done(x, change(x.r.Context(), peer, timeout))
	}
}

// done answers that a change is done, or hands its error on.
func (s *server) done(x *exchange, err error) error {
	if err != nil {
		return err
	}
	s.say(x, dialect.Bool(true))
	return nil
}

func (s *server) clusterTelemetry(x *exchange) error {
	t, err := s.Cluster.Telemetry(x.r.Context())
	if err != nil {
		return err
	}
	s.say(x, dialect.ClusterTelemetry(t))
	return nil
}

func (s *server) metadataKeys(x *exchange) error {
	keys, err := s.Cluster.MetadataKeys(x.r.Context())
	if err != nil {
		return err
	}
	s.say(x, dialect.Texts(keys))
	return nil
}

func (s *server) metadata(x *exchange) error {
	value, err := s.Cluster.Metadata(x.r.Context(), x.r.PathValue("key"))
	if err != nil {
		return err
	}
	if value == nil {
		value = []byte("null")
	}
	s.say(x, dialect.Text(value))
	return nil
}

func (s *server) setMetadata(x *exchange) error {
	wait, err := flag(x, "wait")
	if err != nil {
		return err
	}
	buf, err := s.body(x)
	if err != nil {
		return err
	}
	defer putBuffer(buf)
	value, err := dialect.JSONText(buf.Bytes())
	if err != nil {
		return err
	}
	return s.done(x, s.Cluster.SetMetadata(x.r.Context(), x.r.PathValue("key"), value, wait))
}

func (s *server) deleteMetadata(x *exchange) error {
	wait, err := flag(x, "wait")
	if err != nil {
		return err
	}
	return s.done(x, s.Cluster.SetMetadata(x.r.Context(), x.r.PathValue("key"), nil, wait))
}

func (s *server) collectionCluster(x *exchange) error {
	info, err := s.Cluster.Collection(x.r.Context(), x.collection)
	if err != nil {
		return err
	}
	s.say(x, dialect.CollectionCluster(info))
	return nil
}

func (s *server) changeCluster(x *exchange) error {
	op, err := body(s, dialect.ReadClusterOperation)(x)
	if err != nil {
		return err
	}
	timeout, err := patience(x)
	if err != nil {
		return err
	}
	if r := op.Reshard; r != nil {
		r.Collection, r.Timeout = x.collection, timeout
		return s.done(x, s.Cluster.Reshard(x.r.Context(), r))
	}
	if l := op.Lead; l != nil {
		l.Collection, l.Timeout = x.collection, timeout
		return s.done(x, s.Cluster.Lead(x.r.Context(), l))
	}
	if err := addressed(x, op.Setup); err != nil {
		return err
	}
	resp, err := s.Collections.UpdateCollectionClusterSetup(x.r.Context(), op.Setup)
	if err != nil {
		return err
	}
	if !resp.GetResult() {
		return apierror.New(apierror.Internal, "the operation was not carried out")
	}
	s.say(x, dialect.Bool(true))
	return nil
}
