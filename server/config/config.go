// Package config reads a node's configuration: which keys exist, where values
// come from and which of them win, and whether they make sense. server/node and
// the commands are its callers.
//
// Later sources win: the compiled-in defaults, config/config.yaml,
// config/$RUN_MODE.yaml (development when unset), config/local.yaml, the file of
// --config-path, the environment (QDRANT__SERVICE__HTTP_PORT), flags. Missing
// files are fine and unknown keys are ignored (with a note), since the same
// files serve servers of other versions; a value that can't be what its key
// means is an error, and all such errors are reported at once with the place
// each value came from.
//
// Keys that this version knows but does nothing with are in Config too, so that
// their values are checked; Load leaves a note for each one that was set.
package config

import "math"

// Config is everything a node can be told. The `cfg` tags are the public key
// names; "a|b" accepts b for a, "inert" marks a key without effect yet.
type Config struct {
	LogLevel          string    `cfg:"log_level"`
	Logger            Logger    `cfg:"logger"`
	Storage           Storage   `cfg:"storage"`
	Service           Service   `cfg:"service"`
	Cluster           Cluster   `cfg:"cluster"`
	TLS               TLS       `cfg:"tls"`
	TelemetryDisabled bool      `cfg:"telemetry_disabled"`
	Quotas            Quotas    `cfg:"quotas,inert"`
	Audit             Audit     `cfg:"audit,inert"`
	Inference         Inference `cfg:"inference,inert"`
	FeatureFlags      Subtree   `cfg:"feature_flags,inert"`
	GPU               GPU       `cfg:"gpu,inert"`
	Debugger          Subtree   `cfg:"debugger,inert"`
	Staging           Subtree   `cfg:"staging,inert"`
}

// Logger is the form of the log. LogLevel here wins over Config.LogLevel.
type Logger struct {
	LogLevel   *string `cfg:"log_level"`
	Format     string  `cfg:"format"`
	SpanEvents Subtree `cfg:"span_events,inert"`
	Color      *bool   `cfg:"color"`
	OnDisk     LogFile `cfg:"on_disk"`
}

// LogFile is a second copy of the log in a file.
type LogFile struct {
	Enabled    bool    `cfg:"enabled"`
	File       string  `cfg:"log_file"`
	LogLevel   *string `cfg:"log_level"`
	Format     string  `cfg:"format"`
	SpanEvents Subtree `cfg:"span_events,inert"`
	BufferSize *int    `cfg:"buffer_size_bytes,inert"`
}

// Storage is where data lives and how it is kept.
type Storage struct {
	Path                       string          `cfg:"storage_path"`
	SnapshotsPath              string          `cfg:"snapshots_path"`
	TempPath                   *string         `cfg:"temp_path,inert"`
	Snapshots                  SnapshotStorage `cfg:"snapshots_config,inert"`
	OnDiskPayload              bool            `cfg:"on_disk_payload"`
	Payload                    Subtree         `cfg:"payload,inert"`
	LowMemoryMode              *string         `cfg:"low_memory_mode,inert"`
	UpdateConcurrency          *int            `cfg:"update_concurrency,inert"`
	UpdateQueueSize            *int            `cfg:"update_queue_size,inert"`
	HandleCollectionLoadErrors bool            `cfg:"handle_collection_load_errors,inert"`
	RecoveryMode               *string         `cfg:"recovery_mode"`
	NodeType                   string          `cfg:"node_type,inert"`
	ShardTransferMethod        *string         `cfg:"shard_transfer_method,inert"`
	MaxCollections             *int            `cfg:"max_collections"`
	MmapAdvice                 *string         `cfg:"mmap_advice,inert"`
	HNSWGlobal                 Subtree         `cfg:"hnsw_global_config,inert"`
	WAL                        WAL             `cfg:"wal"`
	Performance                Performance     `cfg:"performance"`
	Optimizers                 Optimizers      `cfg:"optimizers"`
	OptimizersOverwrite        Optimizers      `cfg:"optimizers_overwrite,inert"`
	HNSW                       HNSW            `cfg:"hnsw_index"`
	Collection                 Collection      `cfg:"collection"`
}

// SnapshotStorage is where snapshots go.
type SnapshotStorage struct {
	Kind string  `cfg:"snapshots_storage"`
	S3   Subtree `cfg:"s3_config"`
}

// WAL is the default for new collections' log.
type WAL struct {
	CapacityMB    int  `cfg:"wal_capacity_mb"`
	SegmentsAhead int  `cfg:"wal_segments_ahead"`
	RetainClosed  *int `cfg:"wal_retain_closed"`
}

// Performance bounds what runs at the same time. 0 means "by the number of
// CPUs".
type Performance struct {
	MaxSearchThreads        int     `cfg:"max_search_threads,inert"`
	MaxOptimizationThreads  int     `cfg:"max_optimization_runtime_threads|max_optimization_threads"`
	OptimizerCPUBudget      int     `cfg:"optimizer_cpu_budget"`
	OptimizerIOBudget       *int    `cfg:"optimizer_io_budget,inert"`
	UpdateRateLimit         *int    `cfg:"update_rate_limit,inert"`
	SearchTimeoutSec        *int    `cfg:"search_timeout_sec"`
	IncomingTransfersLimit  *int    `cfg:"incoming_shard_transfers_limit,inert"`
	OutgoingTransfersLimit  *int    `cfg:"outgoing_shard_transfers_limit,inert"`
	AsyncScorer             Subtree `cfg:"async_scorer,inert"`
	IOUring                 Subtree `cfg:"io_uring,inert"`
	MaxConcurrentCollection *int    `cfg:"max_concurrent_collection_loads,inert"`
	MaxConcurrentShard      *int    `cfg:"max_concurrent_shard_loads,inert"`
	MaxConcurrentSegment    *int    `cfg:"max_concurrent_segment_loads,inert"`
}

// Optimizers is the default for new collections' optimizer. Sizes are in
// kilobytes of vectors.
type Optimizers struct {
	DeletedThreshold       float64  `cfg:"deleted_threshold"`
	VacuumMinVectorNumber  int      `cfg:"vacuum_min_vector_number"`
	DefaultSegmentNumber   int      `cfg:"default_segment_number"`
	MaxSegmentSizeKB       *int     `cfg:"max_segment_size_kb|max_segment_size"`
	MemmapThresholdKB      *int     `cfg:"memmap_threshold_kb|memmap_threshold"`
	IndexingThresholdKB    *int     `cfg:"indexing_threshold_kb|indexing_threshold"`
	FlushIntervalSec       int      `cfg:"flush_interval_sec"`
	MaxOptimizationThreads *Threads `cfg:"max_optimization_threads"`
	PreventUnoptimized     *bool    `cfg:"prevent_unoptimized,inert"`
}

// HNSW is the default for new collections' graphs.
type HNSW struct {
	M                   int   `cfg:"m"`
	EfConstruct         int   `cfg:"ef_construct"`
	FullScanThresholdKB int   `cfg:"full_scan_threshold_kb|full_scan_threshold"`
	MaxIndexingThreads  int   `cfg:"max_indexing_threads"`
	OnDisk              bool  `cfg:"on_disk"`
	PayloadM            *int  `cfg:"payload_m"`
	InlineStorage       *bool `cfg:"inline_storage,inert"`
}

// Collection is the default for what a new collection doesn't say.
type Collection struct {
	ReplicationFactor      int               `cfg:"replication_factor"`
	WriteConsistencyFactor int               `cfg:"write_consistency_factor"`
	ShardNumber            *int              `cfg:"shard_number"`
	ShardNumberPerNode     *int              `cfg:"shard_number_per_node"`
	Vectors                CollectionVectors `cfg:"vectors"`
	Quantization           Subtree           `cfg:"quantization,inert"`
	StrictMode             Subtree           `cfg:"strict_mode,inert"`
}

// CollectionVectors is the default placement of vectors.
type CollectionVectors struct {
	OnDisk *bool   `cfg:"on_disk"`
	Memory *string `cfg:"memory"`
}

// Service is what the doors listen on and whom they let in.
type Service struct {
	Host                       string  `cfg:"host"`
	HTTPPort                   int     `cfg:"http_port"`
	GRPCPort                   *int    `cfg:"grpc_port"` // nil = no gRPC
	MetricsPort                *int    `cfg:"metrics_port"`
	ProfilingAddress           *string `cfg:"profiling_address"` // nil = no profiling
	MaxRequestSizeMB           int     `cfg:"max_request_size_mb"`
	MaxResponseSizeMB          int     `cfg:"max_response_size_mb"`
	MaxGRPCRequestSizeMB       *int    `cfg:"max_grpc_request_size_mb"` // nil = unbounded
	MaxWorkers                 int     `cfg:"max_workers"`
	HTTPKeepAliveTimeoutSec    *int    `cfg:"http_keep_alive_timeout_sec"`
	HTTPClientRequestTimeout   *int    `cfg:"http_client_request_timeout_sec"`
	HTTPClientDisconnect       *int    `cfg:"http_client_disconnect_timeout_sec,inert"`
	EnableCORS                 bool    `cfg:"enable_cors"`
	EnableTLS                  bool    `cfg:"enable_tls"`
	VerifyHTTPSClientCert      bool    `cfg:"verify_https_client_certificate"`
	APIKey                     Secret  `cfg:"api_key"`
	AltAPIKey                  Secret  `cfg:"alt_api_key"`
	ReadOnlyAPIKey             Secret  `cfg:"read_only_api_key"`
	JWTRBAC                    bool    `cfg:"jwt_rbac"`
	EnforceInternalAuth        bool    `cfg:"enforce_internal_auth"`
	HideJWTDashboard           bool    `cfg:"hide_jwt_dashboard,inert"`
	StaticContentDir           *string `cfg:"static_content_dir,inert"`
	EnableStaticContent        bool    `cfg:"enable_static_content,inert"`
	SlowQuerySecs              float64 `cfg:"slow_query_secs,inert"`
	HardwareReporting          bool    `cfg:"hardware_reporting,inert"`
	MetricsPrefix              string  `cfg:"metrics_prefix"`
	EnableSnapshotURLRecovery  bool    `cfg:"enable_snapshot_url_recovery,inert"`
	ShutdownGracePeriodSeconds int     `cfg:"shutdown_grace_period_sec"`
}

// Cluster is the node's part in a cluster.
type Cluster struct {
	Enabled             bool      `cfg:"enabled"`
	PeerID              *int      `cfg:"peer_id"`
	GRPCTimeoutMS       int       `cfg:"grpc_timeout_ms,inert"`
	ConnectionTimeoutMS int       `cfg:"connection_timeout_ms,inert"`
	P2P                 P2P       `cfg:"p2p"`
	Consensus           Consensus `cfg:"consensus"`
	ReshardingEnabled   bool      `cfg:"resharding_enabled,inert"`
	// The following are Sextant's own. All nodes of a cluster should agree on those of
	// the controller: it runs on whichever leads the consensus.
	//
	// Zone is where copies of a shard should not all be (a rack, an availability zone).
	Zone string `cfg:"zone"`
	// ReplicaGraceSec is how long a node may be gone before other nodes get its copies.
	ReplicaGraceSec int `cfg:"replica_grace_sec"`
	// Rebalance says that copies are moved from nodes that have many to nodes that have
	// few, RebalanceAfterSec how long the cluster must have been quiet before.
	Rebalance         bool `cfg:"rebalance"`
	RebalanceAfterSec int  `cfg:"rebalance_after_sec"`
	VerifyIntervalSec int  `cfg:"verify_interval_sec"`
}

// P2P is the channel between peers.
type P2P struct {
	Port               int  `cfg:"port"`
	ConnectionPoolSize int  `cfg:"connection_pool_size,inert"`
	EnableTLS          bool `cfg:"enable_tls"`
}

// Consensus tunes the Raft group.
type Consensus struct {
	MaxMessageQueueSize int `cfg:"max_message_queue_size,inert"`
	TickPeriodMS        int `cfg:"tick_period_ms"`
	BootstrapTimeoutSec int `cfg:"bootstrap_timeout_sec"`
	MessageTimeoutTicks int `cfg:"message_timeout_ticks,inert"`
	CompactWALEntries   int `cfg:"compact_wal_entries"`
}

// TLS names certificate files.
type TLS struct {
	Cert    string  `cfg:"cert"`
	Key     string  `cfg:"key"`
	CACert  *string `cfg:"ca_cert"`
	CertTTL *int    `cfg:"cert_ttl"`
}

// Quotas bound a node's memory and disk.
type Quotas struct {
	Enabled                  bool     `cfg:"enabled"`
	MaxResidentMemoryPercent *float64 `cfg:"max_resident_memory_percent"`
	MaxDiskUsagePercent      *float64 `cfg:"max_disk_usage_percent"`
	ReleaseMarginPercent     *float64 `cfg:"release_margin_percent"`
}

// Audit is the log of who did what.
type Audit struct {
	Enabled               bool    `cfg:"enabled"`
	Dir                   *string `cfg:"dir"`
	Rotation              *string `cfg:"rotation"`
	MaxLogFiles           *int    `cfg:"max_log_files"`
	TrustForwardedHeaders bool    `cfg:"trust_forwarded_headers"`
	LogAPI                bool    `cfg:"log_api"`
}

// Inference is an outside embedding service.
type Inference struct {
	Address *string `cfg:"address"`
	Timeout *int    `cfg:"timeout"`
	Token   Secret  `cfg:"token"`
}

// GPU is accepted for the sake of shared configuration files.
type GPU struct {
	Indexing *bool `cfg:"indexing"`
}

// Subtree is a part of the configuration that is kept as it was written.
type Subtree struct{ Value any }

// Secret is a value that doesn't print itself.
type Secret string

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[hidden]"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from logs.
func (s Secret) LogValue() any { return s.String() }

// Threads is a number of threads, or AutoThreads for the text "auto".
type Threads int

// AutoThreads leaves the number of threads to the node. (No number that can be
// written means it by accident.)
const AutoThreads Threads = math.MinInt
