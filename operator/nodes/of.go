package nodes

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// Of says how the nodes of a component are reached: it reads their authority and the API key. The
// pods that may be asked are those that have an address and haven't ended: the ready ones first, the
// leader before them all, those that are on their way out last.
func Of(ctx context.Context, reader ctrlclient.Reader, c *appsv1.Component, pods []corev1.Pod, clusterDomain string) (*Component, error) {
	out := &Component{Key: ctrlclient.ObjectKeyFromObject(c), Pods: reachable(c, pods, clusterDomain)}
	cluster := c.Labels[naming.LabelInstance]
	component := strings.TrimPrefix(c.Name, cluster+"-")
	if c.Spec.TLSConfig != nil && c.Spec.TLSConfig.Enable {
		var err error
		out.TLS = true
		if out.CA, err = entry(ctx, reader, c.Namespace, naming.TLSSecret(cluster, component), naming.AuthorityEntry); err != nil {
			return nil, fmt.Errorf("component %s: its authority: %w", out.Key, err)
		}
	}
	key, err := apiKey(ctx, reader, c, naming.KeySecret(cluster, component))
	if err != nil {
		return nil, fmt.Errorf("component %s: its API key: %w", out.Key, err)
	}
	out.APIKey = key
	return out, nil
}

// reachable lists the pods that may be asked, best first.
func reachable(c *appsv1.Component, pods []corev1.Pod, clusterDomain string) []Pod {
	if clusterDomain == "" {
		clusterDomain = naming.ClusterDomain
	}
	pods = slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.Status.PodIP == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(a.Name, b.Name))
	})
	out := make([]Pod, len(pods))
	for i := range pods {
		name := pods[i].Name
		out[i] = Pod{
			Name: name, FQDN: naming.InstanceFQDN(c.Name, name, c.Namespace, clusterDomain),
			IP: pods[i].Status.PodIP, Ready: Ready(&pods[i]),
		}
	}
	return out
}

func rank(p *corev1.Pod) int {
	switch {
	case p.DeletionTimestamp != nil:
		return 3
	case !Ready(p):
		return 2
	case p.Labels[naming.LabelRole] != "leader":
		return 1
	default:
		return 0
	}
}

// Ready tells whether a pod says that it is ready.
func Ready(p *corev1.Pod) bool {
	c := Condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// Condition finds a condition of a pod, nil when it has none of the type.
func Condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == t })
	if i < 0 {
		return nil
	}
	return &p.Status.Conditions[i]
}

// apiKey finds the key: that of the component's variable, else that of its Secret, else none.
func apiKey(ctx context.Context, reader ctrlclient.Reader, c *appsv1.Component, secret string) (string, error) {
	for i := range c.Spec.Env {
		one := &c.Spec.Env[i]
		switch {
		case one.Name != naming.KeyVariable:
		case one.ValueFrom == nil:
			return one.Value, nil
		case one.ValueFrom.SecretKeyRef == nil:
			return "", fmt.Errorf("%s is neither a value nor from a Secret (secretKeyRef)", naming.KeyVariable)
		default:
			ref := one.ValueFrom.SecretKeyRef
			raw, err := entry(ctx, reader, c.Namespace, ref.Name, ref.Key)
			if apierrors.IsNotFound(err) && ref.Optional != nil && *ref.Optional {
				return "", nil
			}
			return string(raw), err
		}
	}
	raw, err := entry(ctx, reader, c.Namespace, secret, naming.KeyEntry)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	return string(raw), err
}

// entry reads an entry of a Secret.
func entry(ctx context.Context, reader ctrlclient.Reader, namespace, name, key string) ([]byte, error) {
	var s corev1.Secret
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &s); err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}
	raw, ok := s.Data[key]
	if !ok {
		return nil, fmt.Errorf("the Secret %s/%s has no entry %q", namespace, name, key)
	}
	return raw, nil
}
