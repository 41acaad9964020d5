package kubernetes_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// dims is the length of vectors, points how many there are in data set D.
	dims, points = 8, 10_000
	// patience is how long a client tries before a request counts as failed.
	patience = 5 * time.Second
	// firstWritten is the first ID that the load uses, beyond those of the data set.
	firstWritten = 1_000_000
)

// door speaks REST to a cluster, as clients do: through a service, or to one pod.
type door struct {
	base, key string
	http      *http.Client
}

func newDoor(host, key string) *door {
	return &door{base: "http://" + host, key: key, http: &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			// Each request may reach another pod, as those of many clients do.
			DisableKeepAlives: true,
			// A service sends clients to the pod of a machine that is lost until Kubernetes notices, a
			// quarter of a minute or more: who doesn't wait long for a connection reaches another one.
			DialContext:           (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext,
			ResponseHeaderTimeout: 3 * time.Second,
		},
	}}
}

// refusal is an answer that says no.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.text) }

// ask sends a request once and reads the result into out, unless that is nil.
func (d *door) ask(ctx context.Context, method, path string, body, out any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write the body: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if d.key != "" {
		req.Header.Set("Api-Key", d.key)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %w", method, path, &refusal{resp.StatusCode, string(answer)})
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, &struct {
		Result any `json:"result"`
	}{out}); err != nil {
		return fmt.Errorf("understand the answer to %s %s: %w", method, path, err)
	}
	return nil
}

// patiently sends a request again until it works, as clients do, for some time. It tells how often
// it had to.
func (d *door) patiently(ctx context.Context, method, path string, body, out any) (tries int, err error) {
	tries, _, _, err = d.persist(ctx, method, path, body, out)
	return tries, err
}

// persist is patiently, and tells what nodes answered that couldn't, and what else went wrong.
func (d *door) persist(ctx context.Context, method, path string, body, out any) (tries int, noes, lost []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		tries++
		err = d.ask(ctx, method, path, body, out)
		r, no := errors.AsType[*refusal](err)
		switch {
		case err == nil || no && r.status < 500:
			return tries, noes, lost, err
		case no:
			noes = append(noes, fmt.Sprintf("%s %d: %s", method, r.status, number.ReplaceAllString(r.text, "#")))
		default:
			lost = append(lost, number.ReplaceAllString(err.Error(), "#"))
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return tries, noes, lost, err
		}
	}
}

var number = regexp.MustCompile(`[0-9][0-9.e-]*`)

type point struct {
	ID      uint64         `json:"id"`
	Vector  []float32      `json:"vector"`
	Payload map[string]any `json:"payload"`
}

// pointOf makes the point of an ID: what it should be is known without keeping it.
func pointOf(id uint64) point {
	r := rand.New(rand.NewPCG(id, 7)) //nolint:gosec // test data that can be made again
	p := point{ID: id, Payload: map[string]any{"number": id, "word": fmt.Sprintf("w%d", id%17)}}
	for range dims {
		p.Vector = append(p.Vector, r.Float32())
	}
	return p
}

// fill makes data set D: c1 with 4 shards and two copies, c2 with one, an alias and an index.
func (d *door) fill(t *testing.T) {
	t.Helper()
	for name, copies := range map[string]int{"c1": 2, "c2": 1} {
		d.must(t, http.MethodPut, "/collections/"+name, map[string]any{
			"vectors": map[string]any{"size": dims, "distance": "Euclid"}, "shard_number": 4, "replication_factor": copies,
		})
		for first := uint64(0); first < points; first += 500 {
			var some []point
			for id := first; id < first+500; id++ {
				some = append(some, pointOf(id))
			}
			d.must(t, http.MethodPut, "/collections/"+name+"/points?wait=true", map[string]any{"points": some})
		}
	}
	d.must(t, http.MethodPut, "/collections/c1/index?wait=true", map[string]any{"field_name": "word", "field_schema": "keyword"})
	d.must(t, http.MethodPost, "/collections/aliases", map[string]any{"actions": []any{
		map[string]any{"create_alias": map[string]any{"collection_name": "c1", "alias_name": "current"}},
	}})
}

func (d *door) must(t *testing.T, method, path string, body any) {
	t.Helper()
	_, err := d.patiently(t.Context(), method, path, body, nil)
	require.NoError(t, err)
}

// sum is a checksum over the IDs, vectors and payloads of the data set, without what the load wrote.
func (d *door) sum(ctx context.Context, collection string) (count int, sum string, err error) {
	h := sha256.New()
	var offset any
	for {
		var page struct {
			Points []json.RawMessage `json:"points"`
			Next   any               `json:"next_page_offset"`
		}
		_, err := d.patiently(ctx, http.MethodPost, "/collections/"+collection+"/points/scroll", map[string]any{
			"limit": 1000, "offset": offset, "with_vector": true, "with_payload": true,
			"filter": map[string]any{"must": []any{map[string]any{"key": "number", "range": map[string]any{"lt": firstWritten}}}},
		}, &page)
		if err != nil {
			return count, "", err
		}
		for _, raw := range page.Points {
			var p point
			if err := json.Unmarshal(raw, &p); err != nil {
				return count, "", fmt.Errorf("read a point: %w", err)
			}
			again, err := json.Marshal(p) // members in one order
			if err != nil {
				return count, "", fmt.Errorf("write a point: %w", err)
			}
			h.Write(again)
			count++
		}
		if offset = page.Next; offset == nil {
			return count, hex.EncodeToString(h.Sum(nil)), nil
		}
	}
}

// whole waits until the data set is there as it was made, and expects it.
func (d *door) whole(t *testing.T, collections ...string) {
	t.Helper()
	h := sha256.New()
	for id := range uint64(points) {
		raw, err := json.Marshal(pointOf(id))
		require.NoError(t, err)
		h.Write(raw)
	}
	want := hex.EncodeToString(h.Sum(nil))
	for _, name := range collections {
		count, sum, err := d.sum(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, points, count, "points of %s", name)
		require.Equal(t, want, sum, "checksum of %s", name)
	}
}

// traffic are clients that write and read c1 all the time.
type traffic struct {
	d      *door
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// last is the last ID that was written; those that are acknowledged are in acked.
	last          atomic.Uint64
	mu            sync.Mutex
	acked         []uint64
	failed        []string
	writes, reads requests
	// refusals count what nodes answered that couldn't, lost why there was no answer.
	refusals, lost map[string]int
}

// requests are what became of those of a kind.
type requests struct {
	// many is how many there were, again how many were tried more than once; to those in noes a node
	// answered more than once that it can't.
	many, again, noes int
	// longest is how long one took with all its tries, gap the longest time without any that worked.
	longest, gap time.Duration
	worked       time.Time
}

// startTraffic starts writers and readers, which go on until stop.
func startTraffic(t *testing.T, d *door) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	tr := &traffic{d: d, cancel: cancel, refusals: map[string]int{}, lost: map[string]int{}, writes: requests{worked: now}, reads: requests{worked: now}}
	tr.last.Store(firstWritten)
	for range 4 {
		tr.wg.Go(func() { tr.forever(ctx, 20*time.Millisecond, tr.write) })
		tr.wg.Go(func() { tr.forever(ctx, 20*time.Millisecond, tr.read) })
	}
	t.Cleanup(func() {
		cancel()
		tr.wg.Wait()
	})
	return tr
}

func (tr *traffic) forever(ctx context.Context, every time.Duration, do func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (tr *traffic) write(ctx context.Context) {
	id := tr.last.Add(1)
	began := time.Now()
	tries, noes, lost, err := tr.d.persist(ctx, http.MethodPut, "/collections/c1/points?wait=true", map[string]any{"points": []point{pointOf(id)}}, nil)
	if ctx.Err() != nil {
		return // it may have been written, nobody was told
	}
	tr.note(&tr.writes, began, tries, noes, lost, fmt.Sprintf("write %d", id), err)
	if err == nil {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.acked = append(tr.acked, id)
	}
}

func (tr *traffic) read(ctx context.Context) {
	id := rand.Uint64N(points) //nolint:gosec // any will do
	began := time.Now()
	var got []point
	tries, noes, lost, err := tr.d.persist(ctx, http.MethodPost, "/collections/c1/points", map[string]any{"ids": []uint64{id}, "with_vector": true}, &got)
	if ctx.Err() != nil {
		return
	}
	if err == nil && (len(got) != 1 || got[0].ID != id) {
		err = fmt.Errorf("%d points instead of one", len(got))
	}
	tr.note(&tr.reads, began, tries, noes, lost, fmt.Sprintf("read %d", id), err)
}

// note counts a request.
func (tr *traffic) note(of *requests, began time.Time, tries int, noes, lost []string, what string, err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	now := time.Now()
	of.many++
	of.longest = max(of.longest, now.Sub(began))
	if tries > 1 {
		of.again++
	}
	if len(noes) > 1 {
		of.noes++
	}
	for _, no := range noes {
		tr.refusals[no]++
	}
	for _, why := range lost {
		tr.lost[why]++
	}
	if err != nil {
		tr.failed = append(tr.failed, fmt.Sprintf("%s at %s: %v", what, now.Format(time.TimeOnly), err))
		return
	}
	of.gap, of.worked = max(of.gap, now.Sub(of.worked)), now
}

// stop ends the traffic, prints its figures, and expects that no request failed for good, and that all
// acknowledged writes are there.
func (tr *traffic) stop(t *testing.T, what string) {
	t.Helper()
	tr.cancel()
	tr.wg.Wait()
	for name, of := range map[string]*requests{"writes": &tr.writes, "reads": &tr.reads} {
		figure(t, what, name, fmt.Sprintf("%d, %d tried more than once, %d refused more than once, the longest took %s, longest time without one %s",
			of.many, of.again, of.noes, of.longest.Round(time.Millisecond), of.gap.Round(time.Millisecond)))
	}
	for no, n := range tr.refusals {
		figure(t, what, "answered", fmt.Sprintf("%d times %s", n, no))
	}
	for why, n := range tr.lost {
		figure(t, what, "not answered", fmt.Sprintf("%d times %s", n, why))
	}
	require.Empty(t, tr.failed, "requests that failed for %s", patience)
	tr.present(t)
}

// present expects all acknowledged writes to be there.
func (tr *traffic) present(t *testing.T) {
	t.Helper()
	for first := 0; first < len(tr.acked); first += 1000 {
		ids := tr.acked[first:min(first+1000, len(tr.acked))]
		var got []point
		_, err := tr.d.patiently(t.Context(), http.MethodPost, "/collections/c1/points", map[string]any{"ids": ids, "with_payload": true}, &got)
		require.NoError(t, err)
		have := map[uint64]bool{}
		for _, p := range got {
			have[p.ID] = true
		}
		for _, id := range ids {
			require.True(t, have[id], "write %d was acknowledged and is gone", id)
		}
	}
}

// figure prints a figure.
func figure(t *testing.T, of, name string, value any) {
	t.Helper()
	t.Logf("figure: %s: %s: %v", of, name, value)
}
