package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// glance bounds a question to one node; when one has answered, the others get a moment more. A paused
// one would never answer.
const (
	glance = 2 * time.Second
	moment = 400 * time.Millisecond
)

// Picture is the cluster as one of its nodes sees it. Nodes count from 0.
type Picture struct {
	// Nodes are in order.
	Nodes []Node
	// Shards are those of the collection, in order; none when no node answers.
	Shards []Shard
}

// Node is what is known of a node.
type Node struct {
	// Answers says that it does.
	Answers bool
	// Voter says that it counts in elections.
	Voter bool
	// Copies are how many shards it has a copy of, InSync how many of those are in sync, Leads how
	// many shards it leads.
	Copies, InSync, Leads int
	// Lag is how many entries its copies lack of those that their leaders have. Unclear says that no
	// leader knows how far one of them is.
	Lag     uint64
	Unclear bool
}

// Shard is what is known of a shard.
type Shard struct {
	// ID is its number, Epoch counts its leaderships.
	ID    uint32
	Epoch uint64
	// Leader is -1 when it has none. Copies are on these nodes, InSync have all that is committed.
	Leader         int
	Copies, InSync []int
	// Lag is how many entries the copies on these nodes lack; those of the others are unclear.
	Lag map[int]uint64
}

// whole says that every shard has a leader, and every copy is in sync.
func (p *Picture) whole() bool {
	for _, s := range p.Shards {
		if s.Leader < 0 || len(s.InSync) < len(s.Copies) {
			return false
		}
	}
	return len(p.Shards) > 0
}

// led returns the shards that a node leads.
func (p *Picture) led(node int) []uint32 {
	var ids []uint32
	for _, s := range p.Shards {
		if s.Leader == node {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// busiest returns the node that leads most shards; of several the last, as people watch the first.
func (p *Picture) busiest() (node int, ok bool) {
	node = -1
	most := 1
	for i, n := range p.Nodes {
		if n.Leads >= most {
			node, most = i, n.Leads
		}
	}
	return node, node >= 0
}

// Answers of the REST API, as far as they are read.
type (
	statusAnswer struct {
		Result struct {
			Status string
			PeerID uint64 `json:"peer_id"`
			Raft   struct {
				Term    uint64
				Commit  uint64
				IsVoter bool `json:"is_voter"`
			} `json:"raft_info"`
		}
	}
	copyAnswer struct {
		ShardID uint32  `json:"shard_id"`
		PeerID  uint64  `json:"peer_id"`
		Leader  *uint64 // nil is nobody
		Epoch   uint64
		InSync  []uint64 `json:"in_sync"`
		Lag     *uint64  // nil is unclear
	}
	collectionAnswer struct {
		Result struct {
			PeerID uint64       `json:"peer_id"`
			Local  []copyAnswer `json:"local_shards"`
			Remote []copyAnswer `json:"remote_shards"`
		}
	}
)

// Eyes look at a cluster through the REST API of its nodes. Look is for one goroutine at a time.
type Eyes struct {
	client     *http.Client
	urls       []string
	collection string
	peers      map[uint64]int // by peer ID, learnt as nodes answer
}

// NewEyes returns eyes on a collection.
func NewEyes(urls []string, collection string) *Eyes {
	return &Eyes{
		client: &http.Client{Timeout: glance, Transport: &http.Transport{IdleConnTimeout: time.Minute}},
		urls:   urls, collection: collection, peers: map[uint64]int{},
	}
}

// Close lets the connections go.
func (e *Eyes) Close() { e.client.CloseIdleConnections() }

// answer is what one node says.
type answer struct {
	status     statusAnswer
	collection collectionAnswer
	err        error
}

// Look asks all nodes and returns what the best informed one says. It fails when no node tells who
// leads what.
func (e *Eyes) Look(ctx context.Context) (*Picture, error) {
	answers := e.askAll(ctx)
	best := -1
	p := &Picture{Nodes: make([]Node, len(answers))}
	var errs []error
	for i := range answers {
		a := &answers[i]
		if a.err != nil {
			errs = append(errs, fmt.Errorf("node %d: %w", i+1, a.err))
			continue
		}
		raft := a.status.Result.Raft
		e.peers[a.status.Result.PeerID] = i
		p.Nodes[i].Answers, p.Nodes[i].Voter = true, raft.IsVoter
		if best < 0 || raft.Commit > answers[best].status.Result.Raft.Commit {
			best = i
		}
	}
	if best < 0 {
		return p, fmt.Errorf("no node tells how the cluster is: %w", errors.Join(errs...))
	}
	e.shards(p, &answers[best].collection)
	return p, nil
}

// askAll asks all nodes at once.
func (e *Eyes) askAll(ctx context.Context) []answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]answer, len(e.urls))
	var wg sync.WaitGroup
	var first sync.Once
	for i, url := range e.urls {
		wg.Go(func() {
			if answers[i] = e.ask(ctx, url); answers[i].err == nil {
				first.Do(func() { time.AfterFunc(moment, cancel) })
			}
		})
	}
	wg.Wait()
	return answers
}

func (e *Eyes) ask(ctx context.Context, url string) (a answer) {
	if a.err = e.get(ctx, url+"/cluster", &a.status); a.err != nil {
		return a
	}
	if a.status.Result.Status != "enabled" {
		a.err = errors.New("it is in no cluster")
		return a
	}
	a.err = e.get(ctx, url+"/collections/"+e.collection+"/cluster", &a.collection)
	return a
}

func (e *Eyes) get(ctx context.Context, url string, into any) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return errors.New("GET " + url + ": status " + strconv.Itoa(resp.StatusCode))
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// shards fills in what a node says of the collection.
func (e *Eyes) shards(p *Picture, a *collectionAnswer) {
	at := map[uint32]int{}
	note := func(peer uint64, c copyAnswer) {
		i, ok := at[c.ShardID]
		if !ok {
			i = len(p.Shards)
			at[c.ShardID] = i
			s := Shard{ID: c.ShardID, Epoch: c.Epoch, Leader: -1, Lag: map[int]uint64{}}
			if c.Leader != nil {
				s.Leader = e.node(*c.Leader)
			}
			for _, in := range c.InSync {
				s.InSync = append(s.InSync, e.node(in))
			}
			p.Shards = append(p.Shards, s)
		}
		node := e.node(peer)
		p.Shards[i].Copies = append(p.Shards[i].Copies, node)
		if c.Lag != nil {
			p.Shards[i].Lag[node] = *c.Lag
		}
	}
	for _, c := range a.Result.Local {
		note(a.Result.PeerID, c)
	}
	for _, c := range a.Result.Remote {
		note(c.PeerID, c)
	}
	slices.SortFunc(p.Shards, func(a, b Shard) int { return int(a.ID) - int(b.ID) })
	for i := range p.Shards {
		s := &p.Shards[i]
		slices.Sort(s.Copies)
		slices.Sort(s.InSync)
		p.count(s)
	}
}

// node returns which node a peer is, -1 when it is none that ever answered.
func (e *Eyes) node(peer uint64) int {
	if i, ok := e.peers[peer]; ok {
		return i
	}
	return -1
}

// count adds a shard to what its nodes have.
func (p *Picture) count(s *Shard) {
	for _, c := range s.Copies {
		if c < 0 {
			continue
		}
		n := &p.Nodes[c]
		n.Copies++
		lag, known := s.Lag[c]
		n.Lag += lag
		n.Unclear = n.Unclear || !known
	}
	for _, c := range s.InSync {
		if c >= 0 {
			p.Nodes[c].InSync++
		}
	}
	if s.Leader >= 0 {
		p.Nodes[s.Leader].Leads++
	}
}
