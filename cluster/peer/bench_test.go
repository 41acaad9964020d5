package peer_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
)

// counting is a node that only counts.
type counting struct {
	peer.Handler // nothing else is called
	got          chan int
}

func (c counting) OnReplication(_ peer.From, all []replication.Envelope) { c.got <- len(all) }

// BenchmarkReplicationLane sends appends of one entry, as many under way as half the queue.
func BenchmarkReplicationLane(b *testing.B) {
	for _, size := range []int{200, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(b, err)
			h := counting{got: make(chan int, 1000)}
			s := peer.NewServer(peer.ServerOptions{Self: two, Handler: h})
			go func() { _ = s.Serve(l) }() // it ends with Shutdown
			defer s.Shutdown(b.Context())
			p := peer.NewPool(peer.PoolOptions{Self: one})
			defer p.Close()
			require.NoError(b, p.Set(peer.Target{Peer: 2, Addr: l.Addr().String()}))
			e := envelope(0)
			e.Message = replication.Append{First: 1, Last: 1, Entries: []replication.Entry{{Kind: replication.Data, Body: make([]byte, size)}}}
			window := min(8000, (32<<20)/size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			underWay := 0
			for b.Loop() {
				for underWay >= window {
					underWay -= <-h.got
				}
				p.SendReplication(e)
				underWay++
			}
			for underWay > 0 {
				underWay -= <-h.got
			}
			require.Empty(b, p.Failures())
		})
	}
}
