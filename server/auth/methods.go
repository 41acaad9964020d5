package auth

import (
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// methods says what each remote procedure needs. A test compares it with the
// services' descriptors, so that a new procedure can't be forgotten.
var methods = map[string]Access{
	pb.Qdrant_HealthCheck_FullMethodName: Public,
	healthpb.Health_Check_FullMethodName: Public,
	healthpb.Health_List_FullMethodName:  Public,
	healthpb.Health_Watch_FullMethodName: Public,

	pb.Collections_Get_FullMethodName:                          Read,
	pb.Collections_List_FullMethodName:                         Read,
	pb.Collections_CollectionExists_FullMethodName:             Read,
	pb.Collections_CollectionClusterInfo_FullMethodName:        Read,
	pb.Collections_ListAliases_FullMethodName:                  Read,
	pb.Collections_ListCollectionAliases_FullMethodName:        Read,
	pb.Collections_ListShardKeys_FullMethodName:                Read,
	pb.Collections_Create_FullMethodName:                       Manage,
	pb.Collections_Update_FullMethodName:                       Manage,
	pb.Collections_Delete_FullMethodName:                       Manage,
	pb.Collections_UpdateAliases_FullMethodName:                Manage,
	pb.Collections_UpdateCollectionClusterSetup_FullMethodName: Manage,
	pb.Collections_CreateShardKey_FullMethodName:               Manage,
	pb.Collections_DeleteShardKey_FullMethodName:               Manage,

	pb.Points_Get_FullMethodName:                 Read,
	pb.Points_Search_FullMethodName:              Read,
	pb.Points_SearchBatch_FullMethodName:         Read,
	pb.Points_SearchGroups_FullMethodName:        Read,
	pb.Points_Scroll_FullMethodName:              Read,
	pb.Points_Recommend_FullMethodName:           Read,
	pb.Points_RecommendBatch_FullMethodName:      Read,
	pb.Points_RecommendGroups_FullMethodName:     Read,
	pb.Points_Discover_FullMethodName:            Read,
	pb.Points_DiscoverBatch_FullMethodName:       Read,
	pb.Points_Count_FullMethodName:               Read,
	pb.Points_Query_FullMethodName:               Read,
	pb.Points_QueryBatch_FullMethodName:          Read,
	pb.Points_QueryGroups_FullMethodName:         Read,
	pb.Points_Facet_FullMethodName:               Read,
	pb.Points_SearchMatrixPairs_FullMethodName:   Read,
	pb.Points_SearchMatrixOffsets_FullMethodName: Read,
	pb.Points_Upsert_FullMethodName:              Write,
	pb.Points_Delete_FullMethodName:              Write,
	pb.Points_UpdateVectors_FullMethodName:       Write,
	pb.Points_DeleteVectors_FullMethodName:       Write,
	pb.Points_SetPayload_FullMethodName:          Write,
	pb.Points_OverwritePayload_FullMethodName:    Write,
	pb.Points_DeletePayload_FullMethodName:       Write,
	pb.Points_ClearPayload_FullMethodName:        Write,
	pb.Points_UpdateBatch_FullMethodName:         Write,
	pb.Points_CreateFieldIndex_FullMethodName:    Write,
	pb.Points_DeleteFieldIndex_FullMethodName:    Write,
	pb.Points_CreateVectorName_FullMethodName:    Write,
	pb.Points_DeleteVectorName_FullMethodName:    Write,

	pb.Snapshots_List_FullMethodName:       Read,
	pb.Snapshots_ListFull_FullMethodName:   Read,
	pb.Snapshots_Create_FullMethodName:     Write,
	pb.Snapshots_Delete_FullMethodName:     Write,
	pb.Snapshots_CreateFull_FullMethodName: Manage,
	pb.Snapshots_DeleteFull_FullMethodName: Manage,
}

// OfMethod returns what a remote procedure needs ("/qdrant.Points/Search").
// Reflection shows names that are public anyway, to anyone who may read;
// procedures without entry need Manage.
func OfMethod(fullMethod string) Access {
	if strings.HasPrefix(fullMethod, "/grpc.reflection.") {
		return Read
	}
	return methods[fullMethod]
}
