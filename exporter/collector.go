package exporter

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sextantdb/sextant/client"
)

// collector turns what one scrape has seen into metrics.
type collector struct {
	sight  sight
	took   time.Duration
	failed map[string]bool // by what was asked
}

// Describe implements prometheus.Collector. It describes nothing: which series there are is known
// when they are collected.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	failed := false
	for what, bad := range c.failed {
		gauge(out, "sextant_exporter_scrape_error", "whether asking the node for this failed", truth(bad), "part", what)
		failed = failed || bad
	}
	gauge(out, "sextant_exporter_last_scrape_error", "whether anything of the last scrape failed", truth(failed))
	gauge(out, "sextant_exporter_last_scrape_duration_seconds", "how long the node took to answer", c.took.Seconds())
	if v := c.sight.version; v != nil {
		gauge(out, "app_info", "information about qdrant server", 1, "name", "qdrant", "version", v.Version)
	}
	view := c.sight.view
	if view == nil {
		return
	}
	cluster(out, view.Cluster)
	if c.sight.names < 0 {
		return
	}
	gauge(out, "collections_total", "number of collections", float64(c.sight.names))
	gauge(out, "sextant_exporter_skipped_collections", "collections beyond the limit, that are not told about", float64(len(c.sight.skipped)))
	collections(out, view)
}

// cluster tells who belongs to the cluster, in the names that the node's own metrics have, and ours.
func cluster(out chan<- prometheus.Metric, c *client.Cluster) {
	gauge(out, "cluster_enabled", "is cluster support enabled", truth(c.Enabled()))
	if !c.Enabled() {
		return
	}
	gauge(out, "cluster_peers_total", "total number of cluster peers", float64(len(c.Peers)))
	value(out, prometheus.CounterValue, "cluster_term", "current cluster term", float64(c.Raft.Term))
	value(out, prometheus.CounterValue, "cluster_commit", "index of last committed operation the peer is aware of", float64(c.Raft.Commit))
	gauge(out, "cluster_pending_operations_total", "total number of pending operations for cluster peer", float64(c.Raft.Pending))
	gauge(out, "cluster_voter", "is the cluster peer a voter or learner", truth(c.Raft.Voter))
	gauge(out, "cluster_consensus_leader", "is the node the leader of the consensus", truth(c.Raft.Role == "Leader"))
	gauge(out, "cluster_consensus_leader_known", "does the node know a leader of the consensus", truth(c.Raft.Leader != 0))
	gauge(out, "cluster_consensus_working", "does the node follow the consensus", truth(c.Consensus.Status == "working"))
	for id, p := range c.Peers {
		labels := []string{"peer", peer(id), "uri", p.URI}
		gauge(out, "cluster_peer_fenced", "does the peer count as gone", truth(p.Fenced), labels...)
		gauge(out, "cluster_peer_draining", "is the peer to lose its copies", truth(p.Draining), labels...)
		if p.Replicas != nil {
			gauge(out, "cluster_peer_replicas", "copies of shards of the peer", float64(*p.Replicas), labels...)
		}
		if p.Leads != nil {
			gauge(out, "cluster_peer_leads", "shards that the peer leads", float64(*p.Leads), labels...)
		}
	}
}

// collections tells about the shards.
func collections(out chan<- prometheus.Metric, v *client.View) {
	type sums struct{ shards, short, leaderless int }
	by := map[string]*sums{}
	for _, c := range v.Collections {
		by[c.Name] = &sums{}
		states := map[string]int{}
		for _, r := range c.Layout.Replicas {
			states[r.State]++
		}
		for state, n := range states {
			gauge(out, "collection_replicas", "copies of shards by state", float64(n), "collection", c.Name, "state", state)
		}
		gauge(out, "collection_shard_transfers", "copies that are being filled", float64(len(c.Layout.Transfers)), "collection", c.Name)
		gauge(out, "collection_replication_factor", "copies that a shard should have", float64(c.Info.Factor), "collection", c.Name)
	}
	self := v.Cluster.Peer
	for _, s := range v.Shards() {
		sum := by[s.Collection]
		sum.shards++
		if s.Short() {
			sum.short++
		}
		if s.Leaderless() {
			sum.leaderless++
		}
		shard := strconv.FormatUint(uint64(s.Number), 10)
		inSync := map[uint64]bool{}
		for _, p := range s.InSync {
			inSync[p] = true
		}
		for _, r := range s.Copies {
			labels := []string{"collection", s.Collection, "shard", shard, "peer", peer(r.Peer)}
			if r.Lag != nil && (s.Leader == self || r.Peer == self) {
				gauge(out, "collection_replica_lag", "entries of the log that the copy is behind the leader", float64(*r.Lag), labels...)
			}
			if r.Peer != self && v.Cluster.Enabled() {
				continue // its own exporter tells
			}
			gauge(out, "collection_replica_in_sync", "has the copy all that is acknowledged", truth(inSync[r.Peer]), labels...)
			if s.Led {
				gauge(out, "collection_replica_leader", "does the copy lead its shard", truth(s.Leader == r.Peer), labels...)
			}
			gauge(out, "collection_replica_state", "the copy's state, always 1", 1, append(labels, "state", r.State)...)
		}
	}
	for name, sum := range by {
		gauge(out, "collection_shards", "shards of the collection", float64(sum.shards), "collection", name)
		gauge(out, "collection_shards_under_replicated", "shards with fewer copies in sync than there should be", float64(sum.short), "collection", name)
		gauge(out, "collection_shards_leaderless", "shards that nobody leads: they take no writes", float64(sum.leaderless), "collection", name)
	}
}

func peer(id uint64) string { return strconv.FormatUint(id, 10) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// gauge writes one gauge; labels are names and values in turn.
func gauge(out chan<- prometheus.Metric, name, help string, v float64, labels ...string) {
	value(out, prometheus.GaugeValue, name, help, v, labels...)
}

func value(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64, labels ...string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	d := prometheus.NewDesc(name, help, names, nil)
	m, err := prometheus.NewConstMetric(d, kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, fmt.Errorf("%s: %w", name, err))
	}
	out <- m
}
