package demo

import (
	"context"
	"fmt"
	"sync/atomic"

	pb "github.com/qdrant/go-client/qdrant"
	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cmd/sextant/demo/corpus"
)

// Names of the collection's vectors: dense ones of the fitted model, sparse ones
// that the server makes of the text.
const (
	denseName  = "lsa"
	sparseName = "bm25"
	bm25Model  = "qdrant/bm25"
)

// create makes the collection and its payload indexes anew.
func (d *demo) create(ctx context.Context) error {
	exists, err := d.client.CollectionExists(ctx, d.Collection)
	if err != nil {
		return fmt.Errorf("look for collection %s: %w", d.Collection, err)
	}
	if exists {
		if err := d.client.DeleteCollection(ctx, d.Collection); err != nil {
			return fmt.Errorf("delete the old collection %s: %w", d.Collection, err)
		}
	}
	req := &pb.CreateCollection{
		CollectionName: d.Collection,
		VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{
			denseName: {Size: uint64(d.model.Dim()), Distance: pb.Distance_Cosine},
		}),
		SparseVectorsConfig: pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{
			sparseName: {Modifier: pb.Modifier_Idf.Enum()},
		}),
	}
	if d.Shards > 0 {
		req.ShardNumber = &d.Shards
	}
	if d.Copies > 0 {
		req.ReplicationFactor = &d.Copies
	}
	if err := d.client.CreateCollection(ctx, req); err != nil {
		return fmt.Errorf("create collection %s: %w", d.Collection, err)
	}
	for _, index := range indexes() {
		index.CollectionName, index.Wait = d.Collection, new(true)
		if _, err := d.client.CreateFieldIndex(ctx, index); err != nil {
			return fmt.Errorf("create the index of %s: %w", index.GetFieldName(), err)
		}
	}
	return nil
}

// indexes are the payload indexes.
func indexes() []*pb.CreateFieldIndexCollection {
	field := func(name string, kind pb.FieldType) *pb.CreateFieldIndexCollection {
		return &pb.CreateFieldIndexCollection{FieldName: name, FieldType: kind.Enum()}
	}
	text := field("text", pb.FieldType_FieldTypeText)
	text.FieldIndexParams = pb.NewPayloadIndexParamsText(&pb.TextIndexParams{
		Tokenizer: pb.TokenizerType_Word, Lowercase: new(true),
	})
	return []*pb.CreateFieldIndexCollection{
		field("package", pb.FieldType_FieldTypeKeyword),
		field("import_path", pb.FieldType_FieldTypeKeyword),
		field("kind", pb.FieldType_FieldTypeKeyword),
		field("since", pb.FieldType_FieldTypeKeyword),
		field("minor", pb.FieldType_FieldTypeInteger),
		field("exported", pb.FieldType_FieldTypeBool),
		text,
	}
}

// upload sends all entries in two streams of batches.
func (d *demo) upload(ctx context.Context) error {
	bar := d.bar("Uploading")
	total := len(d.entries)
	var sent atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for from := 0; from < total; from += batchSize {
		to := min(from+batchSize, total)
		group.Go(func() error {
			_, err := d.client.Upsert(ctx, &pb.UpsertPoints{
				CollectionName: d.Collection, Points: d.points(from, to), Wait: new(true),
			})
			if err != nil {
				return fmt.Errorf("upload points %d to %d: %w", from, to, err)
			}
			bar.to(int(sent.Add(int64(to-from))), total)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	bar.done("%d points", total)
	return nil
}

// points makes the points of some entries; ids count from 1.
func (d *demo) points(from, to int) []*pb.PointStruct {
	points := make([]*pb.PointStruct, 0, to-from)
	for i := from; i < to; i++ {
		e := d.entries[i]
		points = append(points, &pb.PointStruct{
			Id: pb.NewIDNum(uint64(i + 1)),
			Vectors: pb.NewVectorsMap(map[string]*pb.Vector{
				denseName:  pb.NewVectorDense(d.vectors[i]),
				sparseName: pb.NewVectorDocument(&pb.Document{Text: e.Searchable(), Model: bm25Model}),
			}),
			Payload: payload(e),
		})
	}
	return points
}

// payload is what is stored of an entry. Its release is left out when unknown.
func payload(e corpus.Entry) map[string]*pb.Value {
	values := map[string]any{
		"name": e.Name, "kind": e.Kind, "package": e.Package, "import_path": e.ImportPath,
		"exported": e.Exported, "signature": e.Signature, "text": e.Text,
	}
	if e.Minor >= 0 {
		values["since"], values["minor"] = e.Since, int64(e.Minor)
	}
	return pb.NewValueMap(values)
}
