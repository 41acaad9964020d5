package coordinator

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"
)

// What is not built yet says so, in the words of every other error.

// SearchGroups is not built yet.
func (s *Points) SearchGroups(context.Context, *pb.SearchPointGroups) (*pb.SearchGroupsResponse, error) {
	return nil, unbuilt("search groups")
}

// QueryGroups is not built yet.
func (s *Points) QueryGroups(context.Context, *pb.QueryPointGroups) (*pb.QueryGroupsResponse, error) {
	return nil, unbuilt("query groups")
}

// Recommend is not built yet.
func (s *Points) Recommend(context.Context, *pb.RecommendPoints) (*pb.RecommendResponse, error) {
	return nil, unbuilt("recommend")
}

// RecommendBatch is not built yet.
func (s *Points) RecommendBatch(context.Context, *pb.RecommendBatchPoints) (*pb.RecommendBatchResponse, error) {
	return nil, unbuilt("recommend")
}

// RecommendGroups is not built yet.
func (s *Points) RecommendGroups(context.Context, *pb.RecommendPointGroups) (*pb.RecommendGroupsResponse, error) {
	return nil, unbuilt("recommend groups")
}

// Discover is not built yet.
func (s *Points) Discover(context.Context, *pb.DiscoverPoints) (*pb.DiscoverResponse, error) {
	return nil, unbuilt("discover")
}

// DiscoverBatch is not built yet.
func (s *Points) DiscoverBatch(context.Context, *pb.DiscoverBatchPoints) (*pb.DiscoverBatchResponse, error) {
	return nil, unbuilt("discover")
}

// SearchMatrixPairs is not built yet.
func (s *Points) SearchMatrixPairs(context.Context, *pb.SearchMatrixPoints) (*pb.SearchMatrixPairsResponse, error) {
	return nil, unbuilt("search matrix")
}

// SearchMatrixOffsets is not built yet.
func (s *Points) SearchMatrixOffsets(context.Context, *pb.SearchMatrixPoints) (*pb.SearchMatrixOffsetsResponse, error) {
	return nil, unbuilt("search matrix")
}

// CreateVectorName is not built yet.
func (s *Points) CreateVectorName(context.Context, *pb.CreateVectorNameRequest) (*pb.PointsOperationResponse, error) {
	return nil, unbuilt("create vector name")
}

// DeleteVectorName is not built yet.
func (s *Points) DeleteVectorName(context.Context, *pb.DeleteVectorNameRequest) (*pb.PointsOperationResponse, error) {
	return nil, unbuilt("delete vector name")
}
