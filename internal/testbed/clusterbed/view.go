package clusterbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrNoView says that a node doesn't tell about its cluster.
var ErrNoView = errors.New("the node doesn't tell about its cluster")

// viewTime bounds how long a node may take to tell what it knows.
const viewTime = 2 * time.Second

// Status is what a node says of the cluster.
type Status struct {
	// Peer is the node's own number.
	Peer uint64 `json:"peer_id"`
	// Raft tells who leads the consensus, 0 is unknown, and whether the node has a vote.
	Raft struct {
		Leader uint64 `json:"leader"`
		Voter  bool   `json:"is_voter"`
	} `json:"raft_info"`
}

// Copy is one copy of a shard.
type Copy struct {
	Shard uint32 `json:"shard_id"`
	// Peer is who has it.
	Peer uint64 `json:"peer_id"`
	// State is its state in the words of the API.
	State string `json:"state"`
	// Leader orders the shard's writes, and InSync have all that is committed.
	Leader uint64   `json:"leader"`
	InSync []uint64 `json:"in_sync"`
	// Lag is how many entries it lacks of those that the leader has; nil is unknown.
	Lag *uint64 `json:"lag"`
}

// Status asks a node about the cluster.
func (n *Node) Status(ctx context.Context) (Status, error) {
	var s Status
	if err := n.Ask(ctx, "/cluster", &s); err != nil {
		return Status{}, err
	}
	if s.Peer == 0 {
		return Status{}, ErrNoView
	}
	return s, nil
}

// Copies asks a node where the copies of a collection's shards are.
func (n *Node) Copies(ctx context.Context, collection string) ([]Copy, error) {
	var all struct {
		Peer   uint64 `json:"peer_id"`
		Local  []Copy `json:"local_shards"`
		Remote []Copy `json:"remote_shards"`
	}
	err := n.Ask(ctx, "/collections/"+collection+"/cluster", &all)
	if err != nil {
		return nil, err
	}
	for i := range all.Local {
		all.Local[i].Peer = all.Peer
	}
	return append(all.Local, all.Remote...), nil
}

// Ask gets a path from a node and reads the result of the answer.
func (n *Node) Ask(ctx context.Context, path string, result any) error {
	return n.send(ctx, http.MethodGet, path, "", result)
}

// Tell posts a body to a path of a node and reads the result of the answer.
func (n *Node) Tell(ctx context.Context, path, body string, result any) error {
	return n.send(ctx, http.MethodPost, path, body, result)
}

func (n *Node) send(ctx context.Context, method, path, body string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, viewTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.URL(path), strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusNotImplemented {
		return fmt.Errorf("%w: %s", ErrNoView, raw)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	return json.Unmarshal(raw, &struct {
		Result any `json:"result"`
	}{result})
}

// promoted is what the founder's log says when another node has got its vote; nodes that
// don't tell about their cluster say so there only.
var promoted = regexp.MustCompile(`members of the consensus changed .*Kind:2`)

const (
	// mostVotes is how many nodes of a larger cluster have a vote.
	mostVotes = 5
	// votesTime bounds how long nodes may take to get theirs.
	votesTime = time.Minute
)

// haveVotes waits until as many nodes have a vote as will: before that the cluster may not be
// able to lose any.
func (c *Cluster) haveVotes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, votesTime)
	defer cancel()
	want := min(len(c.Nodes)-1+len(c.Nodes)%2, mostVotes)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		have := c.votes(ctx)
		if have >= want {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes have a vote, %d should: %w", have, len(c.Nodes), want, ctx.Err())
		}
	}
}

// votes counts the nodes that have a vote.
func (c *Cluster) votes(ctx context.Context) (have int) {
	for _, n := range c.Nodes {
		s, err := n.Status(ctx)
		switch {
		case errors.Is(err, ErrNoView):
			return 1 + len(promoted.FindAllString(c.Nodes[0].Output(), -1))
		case err == nil && s.Raft.Voter:
			have++
		}
	}
	return have
}

// ConsensusLeader finds the node that leads the consensus, as the others say; nil when
// nobody knows.
func (c *Cluster) ConsensusLeader(ctx context.Context) (*Node, error) {
	byPeer, votes, err := c.peers(ctx)
	if err != nil {
		return nil, err
	}
	var leader uint64
	for peer := range byPeer {
		if votes[peer] > votes[leader] {
			leader = peer
		}
	}
	return byPeer[leader], nil
}

// peers asks all running nodes who they are and whom they take for the leader.
func (c *Cluster) peers(ctx context.Context) (byPeer map[uint64]*Node, votes map[uint64]int, err error) {
	byPeer, votes = map[uint64]*Node{}, map[uint64]int{}
	for _, n := range c.Nodes {
		if n.PID() == 0 {
			continue
		}
		s, err := n.Status(ctx)
		if errors.Is(err, ErrNoView) {
			return nil, nil, err
		}
		if err != nil {
			continue // paused, or just starting
		}
		byPeer[s.Peer] = n
		if s.Raft.Leader != 0 {
			votes[s.Raft.Leader]++
		}
	}
	return byPeer, votes, nil
}

// ShardLeader finds a node that leads shards of a collection: that which leads most.
func (c *Cluster) ShardLeader(ctx context.Context, collection string) (*Node, error) {
	byPeer, _, err := c.peers(ctx)
	if err != nil {
		return nil, err
	}
	led := map[uint64]map[uint32]bool{}
	for _, n := range byPeer {
		copies, err := n.Copies(ctx, collection)
		if err != nil {
			return nil, err
		}
		for _, s := range copies {
			if led[s.Leader] == nil {
				led[s.Leader] = map[uint32]bool{}
			}
			led[s.Leader][s.Shard] = true
		}
		break
	}
	var best *Node
	most := 0
	for peer, n := range byPeer {
		if len(led[peer]) > most || len(led[peer]) == most && best != nil && n.Index < best.Index {
			best, most = n, len(led[peer])
		}
	}
	return best, nil
}

// InSync tells whether every copy of every shard of a collection is in sync, as a node sees
// it.
func (n *Node) InSync(ctx context.Context, collection string) (bool, error) {
	copies, err := n.Copies(ctx, collection)
	if err != nil {
		return false, err
	}
	for _, s := range copies {
		if s.Leader == 0 || !slices.Contains(s.InSync, s.Peer) {
			return false, nil
		}
	}
	return true, nil
}
