package peer

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
)

// failing is an answer that may have an error in it.
type failing interface{ GetError() *peerpb.Error }

// call makes one call. anyProcess says that it doesn't matter which process answers.
func call[Req any, Resp failing](
	ctx context.Context, c *Conn, l *line, anyProcess bool,
	method func(peerpb.PeerClient, context.Context, Req, ...grpc.CallOption) (Resp, error), req Req,
) (resp Resp, err error) {
	h := c.pool.handshake(c.Target())
	if anyProcess {
		h.ToIncarnation = 0
	}
	out, client, err := c.begin(ctx, l, h)
	if err != nil {
		return resp, err
	}
	resp, err = method(client, out, req)
	if err = c.finish(ctx, err); err != nil {
		return resp, err
	}
	return resp, errorFromPB(resp.GetError())
}

// Heartbeat tells the controller that this node lives. The answer may be right even with
// an error: it names the leader.
func (c *Conn) Heartbeat(ctx context.Context, h Heartbeat) (HeartbeatAnswer, error) {
	r, err := call(ctx, c, &c.urgent, true, peerpb.PeerClient.Heartbeat,
		&peerpb.HeartbeatRequest{Incarnation: h.Incarnation, Load: h.Load, Digest: h.Digest})
	return HeartbeatAnswer{Leader: topology.PeerID(r.GetLeader()), Answer: r.GetAnswer()}, err
}

// Command has the peer propose a change of the topology.
func (c *Conn) Command(ctx context.Context, command []byte) (Commanded, error) {
	r, err := call(ctx, c, &c.urgent, false, peerpb.PeerClient.Command, &peerpb.CommandRequest{Command: command})
	return Commanded{Index: r.GetIndex(), Result: r.GetResult()}, err
}

// Status asks who the peer is.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	r, err := call(ctx, c, &c.urgent, true, peerpb.PeerClient.Status, &peerpb.StatusRequest{})
	return statusFromPB(r), err
}

// Call asks the peer, or its copy of a shard. An ErrUnreachable that isn't ErrDown, and a timeout, leave open
// whether it was carried out.
func (c *Conn) Call(ctx context.Context, q Call) ([]byte, error) {
	r, err := call(ctx, c, &c.forward, false, peerpb.PeerClient.Call, &peerpb.CallRequest{
		Collection: q.Shard.Collection, Shard: q.Shard.Shard, At: q.At, Kind: q.Kind, Request: q.Request,
	})
	return r.GetResponse(), err
}

// Files opens a stream of a copy's files: Conn is a transfer.Source.
func (c *Conn) Files(ctx context.Context, r transfer.Request) (transfer.Stream, error) {
	out, client, err := c.begin(ctx, &c.bulk, c.pool.handshake(c.Target()))
	if err != nil {
		return nil, err
	}
	s, err := client.Files(out, &peerpb.FilesRequest{
		Collection: r.Shard.Collection, Shard: r.Shard.Shard, Token: r.Token,
		File: uint32(r.File), Offset: uint64(r.Offset), Done: r.Done,
	})
	if err == nil {
		_, err = s.Header() // reached, or not
	}
	if err = c.finish(ctx, err); err != nil {
		return nil, err
	}
	return &fileStream{conn: c, ctx: ctx, stream: s}, nil
}

// fileStream turns messages into chunks.
type fileStream struct {
	conn   *Conn
	ctx    context.Context //nolint:containedctx // the stream's, for its errors
	stream grpc.ServerStreamingClient[peerpb.FilesResponse]
}

// Recv returns the next chunk.
func (f *fileStream) Recv() (transfer.Chunk, error) {
	m, err := f.stream.Recv()
	if errors.Is(err, io.EOF) {
		return transfer.Chunk{}, io.EOF
	}
	if err != nil {
		return transfer.Chunk{}, errorFromGRPC(f.ctx, f.conn.name(), err)
	}
	if err := errorFromPB(m.GetError()); err != nil {
		return transfer.Chunk{}, err
	}
	return chunkFromPB(m), nil
}

func chunkFromPB(m *peerpb.FilesResponse) transfer.Chunk {
	c := transfer.Chunk{File: int(m.GetFile()), Offset: int64(m.GetOffset()), Data: m.GetData(), CRC: m.GetCrc()}
	if in := m.GetManifest(); in != nil {
		c.Manifest = &transfer.Manifest{Token: in.GetToken(), Meta: in.GetMeta(), Files: make([]transfer.File, len(in.GetFiles()))}
		for i, f := range in.GetFiles() {
			c.Manifest.Files[i] = transfer.File{Name: f.GetName(), Size: int64(f.GetSize()), CRC: f.GetCrc()}
		}
	}
	return c
}

func chunkToPB(c transfer.Chunk) *peerpb.FilesResponse {
	m := &peerpb.FilesResponse{File: uint32(c.File), Offset: uint64(c.Offset), Data: c.Data, Crc: c.CRC}
	if c.Manifest != nil {
		m.Manifest = &peerpb.Manifest{Token: c.Manifest.Token, Meta: c.Manifest.Meta, Files: make([]*peerpb.Manifest_File, len(c.Manifest.Files))}
		for i, f := range c.Manifest.Files {
			m.Manifest.Files[i] = &peerpb.Manifest_File{Name: f.Name, Size: uint64(f.Size), Crc: f.CRC}
		}
	}
	return m
}

func statusFromPB(r *peerpb.StatusResponse) Status {
	return Status{
		Identity: Identity{Cluster: r.GetCluster(), Peer: topology.PeerID(r.GetPeer()), Incarnation: r.GetIncarnation()},
		Version:  r.GetVersion(), Leader: topology.PeerID(r.GetLeader()), Term: r.GetTerm(), Applied: r.GetApplied(),
	}
}
