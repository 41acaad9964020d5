// Package pod tests what runs in a pod as real processes: nodes with agents and an
// exporter beside them.
package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/client"
	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/nodeprocess"
	"github.com/sextantdb/sextant/internal/testbed"
	"github.com/sextantdb/sextant/internal/testbed/authority"
)

const (
	key    = "secret"
	points = 300
)

// pod is a node with its agent. Its name is its address.
type pod struct {
	t    *testing.T
	name string
	node *nodeprocess.Process
	ask  *client.Client
}

// start starts a pod that founds a cluster, or joins that of another one.
func start(t *testing.T, number int, first *pod) *pod {
	t.Helper()
	p := &pod{t: t, name: fmt.Sprintf("127.0.77.%d", number)}
	o := nodeprocess.Options{
		Binary: testbed.Binary(t), Dir: t.TempDir(), Host: p.name, Cluster: true,
		Env: []string{"QDRANT__SERVICE__API_KEY=" + key, "QDRANT__CLUSTER__REPLICA_GRACE_SEC=3600"},
	}
	if first != nil {
		o.Bootstrap = first.node.URI()
	}
	var err error
	p.node, err = nodeprocess.New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.node.Kill())
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.node.Output())
		}
	})
	require.NoError(t, p.node.Start(context.Background())) // the test's end is not the node's, Cleanup is
	p.ask, err = client.New(client.Options{URL: p.node.URL(""), Key: func() string { return key }})
	require.NoError(t, err)
	t.Cleanup(p.ask.Close)
	beside(t, "agent", p.name+":5001", "--node", p.node.URL(""))
	return p
}

// beside runs a command beside a node until the end of the test, and waits until it answers.
func beside(t *testing.T, command, address string, args ...string) {
	t.Helper()
	secret := t.TempDir() + "/key"
	require.NoError(t, os.WriteFile(secret, []byte(key+"\n"), 0o600))
	cmd := exec.Command(testbed.Binary(t), append([]string{command, "--listen", address, "--api-key-file", secret}, args...)...) //nolint:noctx // ended below
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait(), "it ends in peace")
		if t.Failed() {
			t.Logf("output of the %s at %s:\n%s", command, address, output.String())
		}
	})
	eventually(t, command+" answers", func() bool {
		code, _ := get(t, "http://"+address+"/healthz")
		return code == http.StatusOK
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, time.Minute, 20*time.Millisecond, what)
}

// get returns 0 when nobody answers.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // of a test
	return read(t, resp, err)
}

func read(t *testing.T, resp *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		return 0, err.Error()
	}
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(raw)
}

// role is what the pod's agent says.
func (p *pod) role() (int, string) {
	code, body := get(p.t, "http://"+p.name+":5001/v1.0/getrole")
	var got struct{ Role string }
	_ = json.Unmarshal([]byte(body), &got)
	return code, got.Role
}

// act has the pod's agent carry out an action.
func (p *pod) act(action string, parameters map[string]string, more string) (word, text string) {
	p.t.Helper()
	raw, err := json.Marshal(parameters)
	require.NoError(p.t, err)
	resp, err := http.Post("http://"+p.name+":5001/v1.0/action", "application/json", //nolint:noctx // of a test
		strings.NewReader(fmt.Sprintf(`{"action":%q,"parameters":%s%s}`, action, raw, more)))
	_, body := read(p.t, resp, err)
	var got struct{ Error, Message string }
	require.NoError(p.t, json.Unmarshal([]byte(body), &got), body)
	return got.Error, got.Message
}

// acts has it carried out with success.
func (p *pod) acts(action string, parameters map[string]string) {
	p.t.Helper()
	word, text := p.act(action, parameters, `,"timeoutSeconds":60`)
	require.Empty(p.t, word, text)
}

// put sends a body to the node.
func (p *pod) put(path, body string) {
	p.t.Helper()
	p.send(http.MethodPut, path, body)
}

func (p *pod) send(method, path, body string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.node.URL(path), strings.NewReader(body))
	require.NoError(p.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	code, text := read(p.t, resp, err)
	require.Equal(p.t, http.StatusOK, code, text)
	return text
}

// whole checks that all points are there.
func (p *pod) whole() {
	p.t.Helper()
	require.Contains(p.t, p.send(http.MethodPost, "/collections/c/points/count", `{"exact":true}`), fmt.Sprintf(`"count":%d`, points))
}

// leader waits until exactly one of some pods has the role, and the others follow.
func leader(t *testing.T, pods ...*pod) (found *pod) {
	t.Helper()
	eventually(t, "one leads, the others follow", func() bool {
		found = nil
		for _, p := range pods {
			code, role := p.role()
			switch {
			case code != http.StatusOK, role == "leader" && found != nil:
				return false
			case role == "leader":
				found = p
			}
		}
		return found != nil
	})
	return found
}

func TestPods(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a cluster")
	}
	a := start(t, 1, nil)
	b, c := start(t, 2, a), start(t, 3, a)
	for _, p := range []*pod{a, b, c} {
		a.acts("memberJoin", map[string]string{"KB_JOIN_MEMBER_POD_NAME": p.name})
	}
	a.put("/collections/c", `{"vectors":{"size":4,"distance":"Dot"},"shard_number":6,"replication_factor":2}`)
	var batch []string
	for id := range points {
		batch = append(batch, fmt.Sprintf(`{"id":%d,"vector":[%d,1,2,3]}`, id, id))
	}
	a.put("/collections/c/points?wait=true", `{"points":[`+strings.Join(batch, ",")+`]}`)
	beside(t, "exporter", a.name+":9187", "--node", a.node.URL(""))

	t.Run("metrics", func(t *testing.T) {
		code, text := get(t, "http://"+a.name+":9187/metrics")
		require.Equal(t, http.StatusOK, code)
		for _, line := range []string{
			"collections_total 1", "cluster_enabled 1", "cluster_peers_total 3", "cluster_voter 1", "cluster_pending_operations_total 0",
			`collection_shards{collection="c"} 6`, `collection_shards_under_replicated{collection="c"} 0`,
			`collection_shards_leaderless{collection="c"} 0`, `collection_replicas{collection="c",state="Active"} 12`,
			`collection_points{id="c"} 300`, "sextant_exporter_last_scrape_error 0",
		} {
			require.Contains(t, text, "\n"+line+"\n")
		}
	})

	t.Run("nobody is needed while all are in sync", func(t *testing.T) {
		v, err := a.ask.View(t.Context())
		require.NoError(t, err)
		require.Empty(t, v.Inactive())
		for id := range v.Cluster.Peers {
			require.Empty(t, v.RisksOfStopping(id))
			require.False(t, v.Empty(id))
			require.Empty(t, v.OnlyOn(id))
		}
	})

	t.Run("switchover", func(t *testing.T) {
		for _, to := range []*pod{b, c, a} {
			now := leader(t, a, b, c)
			if now == to {
				continue
			}
			a.acts("switchover", map[string]string{
				"KB_SWITCHOVER_ROLE": "leader", "KB_SWITCHOVER_CURRENT_NAME": now.name, "KB_SWITCHOVER_CANDIDATE_NAME": to.name,
			})
			require.Same(t, to, leader(t, a, b, c))
		}
		a.acts("switchover", nil)
		require.NotSame(t, a, leader(t, a, b, c))
		a.acts("switchover", map[string]string{"KB_SWITCHOVER_CANDIDATE_NAME": c.name})
	})

	t.Run("the leader is lost", func(t *testing.T) {
		require.NoError(t, c.node.Kill())
		code, _ := c.role()
		require.Equal(t, http.StatusInternalServerError, code)
		leader(t, a, b)
		eventually(t, "the rest is needed", func() bool {
			v, err := a.ask.View(t.Context())
			return err == nil && len(v.RisksOfStopping(v.Cluster.Peer)) > 0
		})
		require.NoError(t, c.node.Start(context.Background()))
		require.NoError(t, c.ask.Ready(t.Context()))
		leader(t, a, b, c)
		eventually(t, "nobody is needed", func() bool {
			v, err := a.ask.View(t.Context())
			return err == nil && len(v.Inactive()) == 0 && len(v.RisksOfStopping(v.Cluster.Peer)) == 0
		})
	})

	d := start(t, 4, a)
	a.acts("memberJoin", map[string]string{"KB_JOIN_MEMBER_POD_FQDN": d.name})

	t.Run("a member leaves", func(t *testing.T) {
		eventually(t, "it has left", func() bool {
			word, text := a.act("memberLeave", map[string]string{"KB_LEAVE_MEMBER_POD_NAME": c.name}, `,"nonBlocking":true`)
			require.Contains(t, []string{"", "inProgress"}, word, text)
			a.whole()
			return word == ""
		})
		require.NoError(t, c.node.Kill())
		// Again, at another agent: there is nothing left to do.
		b.acts("memberLeave", map[string]string{"KB_LEAVE_MEMBER_POD_NAME": c.name})
		v, err := a.ask.View(t.Context())
		require.NoError(t, err)
		require.Len(t, v.Cluster.Peers, 3)
		for _, s := range v.Shards() {
			require.False(t, s.Short(), s.String())
		}
		a.whole()
	})

	t.Run("a dead member leaves", func(t *testing.T) {
		require.NoError(t, d.node.Kill())
		a.acts("memberLeave", map[string]string{"KB_LEAVE_MEMBER_POD_NAME": d.name})
		status, err := a.ask.Cluster(t.Context())
		require.NoError(t, err)
		require.Len(t, status.Peers, 2)
		a.whole()
		eventually(t, "two copies of all again", func() bool {
			v, err := a.ask.View(t.Context())
			if err != nil {
				return false
			}
			for _, s := range v.Shards() {
				if s.Short() {
					return false
				}
			}
			return true
		})
	})

	t.Run("the last but one leaves by its own agent", func(t *testing.T) {
		b.acts("memberLeave", map[string]string{"KB_LEAVE_MEMBER_POD_NAME": b.name})
		eventually(t, "one is left", func() bool {
			status, err := a.ask.Cluster(t.Context())
			return err == nil && len(status.Peers) == 1
		})
		a.whole()
		word, _ := a.act("memberLeave", map[string]string{"KB_LEAVE_MEMBER_POD_NAME": a.name}, "")
		require.Equal(t, "preconditionFailed", word)
	})
}

// TestTLS has a node, its agent and its exporter speak TLS.
func TestTLS(t *testing.T) {
	const host = "127.0.78.1"
	f, _ := authority.New(t).Issue(t.TempDir(), "node.example")
	node, err := nodeprocess.New(t.Context(), nodeprocess.Options{
		Binary: testbed.Binary(t), Dir: t.TempDir(), Host: host, Cluster: true,
		Env: []string{
			"QDRANT__SERVICE__API_KEY=" + key, "QDRANT__SERVICE__ENABLE_TLS=true",
			"QDRANT__TLS__CERT=" + f.Cert, "QDRANT__TLS__KEY=" + f.Key, "QDRANT__TLS__CA_CERT=" + f.CA,
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	process := node.Command(ctx)
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		cancel()
		_ = process.Wait()
	})
	trusted, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err)
	c, err := client.New(client.Options{
		URL: "https://" + host + ":6333", TLS: trusted.Client, ServerName: "node.example", Key: func() string { return key },
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	eventually(t, "the node is ready", func() bool { return c.Ready(t.Context()) == nil })
	flags := []string{"--node", "https://" + host + ":6333", "--ca-file", f.CA, "--server-name", "node.example"}
	beside(t, "agent", host+":5001", flags...)
	beside(t, "exporter", host+":9187", flags...)
	eventually(t, "it leads", func() bool {
		code, body := get(t, "http://"+host+":5001/v1.0/getrole")
		return code == http.StatusOK && strings.Contains(body, `"role":"leader"`)
	})
	_, text := get(t, "http://"+host+":9187/metrics")
	require.Contains(t, text, "\ncluster_peers_total 1\n")
	require.Contains(t, text, "\nsextant_exporter_last_scrape_error 0\n")
}
