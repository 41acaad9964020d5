package nodes_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sextantdb/sextant/operator/nodes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pod is a node and its agent on an address of their own.
type pod struct {
	mu     sync.Mutex
	leader uint64
	asked  []string
	// answers are what the agent answers to the requests to come, by path.
	answers map[string]string
	status  int
}

func (p *pod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	p.asked = append(p.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Api-Key"), body)))
	if a, ok := p.answers[r.URL.Path]; ok {
		w.WriteHeader(p.status)
		fmt.Fprint(w, a)
		return
	}
	switch r.URL.Path {
	case "/cluster":
		fmt.Fprintf(w, `{"result":{"status":"enabled","peer_id":1,"peers":{"1":{"uri":"http://c-0:6335"}},"raft_info":{"leader":%d,"term":3}}}`, p.leader)
	case "/collections":
		fmt.Fprint(w, `{"result":{"collections":[]}}`)
	default:
		fmt.Fprint(w, `{"result":true}`)
	}
}

// serve starts pods on 127.0.0.1, 127.0.0.2 and so on, all on the same port, which is that of the node
// and of the agent.
func serve(t *testing.T, tls bool, pods ...*pod) (nodes.Access, *nodes.Component) {
	t.Helper()
	c := &nodes.Component{Key: types.NamespacedName{Namespace: "demo", Name: "c"}, APIKey: "secret", TLS: tls}
	port := 0
	for i, p := range pods {
		ip := fmt.Sprintf("127.0.0.%d", i+1)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("%s:%d", ip, port))
		require.NoError(t, err)
		port = l.Addr().(*net.TCPAddr).Port
		srv := httptest.NewUnstartedServer(p)
		require.NoError(t, srv.Listener.Close())
		srv.Listener = l
		if tls {
			srv.StartTLS()
			c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
		} else {
			srv.Start()
		}
		t.Cleanup(srv.Close)
		c.Pods = append(c.Pods, nodes.Pod{Name: fmt.Sprintf("c-%d", i), FQDN: "example.com", IP: ip})
	}
	return nodes.New(nodes.Options{NodePort: port, AgentPort: port}), c
}

func TestTheClusterOfOnePod(t *testing.T) {
	for _, tls := range []bool{false, true} {
		p := &pod{leader: 1}
		a, c := serve(t, tls, p)
		got, err := a.Cluster(t.Context(), c, c.Pods[0])
		require.NoError(t, err)
		require.EqualValues(t, 1, got.Peer)
		require.Equal(t, []string{"GET /cluster secret"}, p.asked)
	}
}

func TestHowMuchMemoryNodesNeed(t *testing.T) {
	const ours = `{"result":{"memory":{"resident_bytes":900,"allocated_bytes":50,"needed_bytes":300}}}`
	answers := func(text string) *pod {
		return &pod{status: http.StatusOK, answers: map[string]string{"/telemetry": text}}
	}
	first := answers(ours)
	a, c := serve(t, false, first, answers(`{"result":{"memory":{"resident_bytes":900,"allocated_bytes":50}}}`), answers(`{"result":{}}`))
	c.Pods = append(c.Pods, nodes.Pod{Name: "c-8"}, nodes.Pod{Name: "c-9", IP: "127.0.0.9"})
	require.Equal(t, map[string]uint64{"c-0": 300, "c-1": 50}, nodes.Needs(t.Context(), a, c), "those that don't tell are missing")
	require.Equal(t, []string{"GET /telemetry?details_level=1 secret"}, first.asked)
	_, err := a.Memory(t.Context(), c, c.Pods[3])
	require.ErrorContains(t, err, "pod c-8 has no address yet")
}

func TestTheNameInTheCertificateCounts(t *testing.T) {
	a, c := serve(t, true, &pod{leader: 1})
	c.Pods[0].FQDN = "c-0.c-headless.demo.svc.cluster.local"
	_, err := a.Cluster(t.Context(), c, c.Pods[0])
	require.ErrorContains(t, err, "certificate is valid for example.com")
	c.CA = []byte("none")
	_, err = a.Cluster(t.Context(), c, c.Pods[0])
	require.ErrorContains(t, err, "pod c-0: the authority of demo/c is no certificate")
}

func TestAViewIsOfANodeThatKnowsALeader(t *testing.T) {
	cutOff, well := new(pod), &pod{leader: 1}
	a, c := serve(t, false, cutOff, well)
	silent := nodes.Pod{Name: "c-9", IP: "127.0.0.9"}
	c.Pods = append([]nodes.Pod{silent, {Name: "c-8"}}, c.Pods...)
	v, err := a.View(t.Context(), c)
	require.NoError(t, err)
	require.EqualValues(t, 1, v.Cluster.Raft.Leader)
	well.leader = 0
	v, err = a.View(t.Context(), c)
	require.NoError(t, err, "a view without a leader is better than none")
	require.Zero(t, v.Cluster.Raft.Leader)

	c.Pods = c.Pods[:2]
	_, err = a.View(t.Context(), c)
	require.ErrorContains(t, err, "ask pod c-9: no answer from")
	require.ErrorContains(t, err, "pod c-8 has no address yet")
	c.Pods = nil
	_, err = a.View(t.Context(), c)
	require.ErrorContains(t, err, "look at demo/c: no pod has an address yet")
}

func TestNodesThatHaveAnotherKey(t *testing.T) {
	refusing := func() *pod {
		return &pod{status: http.StatusUnauthorized, answers: map[string]string{"/cluster": `{"status":{"error":"Invalid API key"}}`}}
	}
	a, c := serve(t, false, refusing(), refusing())
	_, err := a.View(t.Context(), c)
	require.ErrorIs(t, err, nodes.ErrKey)
	require.ErrorContains(t, err, "Invalid API key")
	c.Pods = append(c.Pods, nodes.Pod{Name: "c-9", IP: "127.0.0.9"})
	_, err = a.View(t.Context(), c)
	require.NotErrorIs(t, err, nodes.ErrKey, "one doesn't answer, which may be a reason to wait")
}

func TestDrain(t *testing.T) {
	p := &pod{leader: 1}
	a, c := serve(t, false, p)
	c.Pods = append([]nodes.Pod{{Name: "c-9", IP: "127.0.0.9"}}, c.Pods...)
	require.NoError(t, a.Drain(t.Context(), c, 3, true), "the first pod that answers")
	require.NoError(t, a.Drain(t.Context(), c, 3, false))
	require.Equal(t, []string{"PUT /cluster/peer/3/drain?timeout=10 secret", "DELETE /cluster/peer/3/drain?timeout=10 secret"}, p.asked)
	p.answers, p.status = map[string]string{"/cluster/peer/4/drain": `{"status":{"error":"no such node"}}`}, http.StatusNotFound
	require.ErrorContains(t, a.Drain(t.Context(), c, 4, true), "drain node 4 of demo/c")
	require.ErrorContains(t, a.Drain(t.Context(), c, 4, false), "no such node")
	c.Pods = nil
	require.ErrorContains(t, a.Drain(t.Context(), c, 4, false), "end the drain of node 4 of demo/c: no pod has an address yet")
}

func TestRole(t *testing.T) {
	p := &pod{status: http.StatusOK, answers: map[string]string{"/v1.0/getrole": `{"operation":"getRole","role":"leader","term":7}`}}
	a, c := serve(t, false, p)
	got, err := a.Role(t.Context(), c, c.Pods[0])
	require.NoError(t, err)
	require.Equal(t, nodes.Role{Name: "leader", Term: 7}, got)
	require.Equal(t, []string{"GET /v1.0/getrole"}, p.asked, "the agent isn't told the key")

	for status, answer := range map[int]string{
		http.StatusInternalServerError: `{"operation":"getRole","error":"failed","message":"no answer"}`,
		http.StatusNotImplemented:      `{"operation":"getRole","error":"notImplemented","message":"in no cluster"}`,
		http.StatusBadGateway:          `{"role":"leader"}`,
		http.StatusOK:                  `leader`,
	} {
		p.status, p.answers["/v1.0/getrole"] = status, answer
		_, err = a.Role(t.Context(), c, c.Pods[0])
		require.Error(t, err)
	}
	_, err = a.Role(t.Context(), c, nodes.Pod{Name: "c-8"})
	require.ErrorContains(t, err, "ask pod c-8 for its role: it has no address yet")
}

func TestWhatAnAgentSaysIsKept(t *testing.T) {
	p := &pod{status: http.StatusInternalServerError, answers: map[string]string{
		"/v1.0/getrole": `{"error":"failed","message":"` + strings.Repeat("long ", 1000) + `"}`,
	}}
	a, c := serve(t, false, p)
	_, err := a.Role(t.Context(), c, c.Pods[0])
	var said *nodes.AgentError
	require.ErrorAs(t, err, &said)
	require.Equal(t, "failed", said.Word)
	require.Less(t, len(said.Message), 1100)
	p.answers["/v1.0/getrole"] = `"` + strings.Repeat("x", 2<<20) + `"`
	_, err = a.Role(t.Context(), c, c.Pods[0])
	require.ErrorContains(t, err, "longer than")
}

func TestAct(t *testing.T) {
	p := &pod{status: http.StatusOK, answers: map[string]string{}}
	a, c := serve(t, false, p)
	act := func(status int, answer string) (nodes.Outcome, error) {
		p.status, p.answers["/v1.0/action"] = status, answer
		return a.Act(t.Context(), c, c.Pods[0], "memberLeave", map[string]string{"KB_LEAVE_MEMBER_POD_NAME": "c-2"})
	}
	got, err := act(http.StatusOK, `{"error":"inProgress","message":"under way"}`)
	require.NoError(t, err)
	require.Equal(t, nodes.Outcome{Word: "inProgress", Message: "under way"}, got)
	got, err = act(http.StatusInternalServerError, `{"error":"preconditionFailed","message":"shard 0 of c"}`)
	require.NoError(t, err)
	require.Equal(t, nodes.Outcome{Done: true, Word: "preconditionFailed", Message: "shard 0 of c"}, got)
	got, err = act(http.StatusOK, `{"output":"ZG9uZQ=="}`)
	require.NoError(t, err)
	require.Equal(t, nodes.Outcome{Done: true}, got)

	var sent map[string]any
	_, body, _ := strings.Cut(p.asked[0], "{")
	require.NoError(t, json.Unmarshal([]byte("{"+body), &sent))
	require.Equal(t, map[string]any{
		"action": "memberLeave", "nonBlocking": true, "timeoutSeconds": 120.0, "parameters": map[string]any{"KB_LEAVE_MEMBER_POD_NAME": "c-2"},
	}, sent)
	_, err = act(http.StatusNotFound, `{}`)
	require.ErrorContains(t, err, "ask pod c-0 for memberLeave: the agent answers 404")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = a.Act(ended, c, c.Pods[0], "switchover", nil)
	require.ErrorIs(t, err, context.Canceled)
}
