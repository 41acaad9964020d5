package dialect

import (
	"encoding/json"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// seeds returns bodies of every sort that scripts know.
func seeds() []string {
	return []string{
		`{"points": [{"id": 1, "vector": [0.05, 1e-3], "payload": {"a": [1, 1.0, "x", null, {}]}}]}`,
		`{"points": [{"id": "5c56c793-69f3-4fbf-87e6-c4bf54c28c26", "vector": {"a": [[1], [2]], "s": {"indices": [1], "values": [2]}, "t": {"text": "x", "model": "m"}}}], "shard_key": ["a", 1]}`,
		`{"points": [{"id": 1, "vector": {"text": "x", "model": "m", "options": {"a": 1}}}], "update_filter": {"must": []}}`,
		`{"batch": {"ids": [1, 2], "vectors": {"a": [[1], [2]]}, "payloads": [{"a": 1}, null]}}`,
		`{"query": [1, 2], "filter": {"must": {"key": "a", "match": {"any": [1]}}}, "limit": 3, "with_payload": ["a"], "params": {"hnsw_ef": 5}}`,
		`{"prefetch": [{"query": {"indices": [1], "values": [1]}, "prefetch": {"query": 1}}], "query": {"fusion": "rrf"}}`,
		`{"query": {"formula": {"sum": ["$score", {"mult": [0.5, {"key": "a", "match": {"value": 1}}]}]}, "defaults": {"a": 1}}}`,
		`{"query": {"discover": {"target": 1, "context": [{"positive": 1, "negative": [1]}]}}}`,
		`{"query": {"order_by": {"key": "a", "start_from": "2024-01-01"}}}`,
		`{"filter": {"should": [{"key": "a", "range": {"gt": 1}}, {"nested": {"key": "n", "filter": {}}}], "min_should": {"conditions": [], "min_count": 1}}, "offset": 1}`,
		`{"operations": [{"upsert": {"points": []}}, {"set_payload": {"points": [1], "payload": {"a": 1}}}, {"delete": {"filter": {}}}]}`,
		`{"vectors": {"a": {"size": 4, "distance": "Dot"}}, "sparse_vectors": {"s": {}}, "quantization_config": {"binary": {"query_encoding": "binary"}}, "metadata": {"x": [1, 2.5]}}`,
		`{"vectors": {"": {"quantization_config": "Disabled"}}, "optimizers_config": {"max_optimization_threads": "auto"}}`,
		`{"field_name": "a", "field_schema": {"type": "text", "stopwords": "english", "stemmer": {"type": "none"}}}`,
		`{"vector": {"name": "a", "vector": {"indices": [1], "values": [1]}}, "limit": 1}`,
		`{"positive": [1, [2]], "limit": 1}`, `{"": "a"}`, `{}`, `[]`, `null`, `{"filter": {"must": [{}]}}`,
	}
}

// FuzzJSONBody reads any bytes as every body that there is. Reading never
// panics, fails with the two kinds of error that bad bodies have, and what is a
// configuration reads back the same after it was written.
func FuzzJSONBody(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, fn := range decoders() {
			m, err := fn(body)
			if err != nil {
				kind := apierror.KindOf(err)
				require.Contains(t, []apierror.Kind{apierror.Format, apierror.Validation, apierror.BadInput}, kind, "%s: %v", name, err)
				continue
			}
			_, err = proto.Marshal(m)
			require.NoError(t, err, name)
			switch name {
			case "create", "update", "aliases", "create-vector":
				w := jsonx.NewWriter(nil)
				writeMessage(w, m.ProtoReflect())
				again, err := fn(w.Bytes())
				require.NoError(t, err, "%s: %s", name, w.Bytes())
				require.True(t, proto.Equal(m, again), "%s: %s: %v, then %v", name, w.Bytes(), m, again)
			}
		}
	})
}

// TestDepthIsBounded nests what can be nested.
func TestDepthIsBounded(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"upsert": `{"points": [{"id": 1, "vector": ` + strings.Repeat("[", n),
		"scroll": `{"filter": ` + strings.Repeat(`{"must": `, n),
		"query":  strings.Repeat(`{"prefetch": `, n),
		"create": `{"metadata": ` + strings.Repeat(`{"a": `, n),
		"batch":  `{"operations": [{"upsert": {"points": [{"id": 1, "vector": [1], "payload": ` + strings.Repeat(`{"a": `, n),
	} {
		_, err := decoders()[name]([]byte(text))
		require.Error(t, err, name)
	}
	_, err := QueryPoints([]byte(`{"query": {"formula": ` + strings.Repeat(`{"neg": `, n) + "1" + strings.Repeat("}", n) + "}}"))
	require.ErrorContains(t, err, "recursion limit exceeded")
}

// FuzzAnswers writes any message as an answer: the text is always JSON.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		`result { id { num: 1 } score: 0.5 payload { key: "a" value { double_value: 1 } } vectors { vector { dense { data: 1 } } } }`,
		`result { id { uuid: "x" } score: inf order_value { float: nan } vectors { vectors { vectors { key: "a" value { sparse { indices: 1 } } } } } }`,
	} {
		m := &pb.QueryResponse{}
		require.NoError(f, prototext.Unmarshal([]byte(text), m))
		b, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		opts := proto.UnmarshalOptions{DiscardUnknown: true}
		answers := []Answer{}
		add := func(m proto.Message, a func() Answer) {
			if opts.Unmarshal(b, m) == nil {
				answers = append(answers, a())
			}
		}
		query, scroll, groups, info := &pb.QueryResponse{}, &pb.ScrollResponse{}, &pb.GroupsResult{}, &pb.CollectionInfo{}
		add(query, func() Answer { return Points(query.Result) })
		add(scroll, func() Answer { return Scrolled(scroll) })
		add(groups, func() Answer { return Groups(groups) })
		add(info, func() Answer { return Collection(info) })
		for _, a := range answers {
			text := OK(nil, a, 0.5, query.Usage)
			require.True(t, json.Valid(text), "%s", text)
		}
	})
}
