package component

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/catalog"
	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

// askAtOnce is how many nodes are asked at the same time.
const askAtOnce = 8

// observe loads the tree of a component, and asks its nodes.
func (r *reconciler) observe(ctx context.Context, c *appsv1.Component) (*Observed, error) {
	o := &Observed{
		Now: r.now(), Component: c,
		ClusterDomain: r.o.ClusterDomain, OperatorNamespace: r.o.Namespace, NetworkPolicies: r.o.NetworkPolicies,
	}
	if o.ClusterDomain == "" {
		o.ClusterDomain = naming.ClusterDomain
	}
	owner, err := manifests.OwnerOf(c)
	if err != nil {
		return o, nil //nolint:nilerr // the plan says so to the user
	}
	var reader client.Reader = r.Client
	if b := c.Status.Bootstrap; b == nil || b.ClusterID == "" {
		// Who founds is decided once: not by what a cache remembers.
		reader = r.live
		if err := r.live.Get(ctx, client.ObjectKeyFromObject(c), c); err != nil {
			return nil, err
		}
		if err := r.observeCluster(ctx, o, owner); err != nil {
			return nil, err
		}
	}
	if err := r.observeDefinitions(ctx, o); err != nil {
		return nil, err
	}
	if err := r.observeOwn(ctx, reader, o, owner); err != nil {
		return nil, err
	}
	services := &corev1.ServiceList{}
	if err := r.List(ctx, services, client.InNamespace(c.Namespace), client.MatchingLabels(naming.ClusterLabels(owner.Cluster))); err != nil {
		return nil, fmt.Errorf("list services of its cluster: %w", err)
	}
	o.Services = services.Items
	pods := &corev1.PodList{}
	if err := r.List(ctx, pods, client.InNamespace(c.Namespace), client.MatchingLabels(naming.PodSelector(owner))); err != nil {
		return nil, fmt.Errorf("list its pods: %w", err)
	}
	o.Pods = pods.Items
	o.Answers, err = r.ask(ctx, o)
	return o, err
}

// observeCluster reads what the Cluster remembers of a Component that was there before.
func (r *reconciler) observeCluster(ctx context.Context, o *Observed, owner naming.Owner) error {
	ref := metav1.GetControllerOf(o.Component)
	if ref == nil || o.Component.Status.Bootstrap != nil {
		return nil
	}
	cluster := &appsv1.Cluster{}
	err := r.live.Get(ctx, types.NamespacedName{Namespace: o.Component.Namespace, Name: ref.Name}, cluster)
	if err == nil && cluster.UID == ref.UID {
		o.Recorded = cluster.Status.Components[owner.Component].Bootstrap
	}
	if err := client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("get its cluster %s: %w", ref.Name, err)
	}
	return nil
}

// observeOwn reads what there is of the component.
func (r *reconciler) observeOwn(ctx context.Context, reader client.Reader, o *Observed, owner naming.Owner) error {
	var failed error
	get := func(name string, object client.Object) bool {
		if failed != nil {
			return false
		}
		err := reader.Get(ctx, types.NamespacedName{Namespace: o.Component.Namespace, Name: name}, object)
		if err != nil && !apierrors.IsNotFound(err) {
			failed = fmt.Errorf("get %T %s: %w", object, name, err)
		}
		return err == nil
	}
	if set := new(workloadsv1.InstanceSet); get(o.Component.Name, set) {
		o.InstanceSet = set
	}
	if cm := new(corev1.ConfigMap); get(naming.BootstrapConfigMap(owner.Cluster, owner.Component), cm) {
		o.Bootstrap = cm
	}
	for name, place := range map[string]**corev1.Secret{
		naming.KeySecret(owner.Cluster, owner.Component): &o.Key,
		naming.TLSSecret(owner.Cluster, owner.Component): &o.TLS,
		manifests.AuthoritySecretName(owner):             &o.Authority,
	} {
		if secret := new(corev1.Secret); get(name, secret) {
			*place = secret
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Templates)) {
		if cm := new(corev1.ConfigMap); get(naming.FilesConfigMap(owner.Cluster, owner.Component, name), cm) {
			o.Files = append(o.Files, *cm)
		}
	}
	if failed != nil {
		return failed
	}
	return r.observeProvided(ctx, o)
}

// observeProvided reads the user's certificates.
func (r *reconciler) observeProvided(ctx context.Context, o *Observed) error {
	key, ok := certificatesOf(o.Component)
	if !ok {
		return nil
	}
	secret := &corev1.Secret{}
	err := r.Get(ctx, key, secret)
	if err == nil {
		o.Provided = secret
	}
	return client.IgnoreNotFound(err)
}

// certificatesOf is the Secret of the user that has the certificates of a component.
func certificatesOf(c *appsv1.Component) (types.NamespacedName, bool) {
	if !wantsTLS(c) || c.Spec.TLSConfig.Issuer == nil || c.Spec.TLSConfig.Issuer.SecretRef == nil {
		return types.NamespacedName{}, false
	}
	ref := c.Spec.TLSConfig.Issuer.SecretRef
	key := types.NamespacedName{Namespace: c.Namespace, Name: ref.Name}
	if ref.Namespace != "" {
		key.Namespace = ref.Namespace
	}
	return key, true
}

// observeDefinitions finds what the component runs, and what those of its instances do that differ.
func (r *reconciler) observeDefinitions(ctx context.Context, o *Observed) error {
	versions := &appsv1.ComponentVersionList{}
	if err := r.List(ctx, versions); err != nil {
		return fmt.Errorf("list versions: %w", err)
	}
	spec := &o.Component.Spec
	whole, unusable, err := r.variant(ctx, spec.CompDef, spec.ServiceVersion, versions.Items)
	if err != nil {
		return err
	}
	o.Definition, o.Images, o.Templates, o.Unusable = whole.Definition, whole.Images, whole.Templates, unusable
	for i := range spec.Instances {
		t := &spec.Instances[i]
		if !manifests.Differs(o.Component, t) || o.Unusable != "" {
			continue
		}
		name := cmp.Or(t.CompDef, spec.CompDef)
		one, unusable, err := r.variant(ctx, name, cmp.Or(t.ServiceVersion, spec.ServiceVersion), versions.Items)
		switch {
		case err != nil:
			return err
		case one.Definition == nil:
			o.Unusable = fmt.Sprintf("instances[%s]: there is no ComponentDefinition %s", t.Name, name)
		case unusable != "":
			o.Unusable = fmt.Sprintf("instances[%s]: %s", t.Name, unusable)
		}
		if o.Variants == nil {
			o.Variants = map[string]manifests.Variant{}
		}
		o.Variants[t.Name] = one
	}
	return nil
}

// variant finds a definition, the images of a version of it, and its templates. Definition is nil when there is none of the
// name; unusable says what else is missing.
func (r *reconciler) variant(ctx context.Context, name, version string, versions []appsv1.ComponentVersion) (v manifests.Variant, unusable string, err error) {
	definition := &appsv1.ComponentDefinition{}
	switch err := r.Get(ctx, types.NamespacedName{Name: name}, definition); {
	case apierrors.IsNotFound(err):
		return v, "", nil
	case err != nil:
		return v, "", fmt.Errorf("get the definition %s: %w", name, err)
	}
	v.Definition = definition
	images, err := catalog.Images(definition, version, versions)
	if err != nil {
		return v, err.Error(), nil //nolint:nilerr // the user is told
	}
	v.Images, v.Templates = images, map[string]map[string]string{}
	for _, t := range slices.Concat(definition.Spec.Configs, definition.Spec.Scripts) {
		if t.ExternalManaged != nil && *t.ExternalManaged {
			continue
		}
		key := r.templateOf(&t)
		cm := &corev1.ConfigMap{}
		switch err := r.Get(ctx, key, cm); {
		case apierrors.IsNotFound(err):
			unusable = fmt.Sprintf("definition %s: there is no ConfigMap %s for the template %s", definition.Name, key, t.Name)
		case err != nil:
			return v, "", fmt.Errorf("get the template %s: %w", key, err)
		default:
			v.Templates[t.Name] = cm.Data
		}
	}
	return v, unusable, nil
}

// templateOf names the ConfigMap of a template.
func (r *reconciler) templateOf(t *appsv1.FileTemplate) types.NamespacedName {
	return types.NamespacedName{Namespace: cmp.Or(t.Namespace, r.o.Namespace), Name: t.Template}
}

// ask asks the nodes in pods that are ready, and the founder in any case until it has founded. Nodes that don't answer are left out.
func (r *reconciler) ask(ctx context.Context, o *Observed) (map[string]Answer, error) {
	if o.InstanceSet == nil || len(o.Pods) == 0 {
		return nil, nil
	}
	c := o.Component.DeepCopy()
	c.Spec.TLSConfig = &appsv1.TLSConfig{Enable: speaksTLS(o.InstanceSet)} // what they do, not what they shall
	target, err := nodes.Of(ctx, r.Client, c, o.Pods, o.ClusterDomain)
	if apierrors.IsNotFound(err) {
		return nil, nil // what is missing is made in this round
	}
	if err != nil {
		return nil, err
	}
	var (
		mu      sync.Mutex
		answers = map[string]Answer{}
		group   errgroup.Group
	)
	group.SetLimit(askAtOnce)
	for _, pod := range target.Pods {
		if !pod.Ready && !isFounder(o, pod.Name) {
			continue
		}
		group.Go(func() error {
			cluster, err := r.o.Nodes.Cluster(ctx, target, pod)
			if err != nil || !cluster.Enabled() {
				return nil
			}
			a := Answer{ID: cluster.ID, Peers: len(cluster.Peers)}
			if a.ID == "" && isFounder(o, pod.Name) {
				// An engine whose clusters have no name: this one is called after its first node.
				a.ID = "peer-" + strconv.FormatUint(cluster.Peer, 10)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[pod.Name] = a
			return nil
		})
	}
	return answers, group.Wait()
}

func isFounder(o *Observed, pod string) bool {
	b := o.Component.Status.Bootstrap
	return b != nil && b.ClusterID == "" && b.Founder == pod
}

// labelsOf are the labels that all objects of a component have.
func labelsOf(c *appsv1.Component) map[string]string {
	return naming.ComponentLabels(naming.Owner{Cluster: c.Labels[naming.LabelInstance], Component: c.Labels[naming.LabelComponentName]})
}

// sweepable are lists of the kinds of which a component can have objects too many.
func sweepable() []client.ObjectList {
	return []client.ObjectList{
		&corev1.ServiceList{}, &corev1.ConfigMapList{}, &corev1.SecretList{}, &corev1.ServiceAccountList{},
		&rbacv1.RoleBindingList{}, &policyv1.PodDisruptionBudgetList{}, &networkingv1.NetworkPolicyList{},
	}
}

// errStop ends a walk early.
var errStop = errors.New("enough")

// objects yields the objects of a list.
func objects(list client.ObjectList) iter.Seq2[client.Object, error] {
	return func(yield func(client.Object, error) bool) {
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object, ok := item.(client.Object)
			if !ok {
				return fmt.Errorf("%T is no object", item)
			}
			if !yield(object, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}
