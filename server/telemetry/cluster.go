package telemetry

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sextantdb/sextant/cluster/admin"
)

// Cluster tells who belongs to the cluster; an admin.Desk does.
type Cluster interface {
	Status(ctx context.Context) (*admin.Status, error)
	Telemetry(ctx context.Context) (*admin.Telemetry, error)
}

// cluster tells about the cluster. From levelShards on the other nodes are asked, too.
func (t *Telemetry) cluster(ctx context.Context, level int, anonymize bool) (map[string]any, error) {
	out := map[string]any{"enabled": false}
	if t.opts.Cluster == nil {
		return out, nil
	}
	s, err := t.opts.Cluster.Status(ctx)
	if err != nil {
		return nil, err
	}
	out["enabled"] = s.Enabled
	if !s.Enabled || level < levelParams {
		return out, nil
	}
	status := map[string]any{
		"number_of_peers": len(s.Peers), "term": s.Raft.Term, "commit": s.Raft.Commit, "pending_operations": s.Raft.Pending,
		"is_voter": s.Raft.Voter, "peer_id": s.Peer, "consensus_thread_status": consensusStatus(&s.Consensus),
	}
	if s.Raft.Role != "" {
		status["role"] = s.Raft.Role
	}
	out["status"] = status
	if level < levelShards {
		return out, nil
	}
	all, err := t.opts.Cluster.Telemetry(ctx)
	if err != nil {
		return nil, err
	}
	out["peers"], out["peer_metadata"] = peers(all.Peers, anonymize)
	return out, nil
}

// peers returns the addresses of all nodes, and what those tell of themselves that answered.
func peers(all map[uint64]admin.PeerTelemetry, anonymize bool) (addresses, metadata map[string]any) {
	addresses, metadata = map[string]any{}, map[string]any{}
	for id, p := range all {
		name, uri := strconv.FormatUint(id, 10), p.URI
		if anonymize {
			uri = hidden(uri)
		}
		addresses[name] = map[string]any{"uri": uri}
		if p.Answer != nil {
			metadata[name] = map[string]any{"version": p.Answer.Version}
		}
	}
	return addresses, metadata
}

func consensusStatus(c *admin.Consensus) map[string]any {
	switch {
	case !c.Stopped:
		return map[string]any{"consensus_thread_status": "working", "last_update": c.Updated.UTC().Format(time.RFC3339Nano)}
	case c.Err != "":
		return map[string]any{"consensus_thread_status": "stopped_with_err", "err": c.Err}
	default:
		return map[string]any{"consensus_thread_status": "stopped"}
	}
}

// cluster writes the metrics of the cluster as this node sees it.
func (c *collector) cluster(out chan<- prometheus.Metric) {
	s := &admin.Status{}
	if c.t.opts.Cluster != nil {
		var err error
		if s, err = c.t.opts.Cluster.Status(c.ctx); err != nil {
			out <- prometheus.NewInvalidMetric(desc("cluster_enabled", "is cluster support enabled"), err)
			return
		}
	}
	gauge(out, "cluster_enabled", "is cluster support enabled", truth(s.Enabled))
	if !s.Enabled {
		return
	}
	gauge(out, "cluster_peers_total", "total number of cluster peers", float64(len(s.Peers)))
	value(out, prometheus.CounterValue, "cluster_term", "current cluster term", float64(s.Raft.Term))
	value(out, prometheus.CounterValue, "cluster_commit", "index of last committed operation the peer is aware of", float64(s.Raft.Commit))
	gauge(out, "cluster_pending_operations_total", "total number of pending operations for cluster peer", float64(s.Raft.Pending))
	gauge(out, "cluster_voter", "is the cluster peer a voter or learner", truth(s.Raft.Voter))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
