package segment_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// FuzzSegmentFile takes bytes for a file. They must never panic, and when
// everything verifies they must be what a writer writes for the same sections.
func FuzzSegmentFile(f *testing.F) {
	d := newDir(f)
	var sum uint32
	for _, lengths := range [][]int{{}, {10}, {3, 0, 200}, {block + 1}} {
		info := writeFile(f, d, lengths...)
		b, err := fsx.ReadFile(d.FS, d.Path+"/"+info.Name)
		require.NoError(f, err)
		sum = info.Sum
		f.Add(b, sum)
	}
	f.Fuzz(func(t *testing.T, b []byte, sum uint32) {
		d := newDir(t)
		if len(b) >= 12 {
			// Half of the inputs get past the sum, which a fuzzer can't guess.
			if at := len(b) - 12; sum&1 == 0 {
				sum = uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16 | uint32(b[at+3])<<24
			}
		}
		const name = "x-00000001.seg"
		require.NoError(t, fsx.WriteAtomic(d.FS, d.Path+"/"+name, b))
		r, err := d.OpenAny(segment.FileInfo{Name: name, Size: int64(len(b)), Sum: sum})
		if err != nil {
			return
		}
		defer r.Close() //nolint:errcheck // memory
		for _, s := range r.Sections() {
			_, _ = s.At(s.Len()/2, 1)
		}
		if r.VerifyAll(t.Context()) != nil {
			return
		}
		w, err := d.Create("y", r.Kind(), r.Version())
		require.NoError(t, err)
		for _, s := range r.Sections() {
			_, err := w.Section(s.ID()).Write(s.Bytes())
			require.NoError(t, err)
		}
		info, err := w.Finish()
		require.NoError(t, err)
		again, err := fsx.ReadFile(d.FS, d.Path+"/"+info.Name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, again))
	})
}

// FuzzManifest takes bytes for a manifest: no panic, no file removed unless it
// decodes.
func FuzzManifest(f *testing.F) {
	d := newDir(f)
	info := writeFile(f, d, 10)
	for _, m := range []*segment.Manifest{
		{},
		{Seq: 9, NextDoc: 7, Config: []byte("config"), Files: map[string][]segment.FileInfo{"a": {info}, "b": nil}},
	} {
		require.NoError(f, d.Store(m))
		b, err := fsx.ReadFile(d.FS, d.Path+"/MANIFEST")
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDir(t)
		require.NoError(t, fsx.WriteAtomic(d.FS, d.Path+"/MANIFEST", b))
		require.NoError(t, fsx.WriteAtomic(d.FS, d.Path+"/a-00000001.seg", nil))
		if _, err := d.Load(); err != nil {
			require.Len(t, list(t, d), 2)
		}
	})
}
