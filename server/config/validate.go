package config

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// maxPeerID is the largest integer that every JSON client can read.
const maxPeerID = 1<<53 - 1

// validate checks what the types can't say, and refuses settings whose effect
// somebody relies on for safety but which this version can't give.
func (c *Config) validate(d *decoder) {
	c.validateService(d)
	c.validateStorage(d)
	oneOf(d, "logger.format", c.Logger.Format, "text", "json")
	oneOf(d, "logger.on_disk.format", c.Logger.OnDisk.Format, "text", "json")
	if c.Logger.OnDisk.Enabled && c.Logger.OnDisk.File == "" {
		d.fault("logger.on_disk.log_file", "must name a file")
	}
	between(d, "cluster.p2p.port", c.Cluster.P2P.Port, 0, 65535)
	if id := c.Cluster.PeerID; id != nil {
		between(d, "cluster.peer_id", *id, 1, maxPeerID)
	}
	between(d, "cluster.replica_grace_sec", c.Cluster.ReplicaGraceSec, 1, 1<<30)
	between(d, "cluster.rebalance_after_sec", c.Cluster.RebalanceAfterSec, 1, 1<<30)
	between(d, "cluster.consensus.tick_period_ms", c.Cluster.Consensus.TickPeriodMS, 1, 60_000)
	between(d, "cluster.consensus.compact_wal_entries", c.Cluster.Consensus.CompactWALEntries, 1, 1<<30)
	between(d, "cluster.consensus.bootstrap_timeout_sec", c.Cluster.Consensus.BootstrapTimeoutSec, 1, 1<<20)
	between(d, "cluster.verify_interval_sec", c.Cluster.VerifyIntervalSec, 1, 1<<30)
}

func (c *Config) validateService(d *decoder) {
	s := &c.Service
	between(d, "service.http_port", s.HTTPPort, 0, 65535)
	between(d, "service.max_request_size_mb", s.MaxRequestSizeMB, 1, 1<<20)
	between(d, "service.max_response_size_mb", s.MaxResponseSizeMB, 1, 1<<20)
	between(d, "service.max_workers", s.MaxWorkers, 0, 1<<16)
	between(d, "service.shutdown_grace_period_sec", s.ShutdownGracePeriodSeconds, 0, 1<<20)
	optional(d, "service.grpc_port", s.GRPCPort, 0, 65535)
	optional(d, "service.metrics_port", s.MetricsPort, 0, 65535)
	if a := s.ProfilingAddress; a != nil && !isAddress(*a) {
		d.fault("service.profiling_address", "%s is not an address like 127.0.0.1:6060", show(*a))
	}
	optional(d, "service.max_grpc_request_size_mb", s.MaxGRPCRequestSizeMB, 1, 1<<20)
	optional(d, "service.http_keep_alive_timeout_sec", s.HTTPKeepAliveTimeoutSec, 0, 1<<20)
	optional(d, "service.http_client_request_timeout_sec", s.HTTPClientRequestTimeout, 0, 1<<20)
	if s.Host != "localhost" && net.ParseIP(strings.Trim(s.Host, "[]")) == nil && !isHostName(s.Host) {
		d.fault("service.host", "%s is neither an IP address nor a host name", show(s.Host))
	}
	if p := s.GRPCPort; p != nil && *p != 0 && *p == s.HTTPPort {
		d.fault("service.grpc_port", "is the same as service.http_port (%d)", *p)
	}
	if s.EnableTLS && s.VerifyHTTPSClientCert && (c.TLS.CACert == nil || *c.TLS.CACert == "") {
		d.fault("service.verify_https_client_certificate", "needs tls.ca_cert, the authority by which clients are checked")
	}
	if s.JWTRBAC {
		d.fault("service.jwt_rbac", "JWT access control is not implemented yet")
	}
	if !isMetricPrefix(s.MetricsPrefix) {
		d.fault("service.metrics_prefix", "%s may hold only letters, digits and _ and not begin with a digit", show(s.MetricsPrefix))
	}
}

func (c *Config) validateStorage(d *decoder) {
	s := &c.Storage
	if s.Path == "" {
		d.fault("storage.storage_path", "must name a directory")
	}
	if s.SnapshotsPath == "" {
		d.fault("storage.snapshots_path", "must name a directory")
	}
	oneOf(d, "storage.node_type", s.NodeType, "normal", "listener")
	oneOf(d, "storage.snapshots_config.snapshots_storage", s.Snapshots.Kind, "local", "s3")
	if strings.EqualFold(s.Snapshots.Kind, "s3") {
		d.fault("storage.snapshots_config.snapshots_storage", "snapshots in S3 are not implemented yet")
	}
	if s.LowMemoryMode != nil {
		oneOf(d, "storage.low_memory_mode", *s.LowMemoryMode, "disabled", "no_resident", "no_populate")
	}
	if s.RecoveryMode != nil {
		d.fault("storage.recovery_mode", "recovery mode is not implemented yet")
	}
	optional(d, "storage.max_collections", s.MaxCollections, 0, 1<<31)
	between(d, "storage.wal.wal_capacity_mb", s.WAL.CapacityMB, 1, 1<<20)
	between(d, "storage.wal.wal_segments_ahead", s.WAL.SegmentsAhead, 0, 1<<10)
	p := &s.Performance
	between(d, "storage.performance.max_search_threads", p.MaxSearchThreads, 0, 1<<16)
	between(d, "storage.performance.max_optimization_runtime_threads", p.MaxOptimizationThreads, 0, 1<<16)
	between(d, "storage.performance.optimizer_cpu_budget", p.OptimizerCPUBudget, -1<<16, 1<<16)
	optional(d, "storage.performance.search_timeout_sec", p.SearchTimeoutSec, 1, 1<<20)
	o := &s.Optimizers
	if o.DeletedThreshold < 0 || o.DeletedThreshold > 1 {
		d.fault("storage.optimizers.deleted_threshold", "%s is not between 0 and 1", show(o.DeletedThreshold))
	}
	between(d, "storage.optimizers.vacuum_min_vector_number", o.VacuumMinVectorNumber, 100, 1<<40)
	between(d, "storage.optimizers.default_segment_number", o.DefaultSegmentNumber, 0, 1<<16)
	between(d, "storage.optimizers.flush_interval_sec", o.FlushIntervalSec, 0, 1<<20)
	optional(d, "storage.optimizers.max_segment_size_kb", o.MaxSegmentSizeKB, 1, 1<<50)
	optional(d, "storage.optimizers.memmap_threshold_kb", o.MemmapThresholdKB, 0, 1<<50)
	optional(d, "storage.optimizers.indexing_threshold_kb", o.IndexingThresholdKB, 0, 1<<50)
	if t := o.MaxOptimizationThreads; t != nil && *t != AutoThreads {
		between(d, "storage.optimizers.max_optimization_threads", int(*t), 0, 1<<16)
	}
	optional(d, "storage.wal.wal_retain_closed", s.WAL.RetainClosed, 0, 1<<20)
	h := &s.HNSW
	optional(d, "storage.hnsw_index.payload_m", h.PayloadM, 0, 10000)
	between(d, "storage.hnsw_index.m", h.M, 0, 512)
	between(d, "storage.hnsw_index.ef_construct", h.EfConstruct, 4, 100000)
	between(d, "storage.hnsw_index.full_scan_threshold_kb", h.FullScanThresholdKB, 0, 1<<50)
	between(d, "storage.hnsw_index.max_indexing_threads", h.MaxIndexingThreads, 0, 1<<16)
	between(d, "storage.collection.replication_factor", s.Collection.ReplicationFactor, 1, 1<<16)
	between(d, "storage.collection.write_consistency_factor", s.Collection.WriteConsistencyFactor, 1, 1<<16)
	optional(d, "storage.collection.shard_number", s.Collection.ShardNumber, 1, 1024)
	optional(d, "storage.collection.shard_number_per_node", s.Collection.ShardNumberPerNode, 1, 1024)
	if m := s.Collection.Vectors.Memory; m != nil {
		oneOf(d, "storage.collection.vectors.memory", *m, "cold", "cached")
	}
}

func between(d *decoder, key string, n, low, high int) {
	if n < low || n > high {
		d.fault(key, "%d is not between %d and %d", n, low, high)
	}
}

func optional(d *decoder, key string, n *int, low, high int) {
	if n != nil {
		between(d, key, *n, low, high)
	}
}

// oneOf compares without regard to case; "" passes, it means the default.
func oneOf(d *decoder, key, v string, choices ...string) {
	if v != "" && !slices.Contains(choices, strings.ToLower(v)) {
		d.fault(key, "%s is not one of %s", show(v), strings.Join(choices, ", "))
	}
}

// isAddress says whether s names a host and a port.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && (net.ParseIP(host) != nil || isHostName(host))
}

func isHostName(s string) bool {
	return s != "" && len(s) < 254 && !strings.ContainsFunc(s, func(r rune) bool {
		return !isWord(r) && r != '-' && r != '.'
	})
}

func isMetricPrefix(s string) bool {
	return s == "" || !strings.ContainsFunc(s, func(r rune) bool { return !isWord(r) }) && (s[0] < '0' || s[0] > '9')
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
