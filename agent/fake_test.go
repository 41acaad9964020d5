package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/client"
)

// fake is a cluster, behind one of its nodes. Shards are of one collection, "c".
type fake struct {
	t  *testing.T
	mu sync.Mutex // guards the rest

	self, leader uint64
	role         string
	stopped      bool
	down         bool
	peers        map[uint64]*fakePeer
	// copies and inSync are peers by shard.
	copies, inSync map[int][]uint64
	// stuck keeps draining from moving copies.
	stuck bool
	log   []string
}

type fakePeer struct {
	fenced, draining, voter, silent bool
}

// newFake makes a cluster of nodes 1 to n in pods c-0 to c-(n-1), led by 1, behind node 2.
func newFake(t *testing.T, n int) *fake {
	t.Helper()
	f := &fake{
		t: t, self: 2, leader: 1, role: "Follower", peers: map[uint64]*fakePeer{}, copies: map[int][]uint64{}, inSync: map[int][]uint64{},
	}
	for i := range n {
		f.peers[uint64(i+1)] = &fakePeer{voter: true}
	}
	return f
}

func (f *fake) shard(n int, on, inSync []uint64) { f.copies[n], f.inSync[n] = on, inSync }

// client makes a client of the node.
func (f *fake) client() *client.Client {
	s := httptest.NewServer(f)
	c, err := client.New(client.Options{URL: s.URL, Timeout: time.Second})
	require.NoError(f.t, err)
	f.t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c
}

func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fake) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		panic(http.ErrAbortHandler)
	}
	if r.Method != http.MethodGet {
		f.log = append(f.log, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/cluster/peer/")+" "+r.URL.RawQuery)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	id := uint64(0)
	if len(parts) > 2 {
		id, _ = strconv.ParseUint(parts[2], 10, 64)
	}
	var result any = true
	switch {
	case r.URL.Path == "/cluster":
		result = f.cluster()
	case r.URL.Path == "/cluster/telemetry":
		result = f.telemetry()
	case r.URL.Path == "/collections":
		result = map[string]any{"collections": []any{map[string]string{"name": "c"}}}
	case r.URL.Path == "/collections/c":
		result = map[string]any{"config": map[string]any{"params": map[string]int{"replication_factor": 2, "write_consistency_factor": 1}}}
	case r.URL.Path == "/collections/c/cluster":
		result = f.layout()
		f.drainStep()
	case f.peers[id] == nil:
		f.refuse(w, "Peer does not exist")
		return
	case r.Method == http.MethodDelete && len(parts) == 3:
		if r.URL.Query().Get("force") == "false" && f.has(id) > 0 {
			f.refuse(w, "Cannot remove peer as there are shards on it")
			return
		}
		f.forget(id)
	case strings.HasSuffix(r.URL.Path, "/drain"):
		f.peers[id].draining = true
	case strings.HasSuffix(r.URL.Path, "/hand_over"):
		f.handOver(id, r.URL.Query().Get("to"))
	}
	raw, err := json.Marshal(map[string]any{"result": result, "status": "ok", "time": 0})
	if err != nil {
		f.t.Error(err)
		return
	}
	_, _ = w.Write(raw)
}

func (f *fake) refuse(w http.ResponseWriter, text string) {
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, `{"status":{"error":%q},"time":0}`, text)
}

func (f *fake) has(id uint64) (n int) {
	for _, on := range f.copies {
		if slices.Contains(on, id) {
			n++
		}
	}
	return n
}

func (f *fake) forget(id uint64) {
	delete(f.peers, id)
	for s := range f.copies {
		f.copies[s] = without(f.copies[s], id)
		f.inSync[s] = without(f.inSync[s], id)
	}
}

func without(ids []uint64, id uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(ids), func(o uint64) bool { return o == id })
}

func (f *fake) handOver(id uint64, to string) {
	if f.leader != id {
		return
	}
	next, _ := strconv.ParseUint(to, 10, 64)
	for other := uint64(1); next == 0; other++ {
		if f.peers[other] != nil && other != id {
			next = other
		}
	}
	f.leader = next
}

// drainStep moves one copy off a node that is drained.
func (f *fake) drainStep() {
	if f.stuck {
		return
	}
	for id, p := range f.peers {
		for s, on := range f.copies {
			if !p.draining || p.fenced || !slices.Contains(on, id) {
				continue
			}
			f.copies[s], f.inSync[s] = without(on, id), without(f.inSync[s], id)
			for other := range f.peers {
				if other != id && !slices.Contains(on, other) {
					f.copies[s] = append(f.copies[s], other)
					f.inSync[s] = append(f.inSync[s], other)
					break
				}
			}
			return
		}
	}
}

func (f *fake) cluster() any {
	peers := map[string]any{}
	for id, p := range f.peers {
		peers[strconv.FormatUint(id, 10)] = map[string]any{
			"uri": fmt.Sprintf("http://c-%d.c-headless.demo.svc:6335", id-1), "fenced": p.fenced, "draining": p.draining, "replicas": f.has(id), "leads": 0,
		}
	}
	state := "working"
	if f.stopped {
		state = "stopped"
	}
	return map[string]any{
		"status": "enabled", "peer_id": f.self, "peers": peers,
		"raft_info":               map[string]any{"term": 3, "leader": f.leader, "role": f.role, "is_voter": true},
		"consensus_thread_status": map[string]any{"consensus_thread_status": state},
	}
}

func (f *fake) telemetry() any {
	peers := map[string]any{}
	for id, p := range f.peers {
		var details any
		if !p.silent {
			details = map[string]any{"is_voter": p.voter}
		}
		peers[strconv.FormatUint(id, 10)] = map[string]any{"responsive": !p.silent, "details": details}
	}
	return map[string]any{"cluster": map[string]any{"peers": peers}}
}

func (f *fake) layout() any {
	var local, remote []any
	for s, on := range f.copies {
		for _, id := range on {
			r := map[string]any{"shard_id": s, "peer_id": id, "state": "Active", "leader": 1, "epoch": 1, "in_sync": f.inSync[s]}
			if id == f.self {
				local = append(local, r)
			} else {
				remote = append(remote, r)
			}
		}
	}
	return map[string]any{"peer_id": f.self, "local_shards": local, "remote_shards": remote, "shard_transfers": []any{}}
}
