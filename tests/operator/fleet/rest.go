package fleet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// open are the paths that need no key.
var open = []string{"/", "/healthz", "/livez", "/readyz"}

// ServeHTTP answers as a node does, as far as operators ask.
func (p *Process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.cut {
		panic(http.ErrAbortHandler)
	}
	if p.key != "" && !slices.Contains(open, r.URL.Path) && r.Header.Get("Api-Key") != p.key {
		refuse(w, http.StatusUnauthorized, "Must provide an API key")
		return
	}
	switch r.URL.Path {
	case "/":
		write(w, http.StatusOK, map[string]any{"title": "qdrant - vector search engine", "version": p.version})
	case "/healthz", "/livez":
		_, _ = w.Write([]byte("healthz check passed"))
	case "/readyz":
		if !p.ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprintf(w, "ready: %t", p.ready)
	default:
		p.answer(w, r)
	}
}

// answer is about what needs a cluster.
func (p *Process) answer(w http.ResponseWriter, r *http.Request) {
	c := p.disk.cluster
	if c == nil {
		refuse(w, http.StatusServiceUnavailable, "The node isn't a member of a cluster yet")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/cluster":
		result(w, p.cluster(c))
	case r.Method == http.MethodGet && r.URL.Path == "/cluster/telemetry":
		result(w, p.telemetry(c))
	case r.Method == http.MethodGet && r.URL.Path == "/telemetry":
		result(w, map[string]any{"memory": map[string]any{"needed_bytes": p.w.memory}})
	case r.Method == http.MethodGet && r.URL.Path == "/collections":
		result(w, map[string]any{"collections": c.names()})
	case len(parts) >= 2 && parts[0] == "collections":
		p.collection(w, r, c, parts[1], strings.Join(parts[2:], "/"))
	case len(parts) >= 3 && parts[0] == "cluster" && parts[1] == "peer":
		p.peer(w, r, c, parts[2:])
	default:
		refuse(w, http.StatusNotFound, "no such path: "+r.Method+" "+r.URL.Path)
	}
}

func (c *cluster) names() []map[string]string {
	all, seen := []map[string]string{}, map[string]bool{}
	for _, s := range c.shards {
		if !seen[s.collection] {
			seen[s.collection] = true
			all = append(all, map[string]string{"name": s.collection})
		}
	}
	return all
}

// cluster is GET /cluster.
func (p *Process) cluster(c *cluster) any {
	peers := map[string]any{}
	for id, m := range c.members {
		peers[strconv.FormatUint(id, 10)] = map[string]any{
			"uri": m.uri, "fenced": m.fenced, "draining": m.draining, "replicas": c.has(id), "leads": c.leads(id),
		}
	}
	role, state := "Follower", "working"
	switch c.leader {
	case p.disk.peer:
		role = "Leader"
	case 0:
		role = "Candidate"
	}
	if p.removed {
		state = "stopped"
	}
	return map[string]any{
		"status": "enabled", "peer_id": p.disk.peer, "peers": peers, "cluster_id": c.id,
		"raft_info": map[string]any{
			"term": c.term, "commit": c.commit, "pending_operations": 0, "leader": c.leader, "role": role, "is_voter": true,
		},
		"consensus_thread_status": map[string]any{"consensus_thread_status": state},
		"message_send_failures":   map[string]any{},
	}
}

// telemetry is GET /cluster/telemetry.
func (p *Process) telemetry(c *cluster) any {
	alive, peers := p.w.alive(c), map[string]any{}
	for id, m := range c.members {
		one := map[string]any{"uri": m.uri, "responsive": alive[id], "details": nil}
		if alive[id] {
			one["details"] = map[string]any{"version": p.version, "is_voter": true, "role": "Follower"}
		}
		peers[strconv.FormatUint(id, 10)] = one
	}
	return map[string]any{"cluster": map[string]any{"peers": peers}}
}

// collection is everything below /collections/{name}.
func (p *Process) collection(w http.ResponseWriter, r *http.Request, c *cluster, name, below string) {
	shards := slices.DeleteFunc(slices.Clone(c.shards), func(s *shard) bool { return s.collection != name })
	if len(shards) == 0 {
		refuse(w, http.StatusNotFound, fmt.Sprintf("Not found: Collection `%s` doesn't exist!", name))
		return
	}
	switch {
	case r.Method == http.MethodGet && below == "":
		result(w, map[string]any{"status": "green", "points_count": shards[0].length, "config": map[string]any{
			"params": map[string]any{"replication_factor": shards[0].factor, "write_consistency_factor": 1, "shard_number": len(shards)},
		}})
	case r.Method == http.MethodPatch && below == "":
		p.update(w, r, c, shards)
	case r.Method == http.MethodGet && below == "cluster":
		result(w, p.layout(c, shards))
	default:
		refuse(w, http.StatusNotImplemented, "the stand-in has no "+r.Method+" "+r.URL.Path)
	}
}

// update is PATCH /collections/{name}.
func (p *Process) update(w http.ResponseWriter, r *http.Request, c *cluster, shards []*shard) {
	var body struct {
		Params struct {
			Factor int `json:"replication_factor"`
		} `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Params.Factor < 1 {
		refuse(w, http.StatusBadRequest, "the stand-in only changes replication_factor")
		return
	}
	if !c.quorum(p.w.alive(c)) {
		refuse(w, http.StatusServiceUnavailable, errNoQuorum.Error())
		return
	}
	for _, s := range shards {
		s.factor = body.Params.Factor
	}
	result(w, true)
}

// layout is GET /collections/{name}/cluster.
func (p *Process) layout(c *cluster, shards []*shard) any {
	local, remote, transfers := []any{}, []any{}, []any{}
	alive := p.w.alive(c)
	for _, s := range shards {
		var inSync []uint64
		for id := range s.inSync {
			inSync = append(inSync, id)
		}
		slices.Sort(inSync)
		for id, one := range s.copies {
			state := "Partial"
			if s.inSync[id] {
				state = "Active"
			}
			if m := c.members[id]; !alive[id] && (m == nil || m.fenced) {
				state = "Dead"
			}
			r := map[string]any{
				"shard_id": s.number, "peer_id": id, "state": state, "leader": s.leader, "epoch": s.epoch, "in_sync": inSync, "points_count": one.length,
			}
			if id == p.disk.peer {
				local = append(local, r)
			} else {
				remote = append(remote, r)
			}
			if one.instead != 0 {
				transfers = append(transfers, map[string]any{"shard_id": s.number, "from": one.instead, "to": id, "method": "stream_records"})
			}
		}
	}
	return map[string]any{
		"peer_id": p.disk.peer, "shard_count": len(shards), "local_shards": local, "remote_shards": remote, "shard_transfers": transfers,
	}
}

// peer is everything below /cluster/peer/{id}.
func (p *Process) peer(w http.ResponseWriter, r *http.Request, c *cluster, parts []string) {
	id, err := strconv.ParseUint(parts[0], 10, 64)
	m := c.members[id]
	if err != nil || m == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("Peer %s does not exist", parts[0]))
		return
	}
	alive := p.w.alive(c)
	if !c.quorum(alive) {
		refuse(w, http.StatusServiceUnavailable, errNoQuorum.Error())
		return
	}
	to, _ := strconv.ParseUint(r.URL.Query().Get("to"), 10, 64)
	switch what := strings.Join(append([]string{r.Method}, parts[1:]...), " "); what {
	case "DELETE":
		err = c.remove(id, r.URL.Query().Get("force") == "true", alive)
	case "PUT drain":
		m.draining = true
		c.commit++
	case "DELETE drain":
		m.draining = false
		c.commit++
	case "POST hand_over":
		err = c.handOver(id, to, alive)
	default:
		refuse(w, http.StatusNotFound, "no such path: "+r.Method+" "+r.URL.Path)
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	result(w, true)
}

func result(w http.ResponseWriter, v any) {
	write(w, http.StatusOK, map[string]any{"result": v, "status": "ok", "time": 0})
}

func refuse(w http.ResponseWriter, status int, text string) {
	write(w, status, map[string]any{"status": map[string]string{"error": text}, "time": 0})
}

func write(w http.ResponseWriter, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // a caller who is gone reads nothing
}
