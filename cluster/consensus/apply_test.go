package consensus

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhenASnapshotIsDue(t *testing.T) {
	o := Options{SnapshotEntries: 128, SnapshotBytes: 64 << 20}
	for _, c := range []struct {
		name                 string
		entries, bytes, size uint64
		due                  bool
	}{
		{"nothing was applied", 0, 0, 0, false},
		{"few entries", 127, 127 << 10, 1 << 10, false},
		{"many, and the state is small", 128, 128 * entryBytes, smallSnapshot, true},
		{"many, and the state is larger than they are", 128, 128 << 10, 1 << 20, false},
		{"as much as the state", 1000, 1 << 20, 1 << 20, true},
		{"as much as may be at all", 3, 64 << 20, 1 << 30, true},
	} {
		require.Equal(t, c.due, o.snapshotDue(c.entries, c.bytes, c.size), c.name)
	}
}

// However large the state grows, snapshots cost no more than a few times what the entries do.
func TestSnapshotsCostNoMoreThanEntries(t *testing.T) {
	o := Options{SnapshotEntries: 128, SnapshotBytes: 64 << 20}
	const entry = 500
	var entries, bytes, size, last, written uint64
	const all = 100_000
	for range all {
		size += entry
		entries++
		if bytes += entry; o.snapshotDue(entries, bytes, last) {
			written += size
			entries, bytes, last = 0, 0, size
		}
	}
	require.Less(t, written, uint64(4*all*entry))
}
