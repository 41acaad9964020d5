package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

func TestWhatIsSaidOfATransfer(t *testing.T) {
	says := func(s replication.PeerState, asked, method topology.TransferMethod, comment string) {
		t.Helper()
		one := standing{State: s, For: 1260 * time.Millisecond, Has: 3, Lag: 4}
		require.Equal(t, comment, one.comment(asked))
		require.Equal(t, method, one.method())
	}
	says(replication.PeerSilent, "", "", "")
	says(replication.PeerFilling, "", topology.Snapshot, "transferring (1.3s)")
	says(replication.PeerSyncing, "", topology.WALDelta, "recovering (1.3s)")
	says(replication.PeerStreaming, "", topology.WALDelta, "Transferring records (3/7)")
	says(replication.PeerStreaming, topology.StreamRecords, topology.WALDelta, "Transferring records (3/7)")
	says(replication.PeerStreaming, topology.Snapshot, topology.WALDelta, "finalizing (1.3s)")
}
