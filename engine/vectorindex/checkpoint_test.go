package vectorindex

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/segment"
)

func (f *fixture) checkpoint() {
	cp := f.ix.Freeze()
	files, err := cp.Write(context.Background(), f.o.Dir)
	require.NoError(f.t, err)
	require.NoError(f.t, f.o.Dir.Store(&segment.Manifest{Files: map[string][]segment.FileInfo{"v": files}}))
	require.NoError(f.t, cp.Commit())
	require.NoError(f.t, f.o.Dir.RemoveDead())
	f.o.Files = files
}

func (f *fixture) reopen() {
	require.NoError(f.t, f.ix.Close())
	f.open()
}
