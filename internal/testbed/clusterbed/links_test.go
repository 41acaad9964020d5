package clusterbed_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed/clusterbed"
	"github.com/sextantdb/sextant/internal/testbed/netns"
)

// The tests run this test binary as the nodes.
const role = "SEXTANT_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		m.Run()
		return
	}
	if err := serve(); err != nil {
		panic(err)
	}
}

// serve answers other nodes, and is asked over REST to ask one of them.
func serve() error {
	host := os.Getenv("QDRANT__SERVICE__HOST")
	peers, err := net.Listen("tcp", net.JoinHostPort(host, os.Getenv("QDRANT__CLUSTER__P2P__PORT")))
	if err != nil {
		return err
	}
	door, err := net.Listen("tcp", net.JoinHostPort(host, os.Getenv("QDRANT__SERVICE__HTTP_PORT")))
	if err != nil {
		return err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
	ended := make(chan error, 2)
	go func() { ended <- http.Serve(peers, http.HandlerFunc(answer)) }()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", answer)
	mux.HandleFunc("/cluster", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"result":{"peer_id":1,"raft_info":{"is_voter":true}}}`)
	})
	mux.HandleFunc("/reach", func(w http.ResponseWriter, r *http.Request) {
		if err := reach(r.Context(), r.URL.Query().Get("uri")); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	go func() { ended <- http.Serve(door, mux) }()
	return <-ended
}

// reach asks another node over a connection of its own.
func reach(ctx context.Context, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return err
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestLinks(t *testing.T) {
	for name, proxies := range map[string]bool{"namespaces": false, "proxies": true} {
		t.Run(name, func(t *testing.T) {
			if !proxies && os.Getenv("ROBUSTNESS_ALL") == "" {
				// Namespaces are the machine's: other packages' tests use them at the same time, and
				// tests/robustness shows that links can be cut.
				t.Skip("ROBUSTNESS_ALL is not set")
			}
			if err := netns.Available(t.Context()); err != nil && !proxies {
				t.Skip(err)
			}
			checkLinks(t, proxies)
		})
	}
}

func checkLinks(t *testing.T, proxies bool) {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	c, err := clusterbed.Start(context.Background(), clusterbed.Options{
		Binary: binary, Dir: t.TempDir(), Nodes: 3, Links: true, Proxies: proxies, Env: []string{role + "=node"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	reaches := func(from, to int) bool {
		t.Helper()
		resp, err := http.Get(c.Nodes[from].URL("/reach?uri=" + url.QueryEscape(c.Nodes[to].URI())))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode == http.StatusOK
	}
	all := func(cut ...[2]int) {
		t.Helper()
		for from := range 3 {
			for to := range 3 {
				want := from != to
				for _, pair := range cut {
					want = want && pair != [2]int{from, to} && pair != [2]int{to, from}
				}
				if from != to {
					require.Equal(t, want, reaches(from, to), "from %d to %d", from, to)
				}
			}
		}
	}
	all()
	// One way is enough to lose what needs an answer.
	require.NoError(t, c.Cut(t.Context(), c.Nodes[0], c.Nodes[1]))
	all([2]int{0, 1})
	require.NoError(t, c.Heal(t.Context()))
	all()
	require.NoError(t, c.Split(t.Context(), c.Nodes[:1], c.Nodes[1:]))
	all([2]int{0, 1}, [2]int{0, 2})
	require.NoError(t, c.Heal(t.Context()))
	all()

	require.NoError(t, c.Nodes[2].Pause())
	for tries := 0; tries < 1000 && reaches(0, 2); tries++ { // a stopping process may still answer
		continue
	}
	require.False(t, reaches(0, 2))
	require.NoError(t, c.Nodes[2].Continue())
	all()
	require.NoError(t, c.Nodes[1].Kill())
	require.False(t, reaches(0, 1))
	require.NoError(t, c.Nodes[1].Start(context.Background()))
	all()
}
