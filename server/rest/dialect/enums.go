package dialect

import "google.golang.org/protobuf/reflect/protoreflect"

// The names of enums in JSON, by their numbers. A number without a name is
// never read, and left out when written.
var (
	updateModes    = []string{"upsert", "insert_only", "update_only"}
	directions     = []string{"asc", "desc"}
	fusions        = []string{"rrf", "dbsf"}
	samples        = []string{"random"}
	strategies     = []string{"average_vector", "best_score", "sum_scores"}
	fieldTypes     = []string{"keyword", "integer", "float", "geo", "text", "bool", "datetime", "uuid"}
	schemaTypes    = append([]string{""}, fieldTypes...)
	autos          = []string{"auto"}
	queryEncodings = []string{"default", "binary", "scalar4bits", "scalar8bits"}
	orderings      = []string{"weak", "medium", "strong"}
	consistencies  = []string{"all", "majority", "quorum"}
	collStatuses   = []string{"", "green", "yellow", "red", "grey"}
	replicaStates  = []string{
		"Active", "Dead", "Partial", "Initializing", "Listener", "PartialSnapshot", "Recovery",
		"Resharding", "ReshardingScaleDown", "ActiveRead", "ManualRecovery",
	}
	transferMethods      = []string{"stream_records", "snapshot", "wal_delta", "resharding_stream_records"}
	reshardingDirections = []string{"up", "down"}
	updateStatuses       = []string{"", "acknowledged", "completed", "clock_rejected", "wait_timeout"}
)

// enumNames returns the names of the enums that occur in configuration.
func enumNames(name protoreflect.FullName) []string {
	switch name {
	case "qdrant.Distance":
		return []string{"", "Cosine", "Euclid", "Dot", "Manhattan"}
	case "qdrant.Datatype":
		return []string{"", "float32", "uint8", "float16", "turbo4"}
	case "qdrant.Memory":
		return []string{"", "cold", "cached", "pinned"}
	case "qdrant.Modifier":
		return []string{"none", "idf"}
	case "qdrant.MultiVectorComparator":
		return []string{"max_sim"}
	case "qdrant.QuantizationType":
		return []string{"", "int8"}
	case "qdrant.CompressionRatio":
		return []string{"x4", "x8", "x16", "x32", "x64"}
	case "qdrant.BinaryQuantizationEncoding":
		return []string{"one_bit", "two_bits", "one_and_half_bits"}
	case "qdrant.TurboQuantBitSize":
		return []string{"bits1", "bits1_5", "bits2", "bits4"}
	case "qdrant.ShardingMethod":
		return []string{"auto", "custom"}
	case "qdrant.ReplicaState":
		return replicaStates
	case "qdrant.ShardTransferMethod":
		return transferMethods
	case "qdrant.TokenizerType":
		return []string{"", "prefix", "whitespace", "word", "multilingual"}
	default:
		return nil
	}
}
