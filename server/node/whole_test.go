package node_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/server/node"
)

// TestWholeNode plays through a node with its real front desk: what goes in
// through one door comes out through the other, and is still there after a
// restart.
func TestWholeNode(t *testing.T) {
	dir := t.TempDir()
	n := start(t, node.Options{Config: configure(t, dir)})
	send(t, n, "PUT /collections/wine", `{"vectors":{"size":4,"distance":"Dot"},"sparse_vectors":{"words":{"modifier":"idf"}}}`,
		`"result":true`)
	send(t, n, "PUT /collections/wine/points?wait=true",
		`{"points":[{"id":1,"vector":{"":[1,0,0,0]},"payload":{"z":1,"a":{"b":[1.0,18446744073709551615,null]}}}]}`,
		`"status":"completed"`)

	points := pb.NewPointsClient(dial(t, n.GRPCAddr()))
	_, err := points.Upsert(t.Context(), &pb.UpsertPoints{
		CollectionName: "wine", Wait: new(true),
		Points: []*pb.PointStruct{{
			Id: pb.NewIDUUID("5c56c793-69f3-4fbf-87e6-c4bf54c28c26"), Vectors: pb.NewVectors(0, 2, 0, 0),
			Payload: pb.NewValueMap(map[string]any{"colour": "red", "year": 1999}),
		}},
	})
	require.NoError(t, err)

	check := func(n *node.Node) {
		points := pb.NewPointsClient(dial(t, n.GRPCAddr()))
		got, err := points.Query(t.Context(), &pb.QueryPoints{
			CollectionName: "wine", Query: pb.NewQuery(1, 1, 0, 0), WithPayload: pb.NewWithPayload(true), WithVectors: pb.NewWithVectors(true),
		})
		require.NoError(t, err)
		require.Len(t, got.GetResult(), 2)
		first, second := got.GetResult()[0], got.GetResult()[1]
		require.Equal(t, "red", first.GetPayload()["colour"].GetStringValue())
		require.Equal(t, []float32{0, 2, 0, 0}, first.GetVectors().GetVector().GetDense().GetData())
		require.Empty(t, first.GetVectors().GetVector().GetData(), "the deprecated form stays empty") //nolint:staticcheck // on purpose
		list := second.GetPayload()["a"].GetStructValue().GetFields()["b"].GetListValue().GetValues()
		require.InDelta(t, 1.0, list[0].GetDoubleValue(), 0)
		require.InDelta(t, 18446744073709551615.0, list[1].GetDoubleValue(), 0)

		send(t, n, "POST /collections/wine/points/scroll", `{}`,
			`"payload":{"z":1,"a":{"b":[1.0,18446744073709551615,null]}}`) // as it was written
		send(t, n, "POST /collections/wine/points/scroll", `{"filter":{"must":[{"key":"year","match":{"value":1999}}]}}`,
			`"id":"5c56c793-69f3-4fbf-87e6-c4bf54c28c26","payload":{"colour":"red","year":1999}`)
		code, body := get(t, "http://"+n.HTTPAddr()+"/metrics")
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, body, `collection_points{id="wine"} 2`)
	}
	check(n)
	require.NoError(t, n.Stop(context.Background()))
	check(start(t, node.Options{Config: configure(t, dir)}))
}

// send sends a JSON body and expects a text in the answer.
func send(t *testing.T, n *node.Node, route, body, want string) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.HTTPAddr()+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, string(answer))
	require.Contains(t, string(answer), want)
}
