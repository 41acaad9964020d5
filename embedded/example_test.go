package embedded_test

import (
	"context"
	"fmt"
	"os"

	"github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/embedded"
)

// A program with a database inside: a directory in, results out.
func Example() {
	dir, err := os.MkdirTemp("", "sextant")
	if err == nil {
		err = nearestCities(context.Background(), dir)
	}
	fmt.Println(err)
	// Output:
	// Munich 1.4
	// Berlin 4.7
	// <nil>
}

func nearestCities(ctx context.Context, dir string) error {
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	db, err := embedded.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // everything that was written is durable
	err = db.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: "cities",
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 2, Distance: qdrant.Distance_Euclid}),
	})
	if err != nil {
		return err
	}
	_, err = db.Upsert(ctx, &qdrant.UpsertPoints{
		CollectionName: "cities",
		Wait:           new(true),
		Points: []*qdrant.PointStruct{
			{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(52.5, 13.4), Payload: qdrant.NewValueMap(map[string]any{"name": "Berlin", "country": "DE"})},
			{Id: qdrant.NewIDNum(2), Vectors: qdrant.NewVectors(48.1, 11.6), Payload: qdrant.NewValueMap(map[string]any{"name": "Munich", "country": "DE"})},
			{Id: qdrant.NewIDNum(3), Vectors: qdrant.NewVectors(48.9, 2.4), Payload: qdrant.NewValueMap(map[string]any{"name": "Paris", "country": "FR"})},
		},
	})
	if err != nil {
		return err
	}
	hits, err := db.Query(ctx, &qdrant.QueryPoints{
		CollectionName: "cities",
		Query:          qdrant.NewQuery(47.8, 13.0), // Salzburg
		Filter:         &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("country", "DE")}},
		WithPayload:    qdrant.NewWithPayload(true),
	})
	for _, hit := range hits {
		fmt.Printf("%s %.1f\n", hit.GetPayload()["name"].GetStringValue(), hit.GetScore())
	}
	return err
}
