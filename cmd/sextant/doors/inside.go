package doors

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/bench/load"
	"github.com/sextantdb/sextant/embedded"
)

const (
	// collection is the one that bench/load searches in a server.
	collection = "benchmark"
	// neighbours are asked for by each query.
	neighbours = 10
)

// inside is the database within this process; it implements load.Target.
type inside struct{ db *embedded.DB }

func openInside(ctx context.Context, dir string) (*inside, error) {
	db, err := embedded.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &inside{db: db}, nil
}

// Close implements io.Closer.
func (i *inside) Close() error { return i.db.Close() }

// points returns how many points an earlier run left.
func (i *inside) points(ctx context.Context) (uint64, error) {
	there, err := i.db.CollectionExists(ctx, collection)
	if err != nil || !there {
		return 0, err
	}
	return i.db.Count(ctx, &pb.CountPoints{CollectionName: collection})
}

// Create implements load.Target.
func (i *inside) Create(ctx context.Context, c load.Collection) error {
	return i.db.CreateCollection(ctx, &pb.CreateCollection{
		CollectionName: collection,
		VectorsConfig:  pb.NewVectorsConfig(&pb.VectorParams{Size: uint64(c.Dim), Distance: pb.Distance_Euclid}),
	})
}

// Upload implements load.Target.
func (i *inside) Upload(ctx context.Context, first int, rows dataset.Matrix, _ []int) error {
	points := make([]*pb.PointStruct, rows.Rows())
	for j := range points {
		points[j] = &pb.PointStruct{Id: pb.NewIDNum(uint64(first + j)), Vectors: pb.NewVectorsDense(rows.Row(j))}
	}
	_, err := i.db.Upsert(ctx, &pb.UpsertPoints{CollectionName: collection, Wait: new(true), Points: points})
	return err
}

// Ready implements load.Target.
func (i *inside) Ready(ctx context.Context) (bool, error) {
	info, err := i.db.GetCollectionInfo(ctx, collection)
	return info.GetStatus() == pb.CollectionStatus_Green, err
}

// Search implements load.Target. Filters aren't measured here.
func (i *inside) Search(ctx context.Context, vector []float32, k, ef, _ int) ([]uint32, error) {
	req := &pb.QueryPoints{CollectionName: collection, Query: pb.NewQueryDense(vector), Limit: new(uint64(k))}
	if ef > 0 {
		req.Params = &pb.SearchParams{HnswEf: new(uint64(ef))}
	}
	hits, err := i.db.Query(ctx, req)
	if err != nil {
		return nil, err
	}
	rows := make([]uint32, len(hits))
	for j, h := range hits {
		rows[j] = uint32(h.GetId().GetNum())
	}
	return rows, nil
}

// Usage implements load.Target with the processor time of this process.
func (i *inside) Usage(context.Context) (load.Usage, error) {
	seconds, err := processorTime()
	return load.Usage{CPU: seconds}, err
}

// processorTime is that of this process, in seconds.
func processorTime() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("ask for the processor time: %w", err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, nil
}

// pause is how long a rested database waits before each search: about as long as
// a node waits for the next request of a client that waited for its answer.
const pause = 200 * time.Microsecond

// rested is a database whose searches come one by one, with a pause before each,
// as those of clients do that wait for an answer before they ask again. Only the
// searches themselves count as its processor time, hence not what it takes to fall
// asleep and wake up.
type rested struct {
	*inside

	used atomic.Int64 // in ns
}

// Search implements load.Target.
func (r *rested) Search(ctx context.Context, vector []float32, k, ef, below int) ([]uint32, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sleep(pause)
	before, err := threadTime()
	if err != nil {
		return nil, err
	}
	rows, err := r.inside.Search(ctx, vector, k, ef, below)
	if err != nil {
		return nil, err
	}
	after, err := threadTime()
	r.used.Add(int64(after - before))
	return rows, err
}

// Usage implements load.Target.
func (r *rested) Usage(context.Context) (load.Usage, error) {
	return load.Usage{CPU: time.Duration(r.used.Load()).Seconds()}, nil
}
