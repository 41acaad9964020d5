package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// View is a cluster and where everything is, as one node sees it. Its methods are pure.
type View struct {
	Cluster     *Cluster
	Collections []Collection
}

// Collection is a collection of a View.
type Collection struct {
	Name   string
	Info   *Info
	Layout *Layout
}

// View gathers a view. Collections that are removed meanwhile are left out.
func (c *Client) View(ctx context.Context) (*View, error) {
	v := new(View)
	var err error
	if v.Cluster, err = c.Cluster(ctx); err != nil {
		return nil, err
	}
	names, err := c.Collections(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*Collection, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(viewedAtOnce)
	for i, name := range names {
		group.Go(func() error {
			one, err := c.Collection(ctx, name)
			if StatusOf(err) == http.StatusNotFound {
				return nil // it has been deleted meanwhile
			}
			all[i] = &one
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, one := range all {
		if one != nil {
			v.Collections = append(v.Collections, *one)
		}
	}
	return v, nil
}

// viewedAtOnce is how many collections are asked for at the same time: an answer takes seconds where shards can't be
// read.
const viewedAtOnce = 8

// Collection asks how a collection is and where its copies are.
func (c *Client) Collection(ctx context.Context, name string) (Collection, error) {
	info, err := c.Info(ctx, name)
	if err != nil {
		return Collection{}, err
	}
	layout, err := c.Layout(ctx, name)
	if err != nil {
		return Collection{}, err
	}
	return Collection{Name: name, Info: info, Layout: layout}, nil
}

// ErrNoPeer says that no node of the cluster is the one looked for.
var ErrNoPeer = errors.New("no such node in the cluster")

// PeerOfPod finds the node that runs in a pod, which has a name and maybe longer ones: the node whose
// address has the name, or one that begins with it. Longer names may end in a domain that the address
// leaves out, or calls something else. ErrNoPeer is none; two are an error, too.
func (c *Cluster) PeerOfPod(names ...string) (uint64, error) {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.Trim(n, ".") == "" })
	for _, n := range names {
		if first, _, long := strings.Cut(n, "."); long && net.ParseIP(n) == nil {
			names = append(names, first)
		}
	}
	for _, n := range names {
		switch found := c.called(strings.ToLower(strings.Trim(n, "."))); len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return 0, fmt.Errorf("pod %q has %d nodes of the cluster, not one: %v", n, len(found), found)
		}
	}
	return 0, fmt.Errorf("pod %q: %w", names, ErrNoPeer)
}

// called lists the peers whose address has a name, or begins with it.
func (c *Cluster) called(name string) (found []uint64) {
	for _, id := range slices.Sorted(maps.Keys(c.Peers)) {
		u, err := url.Parse(c.Peers[id].URI)
		if err != nil {
			continue // an address that isn't one is no pod's
		}
		if host := strings.ToLower(u.Hostname()); host == name || strings.HasPrefix(host, name+".") {
			found = append(found, id)
		}
	}
	return found
}

// alive tells whether a node doesn't count as gone.
func (c *Cluster) alive(peer uint64) bool {
	p, ok := c.Peers[peer]
	return ok && !p.Fenced
}

// Shard is a shard of a View.
type Shard struct {
	Collection string
	Number     uint32
	// Leader is 0 when nobody leads. Led says whether the server has leaders at all.
	Leader uint64
	Led    bool
	// Copies are all, InSync the peers that have all that is acknowledged, and aren't gone.
	Copies []Replica
	InSync []uint64
	// Factor is how many copies there should be, WriteFactor how many a write needs.
	Factor, WriteFactor int
}

// String names the shard.
func (s *Shard) String() string { return fmt.Sprintf("shard %d of %s", s.Number, s.Collection) }

// on tells whether a peer has a copy.
func (s *Shard) on(peer uint64) bool {
	return slices.ContainsFunc(s.Copies, func(r Replica) bool { return r.Peer == peer })
}

// Shards lists all shards in order.
func (v *View) Shards() []Shard {
	var all []Shard
	for _, c := range v.Collections {
		copies := map[uint32][]Replica{}
		for _, r := range c.Layout.Replicas {
			copies[r.Shard] = append(copies[r.Shard], r)
		}
		for _, number := range slices.Sorted(maps.Keys(copies)) {
			s := Shard{
				Collection: c.Name, Number: number, Copies: copies[number], Factor: c.Info.Factor, WriteFactor: c.Info.WriteFactor,
			}
			slices.SortFunc(s.Copies, func(a, b Replica) int { return cmp.Compare(a.Peer, b.Peer) })
			v.replication(&s)
			all = append(all, s)
		}
	}
	return all
}

// replication fills in who leads and who is in sync. A server without leaders has sets in sync, too: the
// active copies.
func (v *View) replication(s *Shard) {
	for _, r := range s.Copies {
		if r.Epoch != nil {
			s.Led, s.Leader = true, r.Leader
			for _, p := range r.InSync {
				if v.Cluster.alive(p) && !slices.Contains(s.InSync, p) {
					s.InSync = append(s.InSync, p)
				}
			}
		} else if r.State == Active && (!v.Cluster.Enabled() || v.Cluster.alive(r.Peer)) {
			s.InSync = append(s.InSync, r.Peer)
		}
	}
	slices.Sort(s.InSync)
}

// Leaderless tells whether nobody leads the shard: it takes no writes.
func (s *Shard) Leaderless() bool { return s.Led && s.Leader == 0 }

// Short tells whether fewer copies are in sync than there should be.
func (s *Shard) Short() bool { return len(s.InSync) < s.Factor }

// Inactive lists the copies that aren't active.
func (v *View) Inactive() []Replica {
	var all []Replica
	for _, s := range v.Shards() {
		for _, r := range s.Copies {
			if r.State != Active {
				all = append(all, r)
			}
		}
	}
	return all
}

// Empty tells whether a peer has no copy of any shard, as far as is known.
func (v *View) Empty(peer uint64) bool {
	p, ok := v.Cluster.Peers[peer]
	if ok && (p.Replicas != nil && *p.Replicas > 0) {
		return false
	}
	for _, s := range v.Shards() {
		if s.on(peer) {
			return false
		}
	}
	for _, c := range v.Collections {
		if slices.ContainsFunc(c.Layout.Transfers, func(t Transfer) bool { return t.From == peer || t.To == peer }) {
			return false
		}
	}
	return true
}

// OnlyOn lists the shards of which no copy but that of a peer has all that is acknowledged: what would be
// lost with it.
func (v *View) OnlyOn(peer uint64) []Shard {
	var all []Shard
	for _, s := range v.Shards() {
		if s.on(peer) && !slices.ContainsFunc(s.InSync, func(p uint64) bool { return p != peer }) {
			all = append(all, s)
		}
	}
	return all
}

// Risk is why a node should not be stopped.
type Risk struct {
	// Shard is what would suffer; nil is the consensus.
	Shard *Shard
	// Text says what would happen.
	Text string
	// Lasting says that waiting won't help: there are no more copies, or nodes, to wait for.
	Lasting bool
}

// RisksOfStopping lists what would happen if a node went away for a while: shards that could not be
// read or written, and a consensus without majority. With no risk the node may be stopped now. Who
// has a vote isn't known here, so the majority is one of all nodes.
func (v *View) RisksOfStopping(peer uint64) []Risk {
	var risks []Risk
	if r, ok := v.riskOfConsensus(peer); ok {
		risks = append(risks, r)
	}
	for _, s := range v.Shards() {
		if !s.on(peer) {
			continue
		}
		rest := len(slices.DeleteFunc(slices.Clone(s.InSync), func(p uint64) bool { return p == peer }))
		switch others := len(s.Copies) - 1; {
		case rest == 0:
			risks = append(risks, Risk{Shard: &s, Lasting: others == 0, Text: s.String() + " has no other copy in sync: it could not be read or written"})
		case rest < s.WriteFactor:
			risks = append(risks, Risk{
				Shard: &s, Lasting: others < s.WriteFactor,
				Text: fmt.Sprintf("%s would have %d copies in sync, writes need %d", s.String(), rest, s.WriteFactor),
			})
		}
	}
	return risks
}

func (v *View) riskOfConsensus(peer uint64) (Risk, bool) {
	all, left := len(v.Cluster.Peers), 0
	if !v.Cluster.Enabled() || all < 2 || !v.Cluster.alive(peer) {
		return Risk{}, false
	}
	for id := range v.Cluster.Peers {
		if id != peer && v.Cluster.alive(id) {
			left++
		}
	}
	majority := all/2 + 1
	if left >= majority {
		return Risk{}, false
	}
	return Risk{
		Lasting: all-1 < majority,
		Text:    fmt.Sprintf("%d of %d nodes would be left: no majority, so nothing could be agreed on", left, all),
	}, true
}
