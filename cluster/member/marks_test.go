package member

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestMarkEpochStays: files that are installed while a higher epoch is adopted don't take the
// epoch back.
func TestMarkEpochStays(t *testing.T) {
	log, err := oplog.Open(oplog.Options{FS: fsx.NewMem(), Dir: "log"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	m := &marks{stream: log.Stream("c/0#mark")}
	require.NoError(t, m.store(t.Context(), mark{alloc: 1, epoch: 9, history: 1}))
	require.NoError(t, m.store(t.Context(), mark{alloc: 1, epoch: 10}))
	require.NoError(t, m.store(t.Context(), mark{alloc: 1, history: 2}))
	again, ok, err := loadMarks(t.Context(), m.stream)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, mark{alloc: 1, epoch: 10, history: 2}, again.last)
}
