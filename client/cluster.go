package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Cluster is a cluster as one node sees it.
type Cluster struct {
	// Status is "enabled", or "disabled" on a node that is in none.
	Status string `json:"status"`
	// ID is the identity of the cluster, the same for its whole life; "" is not told.
	ID string `json:"cluster_id"`
	// Peer is the node that tells, Peers are all.
	Peer  uint64          `json:"peer_id"`
	Peers map[uint64]Peer `json:"peers"`
	// Raft is the consensus as that node sees it.
	Raft Raft `json:"raft_info"`
	// Consensus says whether the node follows it.
	Consensus Consensus `json:"consensus_thread_status"`
	// SendFailures are what couldn't be sent, by address.
	SendFailures map[string]SendFailure `json:"message_send_failures"`
}

// Enabled tells whether there is a cluster.
func (c *Cluster) Enabled() bool { return c.Status == "enabled" }

// Peer is a node of a cluster.
type Peer struct {
	URI string `json:"uri"`
	// Fenced is one that counts as gone, Draining one that is to lose its copies.
	Fenced   bool   `json:"fenced"`
	Draining bool   `json:"draining"`
	Zone     string `json:"zone"`
	// Replicas is how many copies of shards it has, Leads how many shards it leads; nil is not told.
	Replicas *int `json:"replicas"`
	Leads    *int `json:"leads"`
}

// Raft is the consensus as a node sees it.
type Raft struct {
	Term    uint64 `json:"term"`
	Commit  uint64 `json:"commit"`
	Pending uint64 `json:"pending_operations"`
	// Leader is 0 when none is known.
	Leader uint64 `json:"leader"`
	// Role is that of the node: "Leader", "Follower", "Candidate", "PreCandidate", "" unknown.
	Role string `json:"role"`
	// Voter says that the node counts in elections.
	Voter bool `json:"is_voter"`
}

// Consensus says whether a node follows the consensus.
type Consensus struct {
	// Status is "working", "stopped" or "stopped_with_err"; Err is why.
	Status string `json:"consensus_thread_status"`
	Err    string `json:"err"`
}

// SendFailure is what is wrong with the way to a node.
type SendFailure struct {
	Count  uint64 `json:"count"`
	Latest string `json:"latest_error"`
}

// The states of a replica that matter here; there are more.
const (
	// Active is one that has everything.
	Active = "Active"
	// Dead is one whose node is gone.
	Dead = "Dead"
)

// Replica is one copy of a shard.
type Replica struct {
	Shard uint32 `json:"shard_id"`
	// Key is the shard's name with custom sharding, as JSON.
	Key json.RawMessage `json:"shard_key"`
	// Peer is who has it.
	Peer uint64 `json:"peer_id"`
	// State is in the words of the API.
	State string `json:"state"`
	// Points is how many it has, nil when it is on another node than that which tells.
	Points *uint64 `json:"points_count"`
	// Epoch numbers leaderships of the shard; nil on a server that has no leaders. Leader is 0 when
	// nobody leads.
	Leader uint64  `json:"leader"`
	Epoch  *uint64 `json:"epoch"`
	// InSync are the peers that have all that is acknowledged.
	InSync []uint64 `json:"in_sync"`
	// Lag is how many entries it is behind the leader; nil is unknown.
	Lag *uint64 `json:"lag"`
}

// Transfer is a copy that is being filled.
type Transfer struct {
	Shard   uint32 `json:"shard_id"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Method  string `json:"method"`
	Comment string `json:"comment"`
}

// Layout is where the copies of a collection are, as one node sees it.
type Layout struct {
	// Peer is the node that tells.
	Peer uint64
	// Shards is how many there are.
	Shards int
	// Replicas are all copies, Transfers those being filled.
	Replicas  []Replica
	Transfers []Transfer
	// Resharding says that the number of shards is being changed.
	Resharding bool
}

// UnmarshalJSON reads GET /collections/{name}/cluster.
func (l *Layout) UnmarshalJSON(raw []byte) error {
	var w struct {
		Peer       uint64            `json:"peer_id"`
		Shards     int               `json:"shard_count"`
		Local      []Replica         `json:"local_shards"`
		Remote     []Replica         `json:"remote_shards"`
		Transfers  []Transfer        `json:"shard_transfers"`
		Resharding []json.RawMessage `json:"resharding_operations"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return err
	}
	for i := range w.Local {
		w.Local[i].Peer = w.Peer
	}
	*l = Layout{
		Peer: w.Peer, Shards: w.Shards, Replicas: append(w.Local, w.Remote...), Transfers: w.Transfers, Resharding: len(w.Resharding) > 0,
	}
	return nil
}

// Info is how a collection is, and how it should be.
type Info struct {
	// Status is "green", "yellow", "grey" or "red".
	Status string
	// Points is about how many there are.
	Points uint64
	// Factor is how many copies a shard should have, WriteFactor how many must take part in a write.
	Factor, WriteFactor int
}

// UnmarshalJSON reads GET /collections/{name}.
func (i *Info) UnmarshalJSON(raw []byte) error {
	var w struct {
		Status string  `json:"status"`
		Points *uint64 `json:"points_count"`
		Config struct {
			Params struct {
				Factor      *int `json:"replication_factor"`
				WriteFactor *int `json:"write_consistency_factor"`
			} `json:"params"`
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return err
	}
	*i = Info{Status: w.Status, Factor: 1, WriteFactor: 1}
	for from, to := range map[*int]*int{w.Config.Params.Factor: &i.Factor, w.Config.Params.WriteFactor: &i.WriteFactor} {
		if from != nil {
			*to = max(*from, 1)
		}
	}
	if w.Points != nil {
		i.Points = *w.Points
	}
	return nil
}

// Cluster asks who belongs to the cluster.
func (c *Client) Cluster(ctx context.Context) (*Cluster, error) {
	s := new(Cluster)
	if err := c.ask(ctx, "/cluster", s); err != nil {
		return nil, err
	}
	return s, nil
}

// Members is what all nodes of a cluster say of themselves, by peer.
type Members map[uint64]Standing

// Standing is what a node says of its part in the consensus.
type Standing struct {
	URI string `json:"uri"`
	// Responsive says that it answered; else Details is nil.
	Responsive bool     `json:"responsive"`
	Details    *Details `json:"details"`
}

// Details is the answer of a node.
type Details struct {
	Version string `json:"version"`
	Role    string `json:"role"`
	Voter   bool   `json:"is_voter"`
}

// Members asks all nodes, through this one, about their part in the consensus.
func (c *Client) Members(ctx context.Context) (Members, error) {
	var t struct {
		Cluster struct {
			Peers Members `json:"peers"`
		} `json:"cluster"`
	}
	if err := c.ask(ctx, "/cluster/telemetry", &t); err != nil {
		return nil, err
	}
	return t.Cluster.Peers, nil
}

// Collections asks for the names of all collections.
func (c *Client) Collections(ctx context.Context) ([]string, error) {
	var list struct {
		Collections []struct {
			Name string `json:"name"`
		} `json:"collections"`
	}
	if err := c.ask(ctx, "/collections", &list); err != nil {
		return nil, err
	}
	names := make([]string, len(list.Collections))
	for i, one := range list.Collections {
		names[i] = one.Name
	}
	return names, nil
}

// path is the address of a collection, or of something below.
func path(collection, below string) string {
	return "/collections/" + url.PathEscape(collection) + below
}

// Layout asks where the copies of a collection are.
func (c *Client) Layout(ctx context.Context, collection string) (*Layout, error) {
	l := new(Layout)
	if err := c.ask(ctx, path(collection, "/cluster"), l); err != nil {
		return nil, err
	}
	return l, nil
}

// Info asks how a collection is.
func (c *Client) Info(ctx context.Context, collection string) (*Info, error) {
	i := new(Info)
	if err := c.ask(ctx, path(collection, ""), i); err != nil {
		return nil, err
	}
	return i, nil
}

// Drain has a node lose its copies to others, which takes its time; Undrain ends that.
func (c *Client) Drain(ctx context.Context, peer uint64, timeout time.Duration) error {
	return c.change(ctx, http.MethodPut, fmt.Sprintf("/cluster/peer/%d/drain", peer), nil, timeout)
}

// Undrain lets a node have copies again.
func (c *Client) Undrain(ctx context.Context, peer uint64, timeout time.Duration) error {
	return c.change(ctx, http.MethodDelete, fmt.Sprintf("/cluster/peer/%d/drain", peer), nil, timeout)
}

// HandOver has a node hand over all that it leads, and returns when it did. The consensus goes to the
// peer to, 0 is any.
func (c *Client) HandOver(ctx context.Context, peer, to uint64, timeout time.Duration) error {
	where := fmt.Sprintf("/cluster/peer/%d/hand_over", peer)
	if to != 0 {
		where += fmt.Sprintf("?to=%d", to)
	}
	return c.change(ctx, http.MethodPost, where, nil, timeout)
}

// RemovePeer takes a node out of the cluster. Without force it must have no copies.
func (c *Client) RemovePeer(ctx context.Context, peer uint64, force bool, timeout time.Duration) error {
	return c.change(ctx, http.MethodDelete, fmt.Sprintf("/cluster/peer/%d?force=%t", peer, force), nil, timeout)
}

// Move is a copy on its way.
type Move struct {
	Shard uint32 `json:"shard_id"`
	From  uint64 `json:"from_peer_id"`
	To    uint64 `json:"to_peer_id"`
}

// MoveShard has a copy moved, and returns when that is agreed on.
func (c *Client) MoveShard(ctx context.Context, collection string, m Move, timeout time.Duration) error {
	return c.change(ctx, http.MethodPost, path(collection, "/cluster"), map[string]Move{"move_shard": m}, timeout)
}

// ReplicateShard has another copy made, and returns when that is agreed on.
func (c *Client) ReplicateShard(ctx context.Context, collection string, m Move, timeout time.Duration) error {
	return c.change(ctx, http.MethodPost, path(collection, "/cluster"), map[string]Move{"replicate_shard": m}, timeout)
}

// Lead is a copy that is to lead its shard.
type Lead struct {
	Shard uint32 `json:"shard_id"`
	Peer  uint64 `json:"peer_id"`
	// AcceptDataLoss lets a copy lead that may lack what was acknowledged, where none is left that
	// has it all.
	AcceptDataLoss bool `json:"accept_data_loss,omitempty"`
}

// LeadShard has a copy lead its shard, and returns when it does.
func (c *Client) LeadShard(ctx context.Context, collection string, l Lead, timeout time.Duration) error {
	return c.change(ctx, http.MethodPost, path(collection, "/cluster"), map[string]Lead{"lead_shard": l}, timeout)
}
