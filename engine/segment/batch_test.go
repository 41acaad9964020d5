package segment_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
)

func TestBatch(t *testing.T) {
	d := newDir(t)
	new(segment.Batch).Discard() // without files it needs no directory

	fill := func(w *segment.Writer) error {
		_, err := w.Section(1).Write([]byte("bytes"))
		return err
	}
	names := func() (names []string) {
		entries, err := d.FS.ReadDir(d.Path)
		require.NoError(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	require.NoError(t, d.Store(&segment.Manifest{}))
	b := segment.Batch{Dir: d}
	kept, err := b.Write("kept", "test", 3, fill)
	require.NoError(t, err)
	require.NoError(t, d.Store(&segment.Manifest{Files: map[string][]segment.FileInfo{"a": {kept}}}))
	b = segment.Batch{Dir: d}
	before := names()

	require.Zero(t, b.Len())
	first, err := b.Write("first", "test", 3, fill)
	require.NoError(t, err)
	r, err := d.Open(first, "test", 3)
	require.NoError(t, err)
	s, err := r.Section(1)
	require.NoError(t, err)
	got, err := s.All()
	require.NoError(t, err)
	require.Equal(t, "bytes", string(got))
	require.NoError(t, r.Close())

	unwilling := errors.New("unwilling")
	_, err = b.Write("second", "test", 3, func(*segment.Writer) error { return unwilling })
	require.ErrorIs(t, err, unwilling)
	require.Len(t, names(), len(before)+1, "a file that couldn't be filled is gone, the one before stays")

	require.Equal(t, 1, b.Len())
	b.Discard()
	require.Equal(t, before, names(), "only what the manifest names is left")
	_, err = d.Open(first, "test", 3)
	require.ErrorIs(t, err, segment.ErrCorrupted)
	require.Zero(t, b.Len())
	b.Discard() // once more does nothing
}
