package nodes

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
)

// askedAtOnce is how many nodes are asked for their memory at the same time.
const askedAtOnce = 8

// Measure lists the instances of a component that have pods, with the memory that their nodes need as far as they tell.
func Measure(ctx context.Context, a Access, reader ctrlclient.Reader, c *appsv1.Component, clusterDomain string) ([]memory.Instance, error) {
	cluster := c.Labels[naming.LabelInstance]
	owner := naming.Owner{Cluster: cluster, Component: strings.TrimPrefix(c.Name, cluster+"-")}
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, ctrlclient.InNamespace(c.Namespace), ctrlclient.MatchingLabels(naming.PodSelector(owner))); err != nil {
		return nil, fmt.Errorf("list the pods of component %s: %w", c.Name, err)
	}
	needs := map[string]uint64{}
	whole, err := Of(ctx, reader, c, pods.Items, clusterDomain)
	switch {
	case apierrors.IsNotFound(err): // without what they are reached by nothing is known
	case err != nil:
		return nil, fmt.Errorf("reach the nodes of component %s: %w", c.Name, err)
	default:
		needs = Needs(ctx, a, whole)
	}
	var out []memory.Instance
	for i := range pods.Items {
		p := &pods.Items[i]
		bytes, known := needs[p.Name]
		out = append(out, memory.Instance{Pod: p.Name, Template: p.Labels[naming.LabelTemplate], Needs: bytes, Known: known})
	}
	return out, nil
}

// Needs asks the nodes of a component how much memory they can't do without, by pod. Those that don't tell are missing.
func Needs(ctx context.Context, a Access, c *Component) map[string]uint64 {
	var (
		mu    sync.Mutex
		group errgroup.Group
		needs = map[string]uint64{}
	)
	group.SetLimit(askedAtOnce)
	for _, pod := range c.Pods {
		group.Go(func() error {
			told, err := a.Memory(ctx, c, pod)
			if err != nil {
				return nil // who doesn't answer tells nothing
			}
			if bytes, known := told.Needs(); known {
				mu.Lock()
				defer mu.Unlock()
				needs[pod.Name] = bytes
			}
			return nil
		})
	}
	_ = group.Wait() // none fails
	return needs
}
