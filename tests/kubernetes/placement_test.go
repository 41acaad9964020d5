package kubernetes_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

// Checks 6, 7 and 9: where copies are, and what nodes do for each other.

// at is the same door elsewhere.
func (d *door) at(host string) *door {
	scheme, _, _ := strings.Cut(d.base, "://")
	other := *d
	other.base = scheme + "://" + host
	return &other
}

// podHost is where a pod answers, by its name.
func podHost(pod string) string {
	return fmt.Sprintf("%s.%s-headless.%s.svc.cluster.local:6333", pod, set, demo)
}

// podAddress is where a pod answers, also when there is no name service.
func podAddress(p *corev1.Pod) string { return net.JoinHostPort(p.Status.PodIP, "6333") }

// shardCopy is a copy of a shard, as nodes tell of it.
type shardCopy struct {
	Shard uint32 `json:"shard_id"`
	Peer  uint64 `json:"peer_id"`
	State string `json:"state"`
}

// layout are all copies of a collection in order, and those that the node has that is asked.
func (d *door) layout(ctx context.Context, collection string) (all, own []shardCopy, err error) {
	var told struct {
		Peer   uint64      `json:"peer_id"`
		Local  []shardCopy `json:"local_shards"`
		Remote []shardCopy `json:"remote_shards"`
	}
	if err := d.ask(ctx, http.MethodGet, "/collections/"+collection+"/cluster", nil, &told); err != nil {
		return nil, nil, err
	}
	for i := range told.Local {
		told.Local[i].Peer = told.Peer
	}
	all = slices.Concat(told.Local, told.Remote)
	slices.SortFunc(all, func(a, b shardCopy) int { return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Peer, b.Peer)) })
	return all, told.Local, nil
}

// spread says what is missing until a collection has all its copies on different nodes, in sync.
func spread(all []shardCopy, shards, copies int) string {
	on := map[uint32]map[uint64]bool{}
	for _, c := range all {
		if c.State != "Active" {
			return fmt.Sprintf("the copy of shard %d on %d is %s", c.Shard, c.Peer, c.State)
		}
		if on[c.Shard] == nil {
			on[c.Shard] = map[uint64]bool{}
		}
		on[c.Shard][c.Peer] = true
	}
	if len(on) != shards {
		return fmt.Sprintf("%d shards", len(on))
	}
	for shard, peers := range on {
		if len(peers) != copies {
			return fmt.Sprintf("shard %d is on %d nodes", shard, len(peers))
		}
	}
	return ""
}

func Test06ShardsAndCopies(t *testing.T) {
	b := newBed(t)
	b.runs(3)
	b.door.must(t, http.MethodPut, "/collections/c1", map[string]any{
		"vectors": map[string]any{"size": dims, "distance": "Euclid"}, "shard_number": 3, "replication_factor": 2,
	})
	b.eventually("the same told by all", func() (string, error) {
		var first []shardCopy
		for i := range 3 {
			all, _, err := b.door.at(podHost(podName(i))).layout(b.ctx, "c1")
			if err != nil {
				return podName(i), err
			}
			if why := spread(all, 3, 2); why != "" {
				return podName(i) + " says: " + why, nil
			}
			if first == nil {
				first = all
			}
			if !slices.Equal(first, all) {
				return fmt.Sprintf("%s says %v, %s %v", podName(0), first, podName(i), all), nil
			}
		}
		return "", nil
	})
}

// What is written through one node is read through the others, which don't have all of it.
func Test07AnyNodeCoordinates(t *testing.T) {
	const many = 500
	b := newBed(t)
	b.runs(3)
	b.door.must(t, http.MethodPut, "/collections/c2", map[string]any{
		"vectors": map[string]any{"size": dims, "distance": "Euclid"}, "shard_number": 4, "replication_factor": 1,
	})
	var all []point
	var ids []uint64
	for id := range uint64(many) {
		all, ids = append(all, pointOf(id)), append(ids, id)
	}
	b.door.at(podHost(podName(0))).must(t, http.MethodPut, "/collections/c2/points?wait=true", map[string]any{"points": all})
	for i := range 3 {
		d := b.door.at(podHost(podName(i)))
		copies, own, err := d.layout(t.Context(), "c2")
		require.NoError(t, err)
		require.Empty(t, spread(copies, 4, 1))
		require.Less(t, len(own), 4, "%s has everything itself", podName(i))
		var got []point
		_, err = d.patiently(t.Context(), http.MethodPost, "/collections/c2/points",
			map[string]any{"ids": ids, "with_vector": true, "with_payload": true}, &got)
		require.NoError(t, err)
		slices.SortFunc(got, func(a, b point) int { return cmp.Compare(a.ID, b.ID) })
		require.Equal(t, asJSON(t, all), asJSON(t, got), "read through %s", podName(i))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

// held are the IDs of points of which a node has a copy.
func (b *bed) held(d *door, collection string) (ids []uint64) {
	b.t.Helper()
	_, own, err := d.layout(b.ctx, collection)
	require.NoError(b.t, err)
	for _, c := range own {
		var page struct {
			Points []point `json:"points"`
		}
		_, err := d.patiently(b.ctx, http.MethodPost, fmt.Sprintf("/collections/%s/shards/%d/points/scroll", collection, c.Shard),
			map[string]any{"limit": 100}, &page)
		require.NoError(b.t, err)
		require.NotEmpty(b.t, page.Points)
		for _, p := range page.Points {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// Two of three machines without power: nothing can be agreed on, and says so; what the third one has can be read. With one
// back all works again.
func Test09MajorityLost(t *testing.T) {
	b := newBed(t)
	out := newOutage(t)
	b.runs(3)
	b.door.fill(t)
	b.inSync()
	pods := b.mustPods()
	one, two := pods[podName(1)].Spec.NodeName, pods[podName(2)].Spec.NodeName
	require.NotContains(t, []string{one, two}, pods[podName(0)].Spec.NodeName, "pods keep apart")
	left := b.door.at(podAddress(pods[podName(0)]))
	ids := b.held(left, "c1")
	require.NotEmpty(t, ids)
	out.kill(one)
	out.kill(two)

	patient := *left
	patient.http = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	tries := 0
	create := func(d *door) error {
		tries++
		return d.ask(b.ctx, http.MethodPut, fmt.Sprintf("/collections/late-%d?timeout=3", tries), map[string]any{
			"vectors": map[string]any{"size": dims, "distance": "Euclid"},
		}, nil)
	}
	b.eventually("a clear refusal", func() (string, error) {
		err := create(&patient)
		if r, no := errors.AsType[*refusal](err); no && r.status == http.StatusServiceUnavailable && strings.Contains(r.text, "no leader") {
			return "", nil
		}
		return fmt.Sprintf("the answer is %v", err), nil
	})
	var got []point
	_, err := left.patiently(t.Context(), http.MethodPost, "/collections/c1/points", map[string]any{"ids": ids, "with_vector": true}, &got)
	require.NoError(t, err, "what the node has can be read")
	require.Len(t, got, len(ids))

	began := time.Now()
	out.back(one)
	b.eventually("a change of the topology", func() (string, error) { return "", create(&patient) })
	figure(t, "two of three machines lost, one boots", "changes again after", time.Since(began).Round(100*time.Millisecond))
	out.back(two)
	b.phase(appsv1.ClusterRunning)
	b.agree(3)
	b.inSync()
	b.door.whole(t, "c1", "c2")
}
