package rest

import (
	"context"
	"fmt"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/engine/payload"
)

// desk is a front desk that notes what it is asked and answers what it was told
// to.
type desk struct {
	asked  []string
	answer string // text form of the next answers
	err    error
	block  bool // answer only when the request ends
	panics any
}

// ask notes a request and returns the answer that was set.
func ask[Resp any, P interface {
	*Resp
	proto.Message
}](ctx context.Context, d *desk, method string, req proto.Message) (P, error) {
	d.asked = append(d.asked, fmt.Sprintf("%s %s", method, show(req)))
	if d.panics != nil {
		panic(d.panics)
	}
	if d.block {
		<-ctx.Done()
		return nil, fmt.Errorf("wait for the shard: %w", ctx.Err())
	}
	if d.err != nil {
		return nil, d.err
	}
	resp := P(new(Resp))
	if err := prototext.Unmarshal([]byte(d.answer), resp); err != nil {
		return nil, err
	}
	attachAll(resp)
	return resp, nil
}

// attachAll turns the payload maps of an answer into attached objects, as the
// front desk does.
func attachAll(m proto.Message) {
	walk(m.ProtoReflect(), func(m protoreflect.Message) {
		c, ok := m.Interface().(payload.Carrier)
		if !ok || c.GetPayload() == nil {
			return
		}
		o, err := payload.FromProto(c.GetPayload())
		if err != nil {
			panic(err)
		}
		m.Clear(m.Descriptor().Fields().ByName("payload"))
		payload.Attach(c, o)
	})
}

func walk(m protoreflect.Message, fn func(protoreflect.Message)) {
	for fd, v := range m.Range {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), fn)
			}
		default:
			walk(v.Message(), fn)
		}
	}
	fn(m)
}

// show renders a message with the payloads that are attached to it.
func show(m proto.Message) string {
	m = proto.Clone(m)
	var attached strings.Builder
	walk(m.ProtoReflect(), func(m protoreflect.Message) {
		if o := payload.Attached(m.Interface()); o != nil {
			fmt.Fprintf(&attached, " payload=%s", payload.AppendJSON(nil, o))
			m.SetUnknown(nil)
		}
	})
	// The package puts in blanks at random, lest anybody compare its output.
	text := strings.ReplaceAll(prototext.MarshalOptions{}.Format(m), "  ", " ")
	return text + attached.String()
}

// The two faces of a desk.
var (
	_ pb.PointsServer      = pointsFace{}
	_ pb.CollectionsServer = collectionsFace{}
)

type pointsFace struct {
	pb.UnimplementedPointsServer
	d *desk
}

type collectionsFace struct {
	pb.UnimplementedCollectionsServer
	d *desk
}

func (f pointsFace) Upsert(ctx context.Context, r *pb.UpsertPoints) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "Upsert", r)
}

func (f pointsFace) Delete(ctx context.Context, r *pb.DeletePoints) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "Delete", r)
}

func (f pointsFace) Get(ctx context.Context, r *pb.GetPoints) (*pb.GetResponse, error) {
	return ask[pb.GetResponse](ctx, f.d, "Get", r)
}

func (f pointsFace) UpdateVectors(ctx context.Context, r *pb.UpdatePointVectors) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "UpdateVectors", r)
}

func (f pointsFace) DeleteVectors(ctx context.Context, r *pb.DeletePointVectors) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "DeleteVectors", r)
}

func (f pointsFace) SetPayload(ctx context.Context, r *pb.SetPayloadPoints) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "SetPayload", r)
}

func (f pointsFace) OverwritePayload(ctx context.Context, r *pb.SetPayloadPoints) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "OverwritePayload", r)
}

func (f pointsFace) DeletePayload(ctx context.Context, r *pb.DeletePayloadPoints) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "DeletePayload", r)
}

func (f pointsFace) ClearPayload(ctx context.Context, r *pb.ClearPayloadPoints) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "ClearPayload", r)
}

func (f pointsFace) CreateFieldIndex(ctx context.Context, r *pb.CreateFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "CreateFieldIndex", r)
}

func (f pointsFace) DeleteFieldIndex(ctx context.Context, r *pb.DeleteFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "DeleteFieldIndex", r)
}

func (f pointsFace) CreateVectorName(ctx context.Context, r *pb.CreateVectorNameRequest) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "CreateVectorName", r)
}

func (f pointsFace) DeleteVectorName(ctx context.Context, r *pb.DeleteVectorNameRequest) (*pb.PointsOperationResponse, error) {
	return ask[pb.PointsOperationResponse](ctx, f.d, "DeleteVectorName", r)
}

func (f pointsFace) Search(ctx context.Context, r *pb.SearchPoints) (*pb.SearchResponse, error) {
	return ask[pb.SearchResponse](ctx, f.d, "Search", r)
}

func (f pointsFace) SearchBatch(ctx context.Context, r *pb.SearchBatchPoints) (*pb.SearchBatchResponse, error) {
	return ask[pb.SearchBatchResponse](ctx, f.d, "SearchBatch", r)
}

func (f pointsFace) SearchGroups(ctx context.Context, r *pb.SearchPointGroups) (*pb.SearchGroupsResponse, error) {
	return ask[pb.SearchGroupsResponse](ctx, f.d, "SearchGroups", r)
}

func (f pointsFace) Scroll(ctx context.Context, r *pb.ScrollPoints) (*pb.ScrollResponse, error) {
	return ask[pb.ScrollResponse](ctx, f.d, "Scroll", r)
}

func (f pointsFace) Recommend(ctx context.Context, r *pb.RecommendPoints) (*pb.RecommendResponse, error) {
	return ask[pb.RecommendResponse](ctx, f.d, "Recommend", r)
}

func (f pointsFace) RecommendBatch(ctx context.Context, r *pb.RecommendBatchPoints) (*pb.RecommendBatchResponse, error) {
	return ask[pb.RecommendBatchResponse](ctx, f.d, "RecommendBatch", r)
}

func (f pointsFace) RecommendGroups(ctx context.Context, r *pb.RecommendPointGroups) (*pb.RecommendGroupsResponse, error) {
	return ask[pb.RecommendGroupsResponse](ctx, f.d, "RecommendGroups", r)
}

func (f pointsFace) Discover(ctx context.Context, r *pb.DiscoverPoints) (*pb.DiscoverResponse, error) {
	return ask[pb.DiscoverResponse](ctx, f.d, "Discover", r)
}

func (f pointsFace) DiscoverBatch(ctx context.Context, r *pb.DiscoverBatchPoints) (*pb.DiscoverBatchResponse, error) {
	return ask[pb.DiscoverBatchResponse](ctx, f.d, "DiscoverBatch", r)
}

func (f pointsFace) Count(ctx context.Context, r *pb.CountPoints) (*pb.CountResponse, error) {
	return ask[pb.CountResponse](ctx, f.d, "Count", r)
}

func (f pointsFace) UpdateBatch(ctx context.Context, r *pb.UpdateBatchPoints) (*pb.UpdateBatchResponse, error) {
	return ask[pb.UpdateBatchResponse](ctx, f.d, "UpdateBatch", r)
}

func (f pointsFace) Query(ctx context.Context, r *pb.QueryPoints) (*pb.QueryResponse, error) {
	return ask[pb.QueryResponse](ctx, f.d, "Query", r)
}

func (f pointsFace) QueryBatch(ctx context.Context, r *pb.QueryBatchPoints) (*pb.QueryBatchResponse, error) {
	return ask[pb.QueryBatchResponse](ctx, f.d, "QueryBatch", r)
}

func (f pointsFace) QueryGroups(ctx context.Context, r *pb.QueryPointGroups) (*pb.QueryGroupsResponse, error) {
	return ask[pb.QueryGroupsResponse](ctx, f.d, "QueryGroups", r)
}

func (f pointsFace) Facet(ctx context.Context, r *pb.FacetCounts) (*pb.FacetResponse, error) {
	return ask[pb.FacetResponse](ctx, f.d, "Facet", r)
}

func (f pointsFace) SearchMatrixPairs(ctx context.Context, r *pb.SearchMatrixPoints) (*pb.SearchMatrixPairsResponse, error) {
	return ask[pb.SearchMatrixPairsResponse](ctx, f.d, "SearchMatrixPairs", r)
}

func (f pointsFace) SearchMatrixOffsets(ctx context.Context, r *pb.SearchMatrixPoints) (*pb.SearchMatrixOffsetsResponse, error) {
	return ask[pb.SearchMatrixOffsetsResponse](ctx, f.d, "SearchMatrixOffsets", r)
}

func (f collectionsFace) Get(ctx context.Context, r *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	return ask[pb.GetCollectionInfoResponse](ctx, f.d, "Collections.Get", r)
}

func (f collectionsFace) List(ctx context.Context, r *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	return ask[pb.ListCollectionsResponse](ctx, f.d, "Collections.List", r)
}

func (f collectionsFace) Create(ctx context.Context, r *pb.CreateCollection) (*pb.CollectionOperationResponse, error) {
	return ask[pb.CollectionOperationResponse](ctx, f.d, "Collections.Create", r)
}

func (f collectionsFace) Update(ctx context.Context, r *pb.UpdateCollection) (*pb.CollectionOperationResponse, error) {
	return ask[pb.CollectionOperationResponse](ctx, f.d, "Collections.Update", r)
}

func (f collectionsFace) Delete(ctx context.Context, r *pb.DeleteCollection) (*pb.CollectionOperationResponse, error) {
	return ask[pb.CollectionOperationResponse](ctx, f.d, "Collections.Delete", r)
}

func (f collectionsFace) UpdateAliases(ctx context.Context, r *pb.ChangeAliases) (*pb.CollectionOperationResponse, error) {
	return ask[pb.CollectionOperationResponse](ctx, f.d, "Collections.UpdateAliases", r)
}

func (f collectionsFace) ListCollectionAliases(ctx context.Context, r *pb.ListCollectionAliasesRequest) (*pb.ListAliasesResponse, error) {
	return ask[pb.ListAliasesResponse](ctx, f.d, "Collections.ListCollectionAliases", r)
}

func (f collectionsFace) ListAliases(ctx context.Context, r *pb.ListAliasesRequest) (*pb.ListAliasesResponse, error) {
	return ask[pb.ListAliasesResponse](ctx, f.d, "Collections.ListAliases", r)
}

func (f collectionsFace) CollectionExists(ctx context.Context, r *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	return ask[pb.CollectionExistsResponse](ctx, f.d, "Collections.CollectionExists", r)
}
