package rest

import (
	"context"
	"net/http"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/server/rest/dialect"
)

// route is one operation of the API.
type route struct {
	pattern string
	access  Access
	serve   func(*exchange) error
}

// routes lists every operation that the API has, those that are not built yet
// included.
func (s *server) routes() []route {
	rs := s.serviceRoutes()
	rs = append(rs, s.collectionRoutes()...)
	rs = append(rs, s.updateRoutes()...)
	rs = append(rs, s.readRoutes()...)
	rs = append(rs, s.legacyRoutes()...)
	rs = append(rs, s.snapshotRoutes()...)
	rs = append(rs, s.clusterRoutes()...)
	return append(rs, s.missingRoutes()...)
}

const (
	collection = "/collections/{name}"
	points     = collection + "/points"
)

func (s *server) collectionRoutes() []route {
	c := s.Collections
	return []route{
		{"GET /collections", Read, do(s, pathOnly[pb.ListCollectionsRequest], c.List, func(r *pb.ListCollectionsResponse) dialect.Answer {
			return dialect.Collections(r.GetCollections())
		})},
		{"GET " + collection, Read, do(s, pathOnly[pb.GetCollectionInfoRequest], c.Get, func(r *pb.GetCollectionInfoResponse) dialect.Answer {
			return dialect.Collection(r.GetResult())
		})},
		{"GET " + collection + "/exists", Read, do(s, pathOnly[pb.CollectionExistsRequest], c.CollectionExists, func(r *pb.CollectionExistsResponse) dialect.Answer {
			return dialect.Exists(r.GetResult())
		})},
		{"PUT " + collection, Manage, do(s, body(s, dialect.CreateCollection), c.Create, operated)},
		{"PATCH " + collection, Manage, do(s, body(s, dialect.UpdateCollection), c.Update, operated)},
		{"DELETE " + collection, Manage, do(s, pathOnly[pb.DeleteCollection], c.Delete, operated)},
		{"POST /collections/aliases", Manage, do(s, body(s, dialect.ChangeAliases), c.UpdateAliases, operated)},
		{"GET /aliases", Read, do(s, pathOnly[pb.ListAliasesRequest], c.ListAliases, aliases)},
		{"GET " + collection + "/aliases", Read, do(s, pathOnly[pb.ListCollectionAliasesRequest], c.ListCollectionAliases, aliases)},
	}
}

func operated(r *pb.CollectionOperationResponse) dialect.Answer { return dialect.Bool(r.GetResult()) }

func aliases(r *pb.ListAliasesResponse) dialect.Answer { return dialect.Aliases(r.GetAliases()) }

func updated(r *pb.PointsOperationResponse) dialect.Answer { return dialect.Update(r.GetResult()) }

func (s *server) updateRoutes() []route {
	p := s.Points
	return []route{
		{"PUT " + collection + "/index", Manage, do(s, body(s, dialect.CreateFieldIndex), p.CreateFieldIndex, updated)},
		{"DELETE " + collection + "/index/{field_name}", Manage, do(s, deleteIndex, p.DeleteFieldIndex, updated)},
		{"PUT " + collection + "/vectors/{vector_name}", Manage, do(s, createVector(s), p.CreateVectorName, updated)},
		{"DELETE " + collection + "/vectors/{vector_name}", Manage, do(s, deleteVector, p.DeleteVectorName, updated)},
		{"PUT " + points, Write, do(s, body(s, dialect.UpsertPoints), p.Upsert, updated)},
		{"POST " + points + "/delete", Write, do(s, body(s, dialect.DeletePoints), p.Delete, updated)},
		{"PUT " + points + "/vectors", Write, do(s, body(s, dialect.UpdateVectors), p.UpdateVectors, updated)},
		{"POST " + points + "/vectors/delete", Write, do(s, body(s, dialect.DeleteVectors), p.DeleteVectors, updated)},
		{"POST " + points + "/payload", Write, do(s, body(s, dialect.SetPayload), p.SetPayload, updated)},
		{"PUT " + points + "/payload", Write, do(s, body(s, dialect.SetPayload), p.OverwritePayload, updated)},
		{"POST " + points + "/payload/delete", Write, do(s, body(s, dialect.DeletePayload), p.DeletePayload, updated)},
		{"POST " + points + "/payload/clear", Write, do(s, body(s, dialect.ClearPayload), p.ClearPayload, updated)},
		{"POST " + points + "/batch", Write, do(s, body(s, dialect.UpdateBatch), p.UpdateBatch, func(r *pb.UpdateBatchResponse) dialect.Answer {
			return dialect.Updates(r.GetResult())
		})},
	}
}

func (s *server) readRoutes() []route {
	p := s.Points
	return []route{
		{"GET " + points + "/{id}", Read, s.getPoint},
		{"POST " + points, Read, do(s, body(s, dialect.GetPoints), p.Get, func(r *pb.GetResponse) dialect.Answer {
			return dialect.Records(r.GetResult())
		})},
		{"POST " + points + "/scroll", Read, do(s, body(s, dialect.ScrollPoints), p.Scroll, dialect.Scrolled)},
		{"POST " + points + "/count", Read, do(s, body(s, dialect.CountPoints), p.Count, func(r *pb.CountResponse) dialect.Answer {
			return dialect.Counted(r.GetResult())
		})},
		{"POST " + points + "/query", Read, do(s, body(s, dialect.QueryPoints), p.Query, func(r *pb.QueryResponse) dialect.Answer {
			return dialect.Points(r.GetResult())
		})},
		{"POST " + points + "/query/batch", Read, do(s, body(s, dialect.QueryBatch), p.QueryBatch, func(r *pb.QueryBatchResponse) dialect.Answer {
			return dialect.PointsBatch(r.GetResult())
		})},
		{"POST " + points + "/query/groups", Read, do(s, body(s, dialect.QueryGroups), p.QueryGroups, func(r *pb.QueryGroupsResponse) dialect.Answer {
			return dialect.Groups(r.GetResult())
		})},
		{"POST " + collection + "/facet", Read, do(s, body(s, dialect.Facet), p.Facet, func(r *pb.FacetResponse) dialect.Answer {
			return dialect.Facets(r.GetHits())
		})},
		{"POST " + points + "/search/matrix/pairs", Read, do(s, body(s, dialect.SearchMatrix), p.SearchMatrixPairs, func(r *pb.SearchMatrixPairsResponse) dialect.Answer {
			return dialect.MatrixPairs(r.GetResult())
		})},
		{"POST " + points + "/search/matrix/offsets", Read, do(s, body(s, dialect.SearchMatrix), p.SearchMatrixOffsets, func(r *pb.SearchMatrixOffsetsResponse) dialect.Answer {
			return dialect.MatrixOffsets(r.GetResult())
		})},
	}
}

// olderSearches are the methods of pb.PointsServer that its authors advise
// clients against; servers must have them.
type olderSearches interface {
	Search(context.Context, *pb.SearchPoints) (*pb.SearchResponse, error)
	SearchBatch(context.Context, *pb.SearchBatchPoints) (*pb.SearchBatchResponse, error)
	SearchGroups(context.Context, *pb.SearchPointGroups) (*pb.SearchGroupsResponse, error)
	Recommend(context.Context, *pb.RecommendPoints) (*pb.RecommendResponse, error)
	RecommendBatch(context.Context, *pb.RecommendBatchPoints) (*pb.RecommendBatchResponse, error)
	RecommendGroups(context.Context, *pb.RecommendPointGroups) (*pb.RecommendGroupsResponse, error)
	Discover(context.Context, *pb.DiscoverPoints) (*pb.DiscoverResponse, error)
	DiscoverBatch(context.Context, *pb.DiscoverBatchPoints) (*pb.DiscoverBatchResponse, error)
}

// legacyRoutes are the searches that came before …/points/query and that
// clients still use.
func (s *server) legacyRoutes() []route {
	p := olderSearches(s.Points)
	return []route{
		{"POST " + points + "/search", Read, do(s, body(s, dialect.SearchPoints), p.Search, func(r *pb.SearchResponse) dialect.Answer {
			return dialect.Hits(r.GetResult())
		})},
		{"POST " + points + "/search/batch", Read, do(s, body(s, dialect.SearchBatch), p.SearchBatch, func(r *pb.SearchBatchResponse) dialect.Answer {
			return dialect.HitsBatch(r.GetResult())
		})},
		{"POST " + points + "/search/groups", Read, do(s, body(s, dialect.SearchGroups), p.SearchGroups, func(r *pb.SearchGroupsResponse) dialect.Answer {
			return dialect.Groups(r.GetResult())
		})},
		{"POST " + points + "/recommend", Read, do(s, body(s, dialect.RecommendPoints), p.Recommend, func(r *pb.RecommendResponse) dialect.Answer {
			return dialect.Hits(r.GetResult())
		})},
		{"POST " + points + "/recommend/batch", Read, do(s, body(s, dialect.RecommendBatch), p.RecommendBatch, func(r *pb.RecommendBatchResponse) dialect.Answer {
			return dialect.HitsBatch(r.GetResult())
		})},
		{"POST " + points + "/recommend/groups", Read, do(s, body(s, dialect.RecommendGroups), p.RecommendGroups, func(r *pb.RecommendGroupsResponse) dialect.Answer {
			return dialect.Groups(r.GetResult())
		})},
		{"POST " + points + "/discover", Read, do(s, body(s, dialect.DiscoverPoints), p.Discover, func(r *pb.DiscoverResponse) dialect.Answer {
			return dialect.Hits(r.GetResult())
		})},
		{"POST " + points + "/discover/batch", Read, do(s, body(s, dialect.DiscoverBatch), p.DiscoverBatch, func(r *pb.DiscoverBatchResponse) dialect.Answer {
			return dialect.HitsBatch(r.GetResult())
		})},
	}
}

// snapshotRoutes make, list and delete snapshots, where there is somebody who
// can.
func (s *server) snapshotRoutes() []route {
	sn := s.Snapshots
	if sn == nil {
		sn = pb.UnimplementedSnapshotsServer{}
	}
	created := func(r *pb.CreateSnapshotResponse) dialect.Answer { return dialect.Snapshot(r.GetSnapshotDescription()) }
	listed := func(r *pb.ListSnapshotsResponse) dialect.Answer {
		return dialect.Snapshots(r.GetSnapshotDescriptions())
	}
	deleted := func(*pb.DeleteSnapshotResponse) dialect.Answer { return dialect.Bool(true) }
	return []route{
		{"GET " + collection + "/snapshots", Read, do(s, pathOnly[pb.ListSnapshotsRequest], sn.List, listed)},
		{"POST " + collection + "/snapshots", Manage, do(s, pathOnly[pb.CreateSnapshotRequest], sn.Create, created)},
		{"DELETE " + collection + "/snapshots/{snapshot_name}", Manage, do(s, deleteSnapshot, sn.Delete, deleted)},
		{"GET /snapshots", Read, do(s, pathOnly[pb.ListFullSnapshotsRequest], sn.ListFull, listed)},
		{"POST /snapshots", Manage, do(s, pathOnly[pb.CreateFullSnapshotRequest], sn.CreateFull, created)},
		{"DELETE /snapshots/{snapshot_name}", Manage, do(s, deleteFullSnapshot, sn.DeleteFull, deleted)},
	}
}

// missingRoutes are operations of the API that nothing is behind yet. They are
// answered as such, after the guard was asked.
func (s *server) missingRoutes() []route {
	var rs []route
	for _, pattern := range []string{
		"GET /quotas", "PUT /quotas",
		"GET /logger", "POST /logger", "POST /audit/logs", "GET /stacktrace",
		"GET /debugger", "PATCH /debugger", "GET /profiler/slow_requests",
		"GET /snapshots/{snapshot_name}",
		"GET " + collection + "/optimizations", "GET " + collection + "/memory",
		"POST " + collection + "/truncate_unapplied_wal", "POST " + collection + "/debug",
		"POST " + collection + "/snapshots/upload", "PUT " + collection + "/snapshots/recover",
		"GET " + collection + "/snapshots/{snapshot_name}",
		"GET " + collection + "/shards/{shard_id}/snapshot",
		"GET " + collection + "/shards/{shard_id}/snapshots", "POST " + collection + "/shards/{shard_id}/snapshots",
		"POST " + collection + "/shards/{shard_id}/snapshots/upload",
		"PUT " + collection + "/shards/{shard_id}/snapshots/recover",
		"GET " + collection + "/shards/{shard_id}/snapshots/{snapshot_name}",
		"DELETE " + collection + "/shards/{shard_id}/snapshots/{snapshot_name}",
		"POST " + collection + "/shards/{shard_id}/snapshot/partial/create",
		"POST " + collection + "/shards/{shard_id}/snapshot/partial/recover",
		"POST " + collection + "/shards/{shard_id}/snapshot/partial/recover_from",
		"GET " + collection + "/shards/{shard_id}/snapshot/partial/manifest",
		"POST " + collection + "/shards/{shard_id}/cleanup",
		"GET " + collection + "/shards/{shard_id}/wal", "GET " + collection + "/shards/{shard_id}/recovery_point",
	} {
		access := Manage
		if strings.HasPrefix(pattern, "GET ") {
			access = Read
		}
		rs = append(rs, route{pattern, access, func(*exchange) error { return notImplemented(pattern) }})
	}
	return rs
}

func notImplemented(pattern string) error {
	return apierror.New(apierror.NotImplemented, "%s is not implemented", pattern)
}

// serviceRoutes are about the node itself.
func (s *server) serviceRoutes() []route {
	return []route{
		{"GET /{$}", Public, s.version},
		{"GET /healthz", Public, s.plain("healthz check passed")},
		{"GET /livez", Public, s.plain("healthz check passed")},
		{"GET /readyz", Public, s.ready},
		{"GET /telemetry", Read, s.telemetry},
		{"GET /metrics", Read, s.metrics},
		// Nothing looks for issues yet, so there are none to tell or to clear.
		{"GET /issues", Read, s.fixed(`{"issues":[]}`)},
		{"DELETE /issues", Manage, s.fixed("true")},
	}
}

// fixed answers with the same result to everybody.
func (s *server) fixed(result string) func(*exchange) error {
	return func(x *exchange) error {
		s.answer(x, http.StatusOK, dialect.OK(nil, dialect.Text([]byte(result)), x.seconds(), nil))
		return nil
	}
}

func (s *server) version(x *exchange) error {
	s.answer(x, http.StatusOK, dialect.Version(s.Version, s.Commit))
	return nil
}

func (s *server) plain(text string) func(*exchange) error {
	return func(x *exchange) error {
		s.answerText(x, http.StatusOK, text)
		return nil
	}
}

func (s *server) answerText(x *exchange, code int, text string) {
	x.status = code
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.w.WriteHeader(code)
	s.note(x, write(x.w, []byte(text)))
}

func (s *server) ready(x *exchange) error {
	if s.Ready != nil && !s.Ready(x.r.Context()) {
		s.answerText(x, http.StatusServiceUnavailable, "some shards are not ready")
		return nil
	}
	s.answerText(x, http.StatusOK, "all shards are ready")
	return nil
}

func (s *server) telemetry(x *exchange) error {
	if s.Telemetry == nil {
		return notImplemented(x.pattern)
	}
	result, err := s.Telemetry(x.r)
	if err != nil {
		return err
	}
	s.answer(x, http.StatusOK, dialect.OK(nil, dialect.Text(result), x.seconds(), nil))
	return nil
}

func (s *server) metrics(x *exchange) error {
	if s.Metrics == nil {
		return notImplemented(x.pattern)
	}
	x.status = http.StatusOK
	s.Metrics.ServeHTTP(x.w, x.r)
	return nil
}
