package peer_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// oneFile is an export of one file.
type oneFile struct {
	data   []byte
	closed chan struct{}
	// reads, when not nil, hears where it is read.
	reads func(off int64)
}

// watched is its data being read.
type watched struct{ oneFile }

func (w watched) ReadAt(b []byte, off int64) (int, error) {
	if w.reads != nil {
		w.reads(off)
	}
	return bytes.NewReader(w.data).ReadAt(b, off)
}

func newOneFile(size int) oneFile {
	r := rand.NewChaCha8([32]byte{1})
	f := oneFile{data: make([]byte, size), closed: make(chan struct{})}
	_, _ = r.Read(f.data) // never fails
	return f
}

func (f oneFile) Meta() []byte { return []byte("meta") }
func (f oneFile) Close() error { close(f.closed); return nil }

func (f oneFile) Files() []transfer.File {
	return []transfer.File{{Name: "dir/file", Size: int64(len(f.data)), CRC: transfer.Checksum(f.data)}}
}

func (f oneFile) Open(int) (transfer.ReaderAtCloser, error) {
	return struct {
		io.ReaderAt
		io.Closer
	}{watched{f}, io.NopCloser(nil)}, nil
}

// send gives a node something to send, of one shard.
func send(n *node, f oneFile) {
	n.exports = transfer.NewExports(transfer.ExportsOptions{
		BytesPerSecond: 1 << 40,
		Open: func(_ context.Context, s topology.ShardName) (transfer.Export, error) {
			if s != shard {
				return nil, apierror.New(apierror.NotFound, "there is no shard %d here", s.Shard)
			}
			return f, nil
		},
	})
}

func TestFilesSurviveACut(t *testing.T) {
	n, f := newNode(), newOneFile(16<<20)
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	px := proxy(t, addr)
	var cuts atomic.Int64
	f.reads = func(off int64) {
		if done := cuts.Load(); done < 3 && off == (done+1)*4<<20 && cuts.CompareAndSwap(done, done+1) {
			px.Cut()
		}
	}
	send(n, f)
	p, _ := dial(t, px.Addr())
	fs := fsx.NewMem()
	fetcher := transfer.NewFetcher(transfer.FetcherOptions{FS: fs, BytesPerSecond: 1 << 40, Attempts: 100})
	var progress transfer.Progress
	fetched := make(chan error, 1)
	var got []byte
	from := conn(t, p)
	go func() {
		fetched <- fetcher.Fetch(context.Background(), transfer.Job{
			Shard: shard, From: from, Dir: "staging", Progress: &progress,
			Install: func(_ context.Context, dir string, m transfer.Manifest) error {
				m2, err := fs.Map(dir + "/" + m.Files[0].Name)
				if err == nil {
					got = bytes.Clone(m2.Bytes())
					err = m2.Close()
				}
				return err
			},
		})
	}()
	require.NoError(t, next(t, fetched))
	require.EqualValues(t, 3, cuts.Load())
	require.NotZero(t, progress.Resumed.Load())
	require.True(t, bytes.Equal(f.data, got))
	next(t, f.closed)
}

func TestFilesErrorsKeepTheirMeaning(t *testing.T) {
	n := newNode()
	send(n, newOneFile(1))
	addr, _ := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	for _, r := range []transfer.Request{{Shard: topology.ShardName{Collection: "c-1", Shard: 4}}, {Shard: shard, Token: "gone"}} {
		s, err := conn(t, p).Files(t.Context(), r)
		require.NoError(t, err)
		_, err = s.Recv()
		require.Equal(t, apierror.NotFound, apierror.KindOf(err))
	}
}

func TestStoppingServerEndsFileStreams(t *testing.T) {
	n, f := newNode(), newOneFile(24<<20)
	send(n, f)
	addr, stop := serve(t, "127.0.0.1:0", peer.ServerOptions{Handler: n})
	p, _ := dial(t, addr)
	s, err := conn(t, p).Files(t.Context(), transfer.Request{Shard: shard})
	require.NoError(t, err)
	_, err = s.Recv()
	require.NoError(t, err)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	for err == nil {
		_, err = s.Recv()
	}
	<-stopped
	n.exports.Close()
	next(t, f.closed)
}
