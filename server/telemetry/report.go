package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
)

// Levels of detail; each shows what the ones before it show, collections
// excepted, which are told in three different forms.
const (
	levelCounts  = 0 // numbers only
	levelParams  = 1 // collections by their parameters, without names
	levelConfig  = 2 // collections with name and configuration
	levelShards  = 3 // and shards
	levelSegment = 4 // and segments
)

// report is the value of "result" of GET /telemetry. Parts that a level doesn't
// show are nil and left out.
type report struct {
	ID          string            `json:"id"`
	App         app               `json:"app"`
	Collections collectionsReport `json:"collections"`
	Cluster     map[string]any    `json:"cluster"`
	Requests    map[string]any    `json:"requests"`
	Memory      *Memory           `json:"memory,omitempty"`
	Hardware    map[string]any    `json:"hardware,omitempty"`
	SearchPool  map[string]any    `json:"search_pool,omitempty"`
	Quota       map[string]any    `json:"quota"`
}

type app struct {
	Name       string          `json:"name"`
	Version    string          `json:"version"`
	Features   map[string]bool `json:"features,omitempty"`
	System     *system         `json:"system,omitempty"`
	JWT        *bool           `json:"jwt_rbac,omitempty"`
	HideJWT    *bool           `json:"hide_jwt_dashboard,omitempty"`
	StartedUTC string          `json:"startup"`
}

type collectionsReport struct {
	Number      int               `json:"number_of_collections"`
	Collections *[]map[string]any `json:"collections,omitempty"`
	Snapshots   *[]map[string]any `json:"snapshots,omitempty"`
}

// Report answers GET /telemetry: the value of "result" as JSON. Query
// parameters are details_level, anonymize and timeout.
func (t *Telemetry) Report(r *http.Request) ([]byte, error) {
	level, err := strconv.Atoi(r.URL.Query().Get("details_level"))
	if err != nil || level < levelCounts {
		level = levelCounts
	}
	ctx, cancel := context.WithTimeout(r.Context(), t.timeout(r))
	defer cancel()
	out, err := t.report(ctx, level, flag(r, "anonymize"))
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (t *Telemetry) report(ctx context.Context, level int, anonymize bool) (*report, error) {
	cluster, err := t.cluster(ctx, level, anonymize)
	if err != nil {
		return nil, err
	}
	out := &report{
		Cluster: cluster,
		ID:      t.opts.ID,
		App: app{
			Name: "qdrant", Version: t.opts.Version,
			StartedUTC: t.started.UTC().Format(time.RFC3339Nano),
		},
		Requests: map[string]any{
			"rest": map[string]any{"responses": t.opts.Requests.report(false)},
			"grpc": map[string]any{"responses": t.opts.Requests.report(true)},
		},
		Quota: map[string]any{
			"config":   map[string]any{"enabled": false},
			"exceeded": map[string]any{"resident_memory": nil, "disk_usage": nil},
		},
	}
	if level >= levelParams {
		memory := ReadMemory()
		out.Memory = &memory
		out.Hardware = map[string]any{"collection_data": map[string]any{}}
		out.App.Features = map[string]bool{
			"debug": false, "service_debug_feature": false, "recovery_mode": false,
			"gpu": false, "rocksdb": false, "staging": false,
		}
		out.App.System = readSystem()
		out.App.JWT, out.App.HideJWT = new(t.opts.JWT), new(bool)
		out.SearchPool = map[string]any{
			"mode": "cpu", "high_cpu_threads": out.App.System.Cores, "high_io_threads": out.App.System.Cores,
		}
	}
	return out, t.collections(ctx, level, anonymize, &out.Collections)
}

// collections tells about the collections in the form of the level.
func (t *Telemetry) collections(ctx context.Context, level int, anonymize bool, out *collectionsReport) error {
	if t.opts.Source == nil {
		return nil
	}
	all, err := t.opts.Source.Collections(ctx)
	if err != nil {
		return err
	}
	out.Number = len(all)
	if level < levelParams {
		return nil
	}
	list, snapshots := make([]map[string]any, 0, len(all)), []map[string]any{}
	for _, c := range all {
		name := c.Name
		if anonymize {
			name = hidden(name)
		}
		one, err := t.collection(c, name, level)
		if err != nil {
			return err
		}
		list = append(list, one)
		snapshots = append(snapshots, map[string]any{
			"id": name, "running_snapshots": 0, "running_snapshot_recovery": 0, "total_snapshot_creations": 0,
		})
	}
	out.Collections, out.Snapshots = &list, &snapshots
	return nil
}

func (t *Telemetry) collection(c Collection, name string, level int) (map[string]any, error) {
	info, err := t.infoJSON(c.Info)
	if err != nil {
		return nil, err
	}
	if level == levelParams {
		return map[string]any{
			"vectors": vectorsOf(c), "optimizers_status": info.OptimizerStatus, "params": info.Config["params"],
		}, nil
	}
	out := map[string]any{"id": name, "init_time_ms": 0, "config": info.Config}
	if level >= levelShards {
		out["shards"] = shards(c, info, level)
		out["transfers"] = []any{}
		out["resharding"] = []any{}
	}
	return out, nil
}

// infoJSON is a collection's description in the dialect of the REST door.
type infoJSON struct {
	Status          json.RawMessage            `json:"status"`
	OptimizerStatus json.RawMessage            `json:"optimizer_status"`
	Config          map[string]json.RawMessage `json:"config"`
	PayloadSchema   json.RawMessage            `json:"payload_schema"`
}

func (t *Telemetry) infoJSON(i *pb.CollectionInfo) (out infoJSON, err error) {
	if t.opts.InfoJSON == nil {
		return out, nil
	}
	text, err := t.opts.InfoJSON(i)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}

// shards describes the shards of a collection. What is known for the collection
// as a whole is known for its shard only when it has a single one.
func shards(c Collection, info infoJSON, level int) []map[string]any {
	n := max(c.Info.GetConfig().GetParams().GetShardNumber(), 1)
	out := make([]map[string]any, n)
	for id := range out {
		local := map[string]any{
			"variant_name": "local_shard", "status": info.Status, "total_optimized_points": 0,
			"vectors_size_bytes": nil, "payloads_size_bytes": nil, "num_points": nil, "num_vectors": nil,
			"optimizations": map[string]any{"status": info.OptimizerStatus, "optimizations": map[string]any{"count": 0}},
			"async_scorer":  false, "num_vectors_by_name": nil,
		}
		queue := map[string]any{"length": c.Info.GetUpdateQueue().GetLength()}
		if id < len(c.Applied) {
			queue["op_num"] = c.Applied[id]
		}
		local["update_queue"] = queue
		if n == 1 {
			local["num_points"] = c.Info.GetPointsCount()
			local["num_vectors"] = vectorsOf(c)
			local["num_vectors_by_name"] = c.Vectors
		}
		if level >= levelSegment {
			local["segments"] = []any{segment(c, info, n)}
			local["indexed_only_excluded_vectors"] = map[string]any{}
		}
		out[id] = map[string]any{
			"id": id, "key": nil, "local": local, "remote": []any{}, "replicate_states": map[string]any{},
			"partial_snapshot": map[string]any{
				"ongoing_create_snapshot_requests": 0, "is_recovering": false, "recovery_timestamp": 0,
			},
		}
	}
	return out
}

// segment describes a shard as a single segment: it has parts that are searched
// together, and none that is a shard of its own. Sizes are not known here.
func segment(c Collection, info infoJSON, shards uint32) map[string]any {
	kind := "plain"
	if c.Info.GetIndexedVectorsCount() > 0 {
		kind = "indexed"
	}
	share := func(n uint64) uint64 { return n / uint64(shards) }
	schema := info.PayloadSchema
	if schema == nil {
		schema = json.RawMessage("{}")
	}
	return map[string]any{
		"info": map[string]any{
			"uuid": uuid.Nil, "segment_type": kind, "is_appendable": true,
			"num_points": share(c.Info.GetPointsCount()), "num_vectors": share(vectorsOf(c)),
			"num_indexed_vectors": share(c.Info.GetIndexedVectorsCount()), "num_deleted_vectors": 0,
			"vectors_size_bytes": 0, "payloads_size_bytes": 0, "ram_usage_bytes": 0, "disk_usage_bytes": 0,
			"index_schema": schema, "vector_data": map[string]any{},
		},
		"config":                map[string]any{"payload_storage_type": map[string]any{"type": "mmap"}},
		"vector_index_searches": []any{},
		"payload_field_indices": []any{},
	}
}
