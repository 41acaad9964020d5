package member

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

func TestRecordsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := replication.Entry{
			Position: replication.Position{Epoch: 3, Seq: 7, Chain: 9},
			Kind:     rapid.SampledFrom([]replication.EntryKind{replication.Data, replication.Barrier, replication.Checksum}).Draw(t, "kind"),
			Op: replication.OpID{
				Peer:        topology.PeerID(rapid.Uint64().Draw(t, "peer")),
				Incarnation: rapid.Uint64().Draw(t, "incarnation"), Counter: rapid.Uint64().Draw(t, "counter"),
			},
			Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
		}
		data := appendRecord(nil, &e)
		require.LessOrEqual(t, len(data), maxRecordHead+len(e.Body))
		got, err := readRecord(e.Position, data)
		require.NoError(t, err)
		require.Equal(t, e.Op, got.Op)
		require.Equal(t, e.Kind, got.Kind)
		require.Equal(t, e.Position, got.Position)
		require.Equal(t, string(e.Body), string(got.Body))
		for n := range len(data) - len(e.Body) {
			_, err := readRecord(e.Position, data[:n])
			require.ErrorIs(t, err, errRecord)
		}
	})
}
