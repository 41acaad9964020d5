package member

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// Whoever hands parts to several shards waits for the tickets that there are.
func TestWriteThatIsNotTakenHasNoTicket(t *testing.T) {
	s := &routed{m: &Member{machine: newMachine(nil)}, ops: &atomic.Uint64{}}
	ticket, err := s.Submit(t.Context(), shard.Op{}, shardcall.Write{})
	require.ErrorContains(t, err, "is gone")
	require.Nil(t, ticket)
}

func TestWhatIsTriedElsewhere(t *testing.T) {
	refused := func(r peer.RefusedReason) error {
		return &apierror.Error{Kind: apierror.Unavailable, Msg: "peer 1", Err: &peer.Refused{Reason: r}}
	}
	for _, err := range []error{
		&shardcall.Moved{}, peer.ErrUnreachable, peer.ErrDown,
		refused(peer.RefusedIncarnation), refused(peer.RefusedPeer),
	} {
		require.True(t, isElsewhere(err), "%v", err)
	}
	for _, err := range []error{
		errors.New("no such field"), apierror.New(apierror.Unavailable, "too many writes"),
		refused(peer.RefusedCluster), refused(peer.RefusedKey),
	} {
		require.False(t, isElsewhere(err), "%v", err)
	}
}
