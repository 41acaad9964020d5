package kubernetes_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	sigsyaml "sigs.k8s.io/yaml"

	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
)

// differing says which copies of a shard aren't the same, byte by byte as their nodes have them on disk.
func (c *chaos) differing() (string, error) {
	pods, err := c.b.pods()
	if err != nil {
		return "", err
	}
	for _, collection := range []string{"c1", register} {
		first := map[uint32]string{}
		for _, name := range names(pods) {
			d := newDoor(podAddress(pods[name]), "")
			_, own, err := d.layout(c.b.ctx, collection)
			if err != nil {
				return name, err
			}
			for _, one := range own {
				sum, err := d.copySum(c.b.ctx, collection, one.Shard)
				if err != nil {
					return name, err
				}
				if first[one.Shard] == "" {
					first[one.Shard] = sum
				}
				if first[one.Shard] != sum {
					return fmt.Sprintf("shard %d of %s has %s, on %s %s", one.Shard, collection, first[one.Shard], name, sum), nil
				}
			}
		}
		if len(first) != chaosShards {
			return fmt.Sprintf("%d shards of %s", len(first), collection), nil
		}
	}
	return "", nil
}

// copySum is the checksum of the copy of a shard that the node has that is asked.
func (d *door) copySum(ctx context.Context, collection string, shard uint32) (string, error) {
	var page struct {
		Points []any `json:"points"`
		Next   any   `json:"next_page_offset"`
	}
	path := fmt.Sprintf("/collections/%s/shards/%d/points/scroll", collection, shard)
	body := map[string]any{"limit": 1 << 20, "with_payload": true, "with_vector": true}
	if err := d.ask(ctx, http.MethodPost, path, body, &page); err != nil {
		return "", err
	}
	raw, err := json.Marshal(page.Points) // keys in order
	if err != nil {
		return "", fmt.Errorf("write points: %w", err)
	}
	return fmt.Sprintf("%d points, %x", len(page.Points), sha256.Sum256(raw)), nil
}

// describe prints what nodes and the operator say, for a run that failed.
func (c *chaos) describe() {
	var out strings.Builder
	var sets workloadsv1.InstanceSetList
	if err := c.b.list(&sets); err != nil {
		fmt.Fprintln(&out, err)
	}
	for i := range sets.Items {
		sets.Items[i].ManagedFields = nil
		text, err := sigsyaml.Marshal(sets.Items[i].Status)
		fmt.Fprintf(&out, "--- InstanceSet %s %v\n%s", sets.Items[i].Name, err, text)
	}
	pods, err := c.b.pods()
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	for _, name := range names(pods) {
		d := newDoor(podAddress(pods[name]), "")
		for _, path := range []string{"/cluster", "/collections/c1/cluster", "/collections/" + register + "/cluster"} {
			var told json.RawMessage
			err := d.ask(c.b.ctx, http.MethodGet, path, nil, &told)
			fmt.Fprintf(&out, "--- %s %s %v\n%s\n", name, path, err, told)
		}
		out.WriteString(tail(c.b.ctx, pods[name], "qdrant", true))
		out.WriteString(tail(c.b.ctx, pods[name], "qdrant", false))
	}
	var operators corev1.PodList
	if err := place.c.List(c.b.ctx, &operators); err != nil {
		fmt.Fprintln(&out, err)
	}
	for i := range operators.Items {
		if p := &operators.Items[i]; p.Namespace == system {
			out.WriteString(tail(c.b.ctx, p, "operator", false))
		}
	}
	if c.load != nil {
		fmt.Fprintf(&out, "what failed how often: %v\n", c.load.Errors())
	}
	c.t.Log(out.String())
}

// tail is the end of what a container has said, or the one before it in the same pod.
func tail(ctx context.Context, p *corev1.Pod, container string, before bool) string {
	title := fmt.Sprintf("--- log of %s/%s", p.Name, container)
	if before {
		title += ", the one before"
	}
	set, err := kubernetes.NewForConfig(place.config)
	if err != nil {
		return fmt.Sprintf("%s: %v\n", title, err)
	}
	raw, err := set.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: container, Previous: before, TailLines: new(int64(200)),
	}).DoRaw(ctx)
	if err != nil {
		return fmt.Sprintf("%s: %v\n", title, err)
	}
	return fmt.Sprintf("%s\n%s\n", title, raw)
}
