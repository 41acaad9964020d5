package telemetry

import (
	"context"
	"fmt"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Collection is what telemetry says about one collection.
type Collection struct {
	Name string
	Info *pb.CollectionInfo
	// Applied is the position in its log of the last operation that each shard
	// applied; nil when that is not known.
	Applied []uint64
	// Vectors is the number of points that have a vector, for each vector name;
	// the default vector has the name "".
	Vectors map[string]uint64
}

// Source knows the collections of the node.
type Source interface {
	// Collections returns all collections, sorted by name.
	Collections(ctx context.Context) ([]Collection, error)
}

// FromServer makes a Source of the front desk.
func FromServer(s pb.CollectionsServer) Source { return fromServer{s} }

type fromServer struct{ server pb.CollectionsServer }

// Collections implements Source. A collection that vanishes while its turn
// comes is left out.
func (f fromServer) Collections(ctx context.Context) ([]Collection, error) {
	list, err := f.server.List(ctx, &pb.ListCollectionsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	var names []string
	for _, c := range list.GetCollections() {
		names = append(names, c.GetName())
	}
	slices.Sort(names)
	out := make([]Collection, 0, len(names))
	for _, name := range names {
		got, err := f.server.Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: name})
		if apierror.KindOf(err) == apierror.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("describe collection %q: %w", name, err)
		}
		one := Collection{Name: name, Info: got.GetResult()}
		if a, ok := f.server.(interface{ Applied(name string) []uint64 }); ok {
			one.Applied = a.Applied(name)
		}
		if v, ok := f.server.(interface {
			Vectors(name string) map[string]uint64
		}); ok {
			one.Vectors = v.Vectors(name)
		}
		out = append(out, one)
	}
	return out, nil
}
