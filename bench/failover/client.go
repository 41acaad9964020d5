package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
)

const (
	// probes are points of all shards: so many that no shard is without.
	probes = 24
	shards = 6
	// requestTime bounds a request.
	requestTime = 30 * time.Second
	// readTime bounds a read, which is tried once more elsewhere.
	readTime = 5 * time.Second
	poll     = 20 * time.Millisecond
)

// door is a client of one node.
type door struct {
	*qdrant.Client
	dim int
}

func open(n *clusterbed.Node, dim int) (*door, error) {
	c, err := qdrant.NewClient(&qdrant.Config{Host: n.Host, Port: n.GRPC, SkipCompatibilityCheck: true, PoolSize: 4})
	if err != nil {
		return nil, err
	}
	return &door{c, dim}, nil
}

// openAll opens a door of every node.
func openAll(nodes []*clusterbed.Node, dim int) ([]*door, error) {
	var out []*door
	for _, n := range nodes {
		d, err := open(n, dim)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func closeAll(doors []*door) {
	for _, d := range doors {
		_ = d.Close() // nothing is under way
	}
}

func (d *door) create(ctx context.Context, name string, shards, copies uint32) error {
	return d.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: name, ShardNumber: &shards, ReplicationFactor: &copies,
		VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: uint64(d.dim), Distance: qdrant.Distance_Dot}),
	})
}

// put writes points first, first+1, … and waits until every read sees them.
func (d *door) put(ctx context.Context, name string, first uint64, count int) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	points := make([]*qdrant.PointStruct, count)
	for i := range points {
		v := make([]float32, d.dim)
		for j := range v {
			v[j] = rand.Float32()
		}
		points[i] = &qdrant.PointStruct{Id: qdrant.NewIDNum(first + uint64(i)), Vectors: qdrant.NewVectors(v...)}
	}
	_, err := d.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: name, Wait: new(true), Points: points})
	return err
}

func (d *door) get(ctx context.Context, name string, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	_, err := d.Get(ctx, &qdrant.GetPoints{CollectionName: name, Ids: []*qdrant.PointId{qdrant.NewIDNum(id)}})
	return err
}

// until asks again and again until there is no error.
func until(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, err)
		}
	}
}

// writable waits until all nodes take writes of all shards.
func writable(ctx context.Context, doors []*door, name string) error {
	for i, d := range doors {
		for p := range uint64(probes) {
			err := until(ctx, fmt.Sprintf("node %d takes writes", i), func() error { return d.put(ctx, name, p+1, 1) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}
