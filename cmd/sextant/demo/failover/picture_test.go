package failover_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cmd/sextant/demo/failover"
)

// node answers as a node does.
func node(t *testing.T, answers map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func status(peer, commit string) string {
	return `{"result":{"status":"enabled","peer_id":` + peer + `,"peers":{},"raft_info":{"term":3,"commit":` + commit +
		`,"leader":22,"role":"Follower","is_voter":true}},"status":"ok","time":0.1}`
}

func TestEyes(t *testing.T) {
	const (
		old    = `{"result":{"peer_id":11,"shard_count":1,"local_shards":[],"remote_shards":[]}}`
		newest = `{"result":{"peer_id":18446744073709551615,"shard_count":2,"local_shards":[
			{"shard_id":1,"points_count":7,"state":"Active","leader":null,"epoch":0,"in_sync":[]},
			{"shard_id":0,"points_count":7,"state":"Active","leader":11,"epoch":4,"in_sync":[18446744073709551615,11],"lag":0}],
			"remote_shards":[{"shard_id":0,"peer_id":11,"state":"Active","leader":11,"epoch":4,"in_sync":[18446744073709551615,11],"lag":17},
			{"shard_id":1,"peer_id":33,"state":"Dead","leader":null,"epoch":0,"in_sync":[]}]}}`
	)
	urls := []string{
		node(t, map[string]string{"/cluster": status("11", "5"), "/collections/c/cluster": old}),
		node(t, map[string]string{"/cluster": status("18446744073709551615", "9"), "/collections/c/cluster": newest}),
		"http://127.0.0.1:1",
	}
	eyes := failover.NewEyes(urls, "c")
	defer eyes.Close()
	p, err := eyes.Look(t.Context())
	require.NoError(t, err)
	require.Equal(t, &failover.Picture{
		Nodes: []failover.Node{
			{Answers: true, Voter: true, Copies: 1, InSync: 1, Leads: 1, Lag: 17},
			{Answers: true, Voter: true, Copies: 2, InSync: 1, Unclear: true},
			{},
		},
		Shards: []failover.Shard{
			{ID: 0, Epoch: 4, Leader: 0, Copies: []int{0, 1}, InSync: []int{0, 1}, Lag: map[int]uint64{0: 17, 1: 0}},
			{ID: 1, Leader: -1, Copies: []int{-1, 1}, Lag: map[int]uint64{}},
		},
	}, p)
}

func TestEyesThatSeeNothingSayWhy(t *testing.T) {
	eyes := failover.NewEyes([]string{
		node(t, map[string]string{"/cluster": `{"result":{"status":"disabled"}}`}),
		node(t, map[string]string{"/cluster": status("1", "1")}),
		node(t, map[string]string{"/cluster": `<html>`}),
	}, "c")
	defer eyes.Close()
	p, err := eyes.Look(t.Context())
	require.Len(t, p.Nodes, 3)
	require.ErrorContains(t, err, "node 1: it is in no cluster")
	require.ErrorContains(t, err, "/collections/c/cluster: status 404")
	require.ErrorContains(t, err, "node 3: invalid character")
}
