package member

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// BenchmarkAppend takes entries into memory and appends them to the log, as a copy does with
// what it was asked to write, or with what its leader sends: then chain values are known.
func BenchmarkAppend(b *testing.B) {
	const batch = 32
	body := make([]byte, 3<<10)
	entries := func(chains []uint64, seq uint64) []replication.Entry {
		out := make([]replication.Entry, batch)
		for i := range out {
			seq++
			out[i] = replication.Entry{
				Position: replication.Position{Epoch: 1, Seq: seq}, Kind: replication.Data,
				Op: replication.OpID{Peer: 1 << 50, Incarnation: 3, Counter: seq}, Body: body,
			}
			if chains != nil {
				out[i].Chain = chains[seq-1]
			}
		}
		return out
	}
	for _, name := range []string{"leader", "follower"} {
		b.Run(name, func(b *testing.B) {
			log, err := oplog.Open(oplog.Options{FS: fsx.NewMem(), Dir: "log", FileSize: 4 << 20})
			require.NoError(b, err)
			var chains []uint64
			if name == "follower" {
				var theirs recent
				for seq := uint64(0); seq < uint64(b.N); seq += batch {
					for _, e := range entries(nil, seq) {
						chains = append(chains, theirs.add(e).Chain)
					}
					theirs.release(seq + batch)
				}
			}
			r := &replica{stream: log.Stream("c/0"), ctx: b.Context()}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			for seq := uint64(0); seq < uint64(b.N); seq += batch {
				_, err := r.append(r.remember(entries(chains, seq)))
				require.NoError(b, err)
				r.recent.release(seq + batch)
				require.NoError(b, r.stream.Release(seq))
			}
			b.StopTimer()
			require.NoError(b, log.Close())
		})
	}
}
