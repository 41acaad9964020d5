package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	pb "github.com/qdrant/go-client/qdrant"
)

// shown is the number of hits in a table; repeats is how often a search is done
// for its time.
const (
	shown   = 5
	repeats = 21
)

// example is one search to show.
type example struct {
	title string
	// say tells what is asked for, in the words of the API.
	say   string
	query func(d *demo) *pb.QueryPoints
}

// examples are what the demonstration shows, from the plain to the combined.
func examples() []example {
	exported := pb.NewMatchBool("exported", true)
	return []example{
		{
			title: `Semantic: "wait until several goroutines have finished"`,
			say:   "nearest dense vectors, exported symbols",
			query: func(d *demo) *pb.QueryPoints {
				return d.semantic("wait until several goroutines have finished", exported)
			},
		},
		{
			title: `Keyword: "self-signed certificate"`,
			say:   "BM25, embedded by the server",
			query: func(d *demo) *pb.QueryPoints { return d.keyword("self-signed certificate") },
		},
		{
			title: `Hybrid: "split a string at a separator"`,
			say:   "both, fused by reciprocal rank",
			query: func(d *demo) *pb.QueryPoints { return d.hybrid("split a string at a separator", exported) },
		},
		{
			title: `Filtered: "iterate over a map or slice", functions since go1.21`,
			say:   "nearest dense vectors where kind = func and minor ≥ 21",
			query: func(d *demo) *pb.QueryPoints {
				return d.semantic("iterate over a map or slice", exported, pb.NewMatchKeyword("kind", "func"),
					pb.NewRange("minor", &pb.Range{Gte: new(21.0)}))
			},
		},
		{
			title: `Filtered by text: "cancel an operation", comment has the word "deadline", package net/http or context`,
			say:   "nearest dense vectors where text matches and import_path is one of two",
			query: func(d *demo) *pb.QueryPoints {
				return d.semantic("cancel an operation", pb.NewMatchText("text", "deadline"),
					pb.NewMatchKeywords("import_path", "net/http", "context"))
			},
		},
	}
}

func (d *demo) base(must []*pb.Condition) *pb.QueryPoints {
	q := &pb.QueryPoints{
		CollectionName: d.Collection,
		Limit:          new(uint64(shown)),
		WithPayload:    pb.NewWithPayloadInclude("name", "kind", "since", "text"),
	}
	if len(must) > 0 {
		q.Filter = &pb.Filter{Must: must}
	}
	return q
}

func (d *demo) semantic(words string, must ...*pb.Condition) *pb.QueryPoints {
	q := d.base(must)
	q.Query, q.Using = pb.NewQueryDense(d.model.Embed(words)), new(denseName)
	return q
}

func (d *demo) keyword(words string, must ...*pb.Condition) *pb.QueryPoints {
	q := d.base(must)
	q.Query, q.Using = pb.NewQueryDocument(&pb.Document{Text: words, Model: bm25Model}), new(sparseName)
	return q
}

func (d *demo) hybrid(words string, must ...*pb.Condition) *pb.QueryPoints {
	q := d.base(nil)
	for _, part := range []*pb.QueryPoints{d.semantic(words, must...), d.keyword(words, must...)} {
		q.Prefetch = append(q.Prefetch, &pb.PrefetchQuery{
			Query: part.GetQuery(), Using: part.Using, Filter: part.GetFilter(), Limit: new(uint64(50)),
		})
	}
	q.Query = pb.NewQueryFusion(pb.Fusion_RRF)
	return q
}

// search shows all examples.
func (d *demo) search(ctx context.Context) error {
	for _, e := range examples() {
		q := e.query(d)
		var hits []*pb.ScoredPoint
		times := make([]time.Duration, repeats)
		for i := range times {
			begun := time.Now()
			var err error
			if hits, err = d.client.Query(ctx, q); err != nil {
				return fmt.Errorf("search %s: %w", e.title, err)
			}
			times[i] = time.Since(begun)
		}
		slices.Sort(times)
		d.print(e, hits, times[repeats/2])
	}
	return nil
}

// print prints the hits of a search as a table.
func (d *demo) print(e example, hits []*pb.ScoredPoint, median time.Duration) {
	d.printf("\n%s\n%s: %.2f ms (median of %d, over gRPC)\n", e.title, e.say, median.Seconds()*1000, repeats)
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"score", "name", "kind", "since", "what it says"})
	for _, h := range hits {
		p := h.GetPayload()
		t.AppendRow(table.Row{
			fmt.Sprintf("%.3f", h.GetScore()), p["name"].GetStringValue(), p["kind"].GetStringValue(),
			p["since"].GetStringValue(), oneLine(p["text"].GetStringValue(), 64),
		})
	}
	if len(hits) == 0 {
		t.AppendRow(table.Row{"", "nothing found"})
	}
	d.printf("%s\n", t.Render())
}

// tryNext prints what to try with the node that stays up.
func (d *demo) tryNext() {
	key, keyArgument := "", ""
	if d.APIKey != "" {
		key, keyArgument = " -H 'api-key: …'", ", api_key=\"…\""
	}
	url := strings.TrimSuffix(d.RESTURL, "/")
	d.printf(`
Try next:

  # keyword search: the server embeds the text
  curl -s%[4]s %[1]s/collections/%[2]s/points/query -H 'content-type: application/json' -d '{
    "query": {"text": "read a file line by line", "model": "%[3]s"}, "using": "%[5]s",
    "filter": {"must": [{"key": "exported", "match": {"value": true}}]},
    "limit": 3, "with_payload": ["name", "since", "signature"]}'

  # more like this one
  curl -s%[4]s %[1]s/collections/%[2]s/points/query -H 'content-type: application/json' -d '{
    "query": 1, "using": "%[6]s", "limit": 3, "with_payload": ["name"]}'

  # what is in it
  curl -s%[4]s %[1]s/collections/%[2]s

  # from Python: pip install qdrant-client
  from qdrant_client import QdrantClient, models
  client = QdrantClient("%[1]s"%[7]s, cloud_inference=True)  # the server embeds
  for p in client.query_points("%[2]s", using="%[5]s", limit=5,
          query=models.Document(text="parse a duration", model="%[3]s")).points:
      print(f"{p.score:.2f}  {p.payload['name']}")
`, url, d.Collection, bm25Model, key, sparseName, denseName, keyArgument)
}
