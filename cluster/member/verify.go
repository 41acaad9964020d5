package member

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/shardcall"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/apierror"
)

// checksumsKept is how many checksums a copy remembers: those of the last entries that asked.
const checksumsKept = 4

// checksums are what a copy's state was at entries that asked for it.
type checksums struct {
	seqs []uint64
	sums map[uint64]chan shard.Checksum
}

// expect makes room for the checksum at an entry. mu is held.
func (r *replica) expect(seq uint64) chan shard.Checksum {
	if r.sums.sums == nil {
		r.sums.sums = map[uint64]chan shard.Checksum{}
	}
	if c := r.sums.sums[seq]; c != nil {
		return c
	}
	c := make(chan shard.Checksum, 1)
	r.sums.sums[seq] = c
	r.sums.seqs = append(r.sums.seqs, seq)
	if len(r.sums.seqs) > checksumsKept {
		delete(r.sums.sums, r.sums.seqs[0])
		r.sums.seqs = r.sums.seqs[1:]
	}
	return c
}

// noteChecksum takes in what the state was at an entry, when it has been read.
func (r *replica) noteChecksum(seq uint64, t *shard.Ticket) {
	r.mu.Lock()
	c := r.expect(seq)
	r.mu.Unlock()
	r.work.Go(func() {
		sum, err := t.Checksum(r.ctx)
		if err != nil {
			return // nobody gets an answer
		}
		select {
		case c <- sum:
		default:
		}
	})
}

// checksum returns what the state of this copy was at an entry that asked.
func (r *replica) checksum(ctx context.Context, seq uint64) (shard.Checksum, error) {
	r.mu.Lock()
	c := r.expect(seq)
	r.mu.Unlock()
	select {
	case sum := <-c:
		c <- sum // for the next one who asks
		return sum, nil
	case <-ctx.Done():
		return shard.Checksum{}, ctx.Err()
	}
}

// verifyTime bounds the comparison of one shard's copies.
const verifyTime = 5 * time.Minute

// verify compares the copies of the shards that this node leads, one shard after another, each
// once in a while.
func (m *Member) verify(ctx context.Context) {
	for pause(ctx, m.o.VerifyEvery, nil) == nil {
		for _, r := range m.open() {
			if ctx.Err() != nil {
				return
			}
			timed, cancel := context.WithTimeout(ctx, verifyTime)
			if err := m.verifyShard(timed, r); err != nil && ctx.Err() == nil {
				m.log.WarnContext(ctx, "comparing the copies of a shard", "collection", r.name.Collection, "shard", r.name.Shard, "error", err)
			}
			cancel()
		}
	}
}

// verifyShard compares the copies of one shard at one entry. A copy that differs from what most of
// them have (from the leader's, when there are two) is given up and made anew.
func (m *Member) verifyShard(ctx context.Context, r *replica) error {
	r.mu.Lock()
	others := slices.DeleteFunc(slices.Clone(r.sm.InSync()), func(p topology.PeerID) bool { return p == m.self.Peer })
	leads := !r.closed && r.sm.Role() == replication.Leader
	r.mu.Unlock()
	if !leads || len(others) == 0 {
		return nil
	}
	q, err := r.proposeEntry(ctx, replication.Entry{Kind: replication.Checksum})
	if err != nil {
		return err
	}
	own, err := r.checksum(ctx, q.seq)
	if err != nil {
		return err
	}
	theirs := map[topology.PeerID]shard.Checksum{}
	for _, p := range others {
		if theirs[p], err = m.checksumOf(ctx, p, r.name, q.seq); err != nil {
			return fmt.Errorf("ask node %d: %w", p, err)
		}
	}
	for _, p := range differing(m.self.Peer, own, theirs) {
		m.log.ErrorContext(ctx, "a copy of a shard differs from the others and is made anew", "collection", r.name.Collection,
			"shard", r.name.Shard, "peer", uint64(p), "entry", q.seq)
		if _, err := m.Change(ctx, topology.DropReplica{Shard: r.name, Peer: p}); err != nil {
			return err
		}
	}
	return nil
}

// differing returns the peers whose copies differ from what most have; with a tie the leader's
// counts.
func differing(leader topology.PeerID, own shard.Checksum, theirs map[topology.PeerID]shard.Checksum) (out []topology.PeerID) {
	votes := map[uint64]int{own.Sum: 1}
	for _, sum := range theirs {
		votes[sum.Sum]++
	}
	right := own.Sum
	for sum, n := range votes {
		if n > votes[right] {
			right = sum
		}
	}
	if own.Sum != right {
		out = append(out, leader)
	}
	for p, sum := range theirs {
		if sum.Sum != right {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// checksumOf asks another node for the checksum of its copy at an entry.
func (m *Member) checksumOf(ctx context.Context, p topology.PeerID, name topology.ShardName, seq uint64) (sum shard.Checksum, err error) {
	conn, err := m.pool.Peer(p)
	if err != nil {
		return sum, err
	}
	b, err := conn.Call(ctx, peer.Call{Shard: name, Kind: checksumRead, At: seq})
	if err != nil {
		return sum, err
	}
	if err := json.Unmarshal(b, &sum); err != nil {
		return sum, apierror.New(apierror.Internal, "read a checksum: %w", err)
	}
	return sum, nil
}

// answerChecksum answers another node's checksumOf.
func (r *replica) answerChecksum(ctx context.Context, seq uint64) ([]byte, error) {
	s := r.shard.Load()
	if s == nil {
		return nil, &shardcall.Moved{}
	}
	if err := s.WaitApplied(ctx, seq); err != nil {
		return nil, err
	}
	sum, err := r.checksum(ctx, seq)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sum)
}
