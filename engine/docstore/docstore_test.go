package docstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// model is the naive store: what a Store must look like.
type model struct {
	docs map[point.ID]modelDoc
	next uint64
}

type modelDoc struct {
	doc     uint32
	version uint64
	payload string
}

func (m model) clone() model {
	c := model{docs: make(map[point.ID]modelDoc, len(m.docs)), next: m.next}
	maps.Copy(c.docs, m.docs)
	return c
}

// harness drives a Store and the model through the same operations.
type harness struct {
	fs    *fsx.Mem
	dir   *segment.Dir
	store *Store
	now   model
	seq   uint64

	// The last checkpoint that was committed.
	files []segment.FileInfo
	saved model

	open      segment.Checkpoint // between Freeze and Commit
	openFiles []segment.FileInfo
	openModel model
}

func newHarness(t require.TestingT) *harness {
	h := &harness{fs: fsx.NewMem(), now: model{docs: map[point.ID]modelDoc{}}}
	require.NoError(t, h.fs.MkdirAll("shard"))
	h.saved = h.now.clone()
	h.reopen(t)
	return h
}

func (h *harness) reopen(t require.TestingT) {
	h.dir = &segment.Dir{FS: h.fs, Path: "shard"}
	var err error
	h.store, err = Open(Options{Dir: h.dir, Files: h.files, Damaged: func(err error) { require.NoError(t, err) }})
	require.NoError(t, err)
	h.open = nil
	h.now = h.saved.clone()
}

func (h *harness) put(t require.TestingT, id point.ID, text string) {
	h.seq++
	d, ok := h.now.docs[id]
	doc, found := h.store.Lookup(id)
	require.Equal(t, ok, found, "lookup %v", id)
	if ok {
		require.Equal(t, d.doc, doc)
		h.store.Update(doc, h.seq, payload.Object(text))
	} else {
		var err error
		doc, err = h.store.Insert(id, h.seq, payload.Object(text))
		require.NoError(t, err)
		require.Equal(t, uint32(h.now.next), doc, "numbers are given in order")
		h.now.next++
	}
	h.now.docs[id] = modelDoc{doc, h.seq, text}
}

func (h *harness) delete(id point.ID) {
	h.seq++
	if d, ok := h.now.docs[id]; ok {
		h.store.Delete(d.doc)
		delete(h.now.docs, id)
	}
}

func (h *harness) freeze(t require.TestingT, write bool) {
	h.open, h.openModel = h.store.Freeze(), h.now.clone()
	if write {
		h.write(t)
	}
}

func (h *harness) write(t require.TestingT) {
	var err error
	h.openFiles, err = h.open.Write(context.Background(), h.dir)
	require.NoError(t, err)
}

func (h *harness) commit(t require.TestingT) {
	require.NoError(t, h.open.Commit())
	h.files, h.saved, h.open = h.openFiles, h.openModel, nil
}

func (h *harness) check(t require.TestingT) {
	require.Equal(t, len(h.now.docs), h.store.Len())
	pin := h.store.Pin()
	defer pin.Release()
	var ids []point.ID
	var docs []uint32
	for id, d := range h.now.docs {
		ids, docs = append(ids, id), append(docs, d.doc)
		doc, ok := h.store.Lookup(id)
		require.True(t, ok, "lookup %v", id)
		require.Equal(t, d.doc, doc)
		require.True(t, h.store.Live(doc))
		got, ok := h.store.ID(doc)
		require.True(t, ok)
		require.Equal(t, id, got)
		require.Equal(t, d.version, h.store.Version(doc))
		require.Equal(t, d.payload, string(h.store.Payload(doc)))
	}
	slices.SortFunc(ids, point.ID.Compare)
	slices.Sort(docs)
	var live []uint32
	h.store.EachLive(func(doc uint32) bool { live = append(live, doc); return true })
	require.Equal(t, docs, live)
	if len(docs) > 0 {
		require.Equal(t, docs, h.store.LiveBitmap().ToArray())
	}
	require.Equal(t, ids, h.list(t, point.ID{}, 3))
	if len(ids) > 0 {
		from := ids[len(ids)/2]
		require.Equal(t, ids[len(ids)/2:], h.list(t, from, 1000))
	}
}

// list pages through the store.
func (h *harness) list(t require.TestingT, from point.ID, page int) (ids []point.ID) {
	for {
		got := h.store.From(nil, from, page+1)
		for _, e := range got[:min(page, len(got))] {
			require.Equal(t, h.now.docs[e.ID].doc, e.Doc)
			ids = append(ids, e.ID)
		}
		if len(got) <= page {
			return ids
		}
		from = got[page].ID
	}
}

// testID gives few different IDs, so that they meet again, of all forms.
func testID(n int) point.ID {
	if n%3 == 0 {
		return point.UUID(uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, n)))
	}
	return point.Num(uint64(n) * 0x9E3779B97F4A7C15)
}

func TestStoreIsTheNaiveMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHarness(t)
		ids := rapid.IntRange(0, 40)
		text := rapid.StringN(0, 20, -1)
		t.Repeat(map[string]func(*rapid.T){
			"put":    func(t *rapid.T) { h.put(t, testID(ids.Draw(t, "id")), text.Draw(t, "payload")) },
			"delete": func(t *rapid.T) { h.delete(testID(ids.Draw(t, "id"))) },
			"many": func(t *rapid.T) {
				for n := range rapid.IntRange(1, 40).Draw(t, "n") {
					h.put(t, testID(n), text.Draw(t, "payload"))
				}
			},
			"freeze": func(t *rapid.T) {
				if h.open != nil {
					t.Skip()
				}
				h.freeze(t, false)
			},
			"write and commit": func(t *rapid.T) {
				if h.open == nil {
					t.Skip()
				}
				h.write(t)
				h.commit(t)
			},
			"write and abort": func(t *rapid.T) {
				if h.open == nil {
					t.Skip()
				}
				h.write(t)
				h.open.Abort()
				h.open = nil
			},
			"checkpoint": func(t *rapid.T) {
				if h.open != nil {
					t.Skip()
				}
				h.freeze(t, true)
				h.commit(t)
			},
			"crash": func(t *rapid.T) {
				seed := rapid.Uint64().Draw(t, "crash")
				h.fs = h.fs.CrashClone(rand.New(rand.NewPCG(seed, 0)))
				h.reopen(t)
			},
			"": func(t *rapid.T) { h.check(t) },
		})
		require.NoError(t, h.store.Close())
		require.NoError(t, h.store.Close())
	})
}

// Readers go on while parts are frozen, written, merged and replaced.
func TestReadersDuringCheckpoints(t *testing.T) {
	h := newHarness(t)
	const n = 3000
	for i := range n {
		h.put(t, point.Num(uint64(i)), fmt.Sprint("payload of ", i))
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for r := range 3 {
		readers.Go(func() {
			for i := r; ; i = (i + 7) % n {
				select {
				case <-stop:
					return
				default:
				}
				pin := h.store.Pin()
				doc, ok := h.store.LookupPinned(point.Num(uint64(i)))
				if id, found := h.store.ID(doc); !ok || !found || id != point.Num(uint64(i)) {
					t.Errorf("point %d is lost", i)
				}
				if want := fmt.Sprint("payload of ", i); string(h.store.Payload(doc)) != want {
					t.Errorf("point %d has payload %q", i, h.store.Payload(doc))
				}
				pin.Release()
				if got := h.store.From(nil, point.Num(uint64(i)), 10); got[0].ID != point.Num(uint64(i)) {
					t.Errorf("point %d is not listed", i)
				}
			}
		})
	}
	for round := range 20 {
		for i := round; i < n; i += 17 {
			h.put(t, point.Num(uint64(i)), fmt.Sprint("payload of ", i))
		}
		h.freeze(t, true)
		h.commit(t)
	}
	close(stop)
	readers.Wait()
	h.check(t)
	require.Less(t, h.store.Parts(), 8)
}

func TestMergesKeepPartsFew(t *testing.T) {
	h := newHarness(t)
	for i := range 60 {
		for j := range 50 {
			h.put(t, point.Num(uint64(i*50+j)), "p")
		}
		h.freeze(t, true)
		h.commit(t)
		require.LessOrEqual(t, h.store.Parts(), 8)
	}
	for i := range 2900 {
		h.delete(point.Num(uint64(i)))
	}
	h.freeze(t, true)
	h.commit(t)
	var rows int
	for _, p := range h.store.parts.Load().sealed {
		rows += len(p.docs)
	}
	require.LessOrEqual(t, rows, 400, "what is deleted is dropped")
	h.check(t)
}

// Every flipped byte is found, when the store is opened or when it is read.
func TestFlippedBytes(t *testing.T) {
	h := newHarness(t)
	for i := range 300 {
		h.put(t, testID(i), fmt.Sprint("some payload ", i))
	}
	h.freeze(t, true)
	h.commit(t)
	require.NoError(t, h.store.VerifyAll(t.Context()))
	for _, f := range h.files {
		for off := int64(0); off < f.Size; off += 37 {
			fs := h.fs.KillClone()
			require.NoError(t, fsx.FlipBits(fs, "shard/"+f.Name, off, 1<<(off%8)))
			var damaged error
			s, err := Open(Options{
				Dir: &segment.Dir{FS: fs, Path: "shard"}, Files: h.files,
				Damaged: func(err error) { damaged = err },
			})
			if err != nil {
				require.True(t, isDamage(err), "%v", err)
				continue
			}
			all := s.VerifyAll(t.Context())
			require.Error(t, all, "%s at %d", f.Name, off)
			for id, d := range h.now.docs {
				doc, ok := s.Lookup(id)
				require.True(t, ok)
				if o := s.Payload(doc); o != nil {
					require.Equal(t, d.payload, string(o))
				}
			}
			_ = damaged // padding between sections harms no payload
			require.NoError(t, s.Close())
		}
	}
}

func isDamage(err error) bool {
	return errors.Is(err, segment.ErrCorrupted) || errors.Is(err, segment.ErrForeign) || errors.Is(err, segment.ErrNewer)
}

// TestSample: a sample is spread over the documents, whatever rhythm they have.
func TestSample(t *testing.T) {
	s, err := Open(Options{})
	require.NoError(t, err)
	s.Sample(10, func(uint32) { t.Fatal("there is none") })
	const n = 50_000
	for id := range uint64(n) {
		_, err := s.Insert(point.Num(id), 1, payload.Object{})
		require.NoError(t, err)
	}
	for rhythm := uint32(1); rhythm < 1000; rhythm *= 2 {
		seen, found := 0, map[uint32]int{}
		s.Sample(128, func(doc uint32) {
			seen++
			require.Less(t, doc, uint32(n))
			found[doc%rhythm]++
		})
		require.Greater(t, seen, 110)
		for _, times := range found {
			require.LessOrEqual(t, times, 2*seen/int(rhythm)+4)
		}
	}
	for id := range uint32(n) {
		if id%2 == 0 {
			s.Delete(id)
		}
	}
	s.Sample(128, func(doc uint32) { require.EqualValues(t, 1, doc%2, "only live ones") })
}
