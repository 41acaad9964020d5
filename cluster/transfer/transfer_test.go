package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var shard = topology.ShardName{Collection: "c-1", Shard: 3}

// export has its files in memory.
type export struct {
	files  []transfer.File
	data   [][]byte
	closed chan struct{} // closed with it
}

func newExport(sizes map[string]int) *export {
	r := rand.NewChaCha8([32]byte{1})
	e := &export{closed: make(chan struct{})}
	for _, name := range []string{"manifest", "a/b/empty", "a/large", "z"} {
		size, ok := sizes[name]
		if !ok {
			continue
		}
		b := make([]byte, size)
		_, _ = r.Read(b) // never fails
		e.data = append(e.data, b)
		e.files = append(e.files, transfer.File{Name: name, Size: int64(size), CRC: transfer.Checksum(b)})
	}
	return e
}

// usual has an empty file, one that ends within a chunk, and one of whole chunks.
func usual() *export {
	return newExport(map[string]int{"manifest": 100, "a/b/empty": 0, "a/large": 2<<20 + 5, "z": 1 << 20})
}

func (e *export) Meta() []byte           { return []byte("meta") }
func (e *export) Files() []transfer.File { return e.files }
func (e *export) Close() error           { close(e.closed); return nil }

func (e *export) Open(i int) (transfer.ReaderAtCloser, error) {
	return struct {
		io.ReaderAt
		io.Closer
	}{bytes.NewReader(e.data[i]), io.NopCloser(nil)}, nil
}

// source is Exports without a network; tamper sees each chunk of each stream on its way.
type source struct {
	exports *transfer.Exports
	tamper  func(stream, chunk int, c *transfer.Chunk) error
	mu      sync.Mutex
	streams int
}

func (s *source) Files(ctx context.Context, r transfer.Request) (transfer.Stream, error) {
	s.mu.Lock()
	number := s.streams
	s.streams++
	s.mu.Unlock()
	st := &stream{ctx: ctx, chunks: make(chan transfer.Chunk), end: make(chan error, 1)}
	go func() {
		n := 0
		st.end <- s.exports.Send(ctx, r, func(c transfer.Chunk) error {
			c.Data = bytes.Clone(c.Data)
			if s.tamper != nil && !r.Done {
				if err := s.tamper(number, n, &c); err != nil {
					return err
				}
			}
			n++
			select {
			case st.chunks <- c:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(st.chunks)
	}()
	return st, nil
}

type stream struct {
	ctx    context.Context //nolint:containedctx // a stream's, as gRPC has it
	chunks chan transfer.Chunk
	end    chan error
}

func (s *stream) Recv() (transfer.Chunk, error) {
	select {
	case c, ok := <-s.chunks:
		if ok {
			return c, nil
		}
		if err := <-s.end; err != nil {
			return transfer.Chunk{}, err
		}
		return transfer.Chunk{}, io.EOF
	case <-s.ctx.Done():
		return transfer.Chunk{}, s.ctx.Err()
	}
}

// bed is both sides.
type bed struct {
	export   *export
	source   *source
	fs       *fsx.Mem
	fetcher  *transfer.Fetcher
	progress transfer.Progress
	// installed is what Install found.
	installed map[string][]byte
}

func newBed(t *testing.T, change ...func(*transfer.FetcherOptions, *transfer.ExportsOptions)) *bed {
	t.Helper()
	b := &bed{export: usual(), fs: fsx.NewMem()}
	fo := transfer.FetcherOptions{FS: b.fs, BytesPerSecond: 1 << 40}
	eo := transfer.ExportsOptions{
		BytesPerSecond: 1 << 40,
		Open:           func(context.Context, topology.ShardName) (transfer.Export, error) { return b.export, nil },
	}
	for _, c := range change {
		c(&fo, &eo)
	}
	b.source = &source{exports: transfer.NewExports(eo)}
	t.Cleanup(b.source.exports.Close)
	b.fetcher = transfer.NewFetcher(fo)
	return b
}

func (b *bed) fetch(ctx context.Context) error {
	return b.fetcher.Fetch(ctx, transfer.Job{
		Shard: shard, From: b.source, Dir: "staging/3", Progress: &b.progress,
		Install: func(_ context.Context, dir string, m transfer.Manifest) error {
			if string(m.Meta) != "meta" {
				return errors.New("another meta")
			}
			// What is installed must outlive a power cut.
			after := b.fs.CrashClone(rand.New(rand.NewPCG(3, 4)))
			b.installed = map[string][]byte{}
			for _, f := range m.Files {
				data, err := read(after, path.Join(dir, f.Name))
				if err != nil {
					return err
				}
				b.installed[f.Name] = data
			}
			return nil
		},
	})
}

func read(fs fsx.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, f.Close()
}

// whole checks that everything arrived, and that the sender keeps nothing open.
func (b *bed) whole(t *testing.T) {
	t.Helper()
	require.Len(t, b.installed, len(b.export.files))
	for i, f := range b.export.files {
		require.Equal(t, f.CRC, transfer.Checksum(b.installed[f.Name]), f.Name)
		require.Len(t, b.installed[f.Name], len(b.export.data[i]))
	}
	require.Equal(t, b.progress.Bytes.Load(), b.progress.BytesDone.Load())
	require.EqualValues(t, len(b.export.files), b.progress.FilesDone.Load())
	<-b.export.closed
	require.Empty(t, b.source.exports.Open())
}

func TestFetch(t *testing.T) {
	b := newBed(t)
	require.NoError(t, b.fs.MkdirAll("staging/3"))
	left, err := b.fs.Create("staging/3/left-over")
	require.NoError(t, err)
	require.NoError(t, left.Close())
	require.NoError(t, b.fetch(t.Context()))
	b.whole(t)
	require.Zero(t, b.progress.Resumed.Load())
	_, err = b.fs.Stat("staging/3/left-over")
	require.Error(t, err, "what a transfer before left is removed")
}

func TestResumesWhereItWas(t *testing.T) {
	b := newBed(t)
	var again int
	seen := map[[2]int64]bool{}
	b.source.tamper = func(_, chunk int, c *transfer.Chunk) error {
		if c.Manifest == nil {
			key := [2]int64{int64(c.File), c.Offset}
			if seen[key] {
				again++
			}
			seen[key] = true
		}
		if chunk == 2 {
			return errors.New("the cable was pulled")
		}
		return nil
	}
	require.NoError(t, b.fetch(t.Context()))
	b.whole(t)
	require.NotZero(t, b.progress.Resumed.Load())
	// Only the chunk that the cable took was sent again.
	require.LessOrEqual(t, again, int(b.progress.Resumed.Load()))
}

func TestDamagedChunkIsSentAgain(t *testing.T) {
	b := newBed(t)
	b.source.tamper = func(stream, chunk int, c *transfer.Chunk) error {
		if stream == 0 && chunk == 3 {
			c.Data[7] ^= 1
		}
		return nil
	}
	require.NoError(t, b.fetch(t.Context()))
	b.whole(t)
	require.EqualValues(t, 1, b.progress.Resumed.Load())
}

func TestFileThatWasReadWrongIsReadAgain(t *testing.T) {
	b := newBed(t)
	b.source.tamper = func(stream, chunk int, c *transfer.Chunk) error {
		if stream == 0 && chunk == 3 { // damaged before its checksum was made
			c.Data[7] ^= 1
			c.CRC = transfer.Checksum(c.Data)
		}
		return nil
	}
	require.NoError(t, b.fetch(t.Context()))
	b.whole(t)
}

func TestDamagedFileIsNeverInstalled(t *testing.T) {
	for name, spoil := range map[string]func(*export){
		"bytes": func(e *export) { e.data[2][9] ^= 1 },
		"empty": func(e *export) { e.files[1].CRC++ },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			spoil(b.export)
			require.ErrorIs(t, b.fetch(t.Context()), transfer.ErrCorrupt)
			require.Nil(t, b.installed)
			_, err := b.fs.Stat("staging/3")
			require.Error(t, err, "nothing is left")
			<-b.export.closed
		})
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"../outside": "outside", "/etc/passwd": "outside", "a/../../b": "outside", "a//b": "outside", ".": "outside", "": "outside", "z": "twice",
	} {
		b := newBed(t)
		b.export.files[0].Name = name
		err := b.fetch(t.Context())
		require.ErrorContains(t, err, text, name)
		require.Nil(t, b.installed)
		<-b.export.closed
	}
}

func TestChunksOutOfOrderAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*transfer.Chunk){
		"file":     func(c *transfer.Chunk) { c.File++ },
		"offset":   func(c *transfer.Chunk) { c.Offset++ },
		"too long": func(c *transfer.Chunk) { c.Data = append(c.Data, 1); c.CRC = transfer.Checksum(c.Data) },
		"empty":    func(c *transfer.Chunk) { c.Data = nil; c.CRC = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.source.tamper = func(_, chunk int, c *transfer.Chunk) error {
				if chunk == 1 {
					spoil(c)
				}
				return nil
			}
			require.ErrorContains(t, b.fetch(t.Context()), "isn't the next one")
			require.Nil(t, b.installed)
		})
	}
}

func TestStalledStreamIsOpenedAgain(t *testing.T) {
	b := newBed(t, func(f *transfer.FetcherOptions, _ *transfer.ExportsOptions) { f.Stall = 50 * time.Millisecond })
	let := make(chan struct{})
	defer close(let)
	b.source.tamper = func(stream, chunk int, _ *transfer.Chunk) error {
		if stream == 0 && chunk == 3 {
			<-let
		}
		return nil
	}
	require.NoError(t, b.fetch(t.Context()))
	require.Len(t, b.installed, 4)
	require.NotZero(t, b.progress.Resumed.Load())
}

func TestGivesUpWithoutProgress(t *testing.T) {
	b := newBed(t, func(f *transfer.FetcherOptions, _ *transfer.ExportsOptions) { f.Attempts = 3 })
	b.source.tamper = func(_, _ int, c *transfer.Chunk) error {
		if c.Manifest == nil {
			return errors.New("no way")
		}
		return nil
	}
	err := b.fetch(t.Context())
	require.ErrorContains(t, err, "failed 3 times in a row")
	require.ErrorContains(t, err, "no way")
}

func TestForgottenExportBeginsAnew(t *testing.T) {
	b := newBed(t, func(_ *transfer.FetcherOptions, e *transfer.ExportsOptions) { e.Lease = time.Nanosecond })
	first := b.export
	b.source.tamper = func(stream, chunk int, _ *transfer.Chunk) error {
		if stream == 0 && chunk == 2 {
			b.export = usual() // for the one who asks next
			return errors.New("the cable was pulled")
		}
		return nil
	}
	require.NoError(t, b.fetch(t.Context()))
	b.whole(t)
	<-first.closed
}

func TestLimitOfExports(t *testing.T) {
	b := newBed(t, func(f *transfer.FetcherOptions, e *transfer.ExportsOptions) { e.Limit, f.Attempts = 1, 1 })
	inside := make(chan struct{})
	held, release := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(held)
		_ = b.source.exports.Send(context.Background(), transfer.Request{Shard: shard}, func(transfer.Chunk) error {
			close(inside)
			<-release
			return io.ErrClosedPipe
		})
	}()
	<-inside
	require.Len(t, b.source.exports.Open(), 1)
	err := b.fetch(t.Context())
	require.ErrorContains(t, err, "1 copies are being sent already")
	require.Equal(t, apierror.Unavailable, apierror.KindOf(err))
	b.source.exports.Close()
	require.Len(t, b.source.exports.Open(), 1, "one that is read stays open")
	close(release)
	<-held
	<-b.export.closed
	err = b.source.exports.Send(t.Context(), transfer.Request{Shard: shard}, nil)
	require.ErrorContains(t, err, "shutting down")
}

func TestLimitOfTransfers(t *testing.T) {
	b := newBed(t, func(f *transfer.FetcherOptions, e *transfer.ExportsOptions) {
		f.Limit, e.Limit = 2, 100
		e.Open = func(context.Context, topology.ShardName) (transfer.Export, error) {
			return newExport(map[string]int{"manifest": 100, "z": 1000}), nil
		}
	})
	var running, most, installed atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	b.source.tamper = func(_, _ int, c *transfer.Chunk) error {
		if c.Manifest == nil {
			return nil
		}
		now := running.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		if now == 2 {
			once.Do(func() { close(full) })
		}
		<-full // so that two run together at least once
		return nil
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := b.fetcher.Fetch(context.Background(), transfer.Job{
				Shard: shard, From: b.source, Dir: path.Join("staging", strconv.Itoa(i)),
				Install: func(context.Context, string, transfer.Manifest) error {
					running.Add(-1)
					installed.Add(1)
					return nil
				},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 8, installed.Load())
	require.EqualValues(t, 2, most.Load())
}

func TestCancelEndsATransfer(t *testing.T) {
	b := newBed(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.source.tamper = func(_, chunk int, _ *transfer.Chunk) error {
		if chunk == 2 {
			cancel()
		}
		return nil
	}
	require.ErrorIs(t, b.fetch(ctx), context.Canceled)
	require.Nil(t, b.installed)
	_, err := b.fs.Stat("staging/3")
	require.Error(t, err)
	<-b.export.closed // it was told, though ctx had ended
}

func TestPlacesThatDontExist(t *testing.T) {
	b := newBed(t)
	for _, r := range []transfer.Request{{File: -1}, {File: 9}, {Offset: -1}, {Offset: 101}} {
		b.export = usual()
		b.source.exports = transfer.NewExports(transfer.ExportsOptions{
			Open: func(context.Context, topology.ShardName) (transfer.Export, error) { return b.export, nil },
		})
		r.Shard = shard
		err := b.source.exports.Send(t.Context(), r, func(transfer.Chunk) error { return nil })
		require.Equal(t, apierror.BadInput, apierror.KindOf(err), "%+v", r)
		b.source.exports.Close()
	}
	err := b.source.exports.Send(t.Context(), transfer.Request{Shard: shard, Token: "other"}, nil)
	require.Equal(t, apierror.NotFound, apierror.KindOf(err))
}

func TestFullDiskIsNotTriedAgain(t *testing.T) {
	b := newBed(t)
	full := fsx.NewFault(b.fs, func(op fsx.Op) error {
		if op.Kind == fsx.OpWrite {
			return errors.New("disk is full")
		}
		return nil
	})
	b.fetcher = transfer.NewFetcher(transfer.FetcherOptions{FS: full})
	require.ErrorContains(t, b.fetch(t.Context()), "disk is full")
	require.Zero(t, b.progress.Resumed.Load())
}
