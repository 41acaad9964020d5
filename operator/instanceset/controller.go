package instanceset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/operator/nodes"
)

const (
	// workers is how many sets are worked on at a time: most of the time they wait for nodes.
	workers = 16
	// mostAsked bounds how many agents of a set are asked for their roles at a time.
	mostAsked = 16
	// mostPasses bounds how often a plan may have something to ask in one round.
	mostPasses = 8
	// usualNodeLostAfter is how long a Kubernetes node may be silent when nothing is said.
	usualNodeLostAfter = 5 * time.Minute
)

// Options are what the controller needs.
type Options struct {
	// Nodes asks nodes and agents.
	Nodes nodes.Access
	// ClusterDomain is the domain of the Kubernetes cluster; cluster.local when empty.
	ClusterDomain string
	// NodeLostAfter is how long a Kubernetes node may be silent before its pods are started elsewhere; 0
	// is five minutes.
	NodeLostAfter time.Duration
}

// Register adds the controller of InstanceSets to a manager.
func Register(mgr ctrl.Manager, o Options) error {
	r := newReconciler(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder("sextant-instanceset"), o)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("instanceset").
		For(&workloadsv1.InstanceSet{}, builder.WithPredicates(predicate.Or[client.Object](
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Owns(&corev1.Pod{}).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(setOfClaim)).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.setsOnNode), builder.WithPredicates(readinessChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of instance sets: %w", err)
	}
	return nil
}

// setOfClaim finds the set of a claim by its labels: claims have no owner.
func setOfClaim(_ context.Context, claim client.Object) []reconcile.Request {
	name := claim.GetLabels()[naming.LabelWorkloadInstance]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: claim.GetNamespace(), Name: name}}}
}

// setsOnNode finds the sets that have pods on a Kubernetes node.
func (r *reconciler) setsOnNode(ctx context.Context, node client.Object) (out []reconcile.Request) {
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.MatchingLabels{naming.LabelWorkloadManagedBy: naming.WorkloadInstanceSet}); err != nil {
		return nil // each set with pods is looked at every few seconds anyway
	}
	seen := map[types.NamespacedName]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[naming.LabelWorkloadInstance]}
		if pod.Spec.NodeName == node.GetName() && !seen[key] {
			seen[key] = true
			out = append(out, reconcile.Request{NamespacedName: key})
		}
	}
	return out
}

// readinessChanged passes on changes of nodes that matter: they send signs of life all the time.
func readinessChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*corev1.Node)
			now, too := e.ObjectNew.(*corev1.Node)
			return ok && too && nodeReady(before) != nodeReady(now)
		},
	}
}

func nodeReady(n *corev1.Node) bool {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			return n.Status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

type reconciler struct {
	client client.Client
	// live reads past the cache.
	live   client.Reader
	events recorder.EventRecorder
	o      Options
	now    func() time.Time
}

func newReconciler(c client.Client, live client.Reader, events recorder.EventRecorder, o Options) *reconciler {
	if o.ClusterDomain == "" {
		o.ClusterDomain = naming.ClusterDomain
	}
	if o.NodeLostAfter <= 0 {
		o.NodeLostAfter = usualNodeLostAfter
	}
	return &reconciler{client: c, live: live, events: events, o: o, now: time.Now}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	round := &round{r: r, key: req.NamespacedName, answers: map[Question]Answer{}}
	d, err := round.decide(ctx, r.client)
	if err == nil && d.Disruptive() {
		// What is taken away is decided on what is there now, not on what the cache had: else, after a pod
		// was taken down, the next one might be before the first is seen to be.
		d, err = round.decide(ctx, r.live)
	}
	if apierrors.IsNotFound(err) && round.observed == nil {
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("instance set %s: %w", req.NamespacedName, err)
	}
	if err := round.apply(ctx, &d); err != nil {
		if apierrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: soon}, nil // the cache is behind
		}
		return reconcile.Result{}, fmt.Errorf("instance set %s: %w", req.NamespacedName, err)
	}
	return reconcile.Result{RequeueAfter: d.Requeue}, nil
}

// round is one look at one set.
type round struct {
	r        *reconciler
	key      types.NamespacedName
	observed *Observed
	// nodes says how nodes are reached, nodesErr why that isn't known.
	nodes    *nodes.Component
	nodesErr error
	roles    map[string]nodes.Role
	answers  map[Question]Answer
}

// decide looks, asks and plans.
func (r *round) decide(ctx context.Context, reader client.Reader) (Decision, error) {
	var err error
	if r.observed, err = r.observe(ctx, reader); err != nil {
		r.observed = nil
		return Decision{}, err
	}
	for range mostPasses {
		d, err := Plan(r.observed)
		if err != nil || len(d.Ask) == 0 {
			return d, err
		}
		for _, q := range d.Ask {
			r.answers[q] = r.answer(ctx, q)
		}
	}
	return Decision{}, errors.New("the plan asks again and again")
}

// observe reads all that a plan is made from.
func (r *round) observe(ctx context.Context, reader client.Reader) (*Observed, error) {
	o := &Observed{
		Now: r.r.now(), Set: &workloadsv1.InstanceSet{}, NodeLostAfter: r.r.o.NodeLostAfter, ClusterDomain: r.r.o.ClusterDomain, Answers: r.answers,
	}
	if err := reader.Get(ctx, r.key, o.Set); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	if o.Set.Spec.Paused && o.Set.DeletionTimestamp == nil {
		return o, nil
	}
	if err := errors.Join(r.objects(ctx, reader, o), r.cluster(ctx, reader, o)); err != nil {
		return nil, err
	}
	if r.roles == nil {
		r.reach(ctx, o)
		r.roles = r.askRoles(ctx, o)
	}
	o.Roles = r.roles
	return o, nil
}

// objects reads pods, claims, nodes and volumes.
func (r *round) objects(ctx context.Context, reader client.Reader, o *Observed) error {
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(r.key.Namespace), client.MatchingLabels(o.Set.Spec.Selector.MatchLabels)); err != nil {
		return fmt.Errorf("list its pods: %w", err)
	}
	for i := range pods.Items {
		if metav1.IsControlledBy(&pods.Items[i], o.Set) {
			o.Pods = append(o.Pods, pods.Items[i])
		}
	}
	var claims corev1.PersistentVolumeClaimList
	if err := reader.List(ctx, &claims, client.InNamespace(r.key.Namespace), client.MatchingLabels{naming.LabelWorkloadInstance: o.Set.Name}); err != nil {
		return fmt.Errorf("list its claims: %w", err)
	}
	o.Claims = claims.Items
	var list corev1.NodeList
	if err := reader.List(ctx, &list); err != nil {
		return fmt.Errorf("list the Kubernetes nodes: %w", err)
	}
	o.Nodes = list.Items
	return r.volumes(ctx, o)
}

// cluster reads the cluster of a set that was deleted, which says what becomes of the claims.
func (r *round) cluster(ctx context.Context, reader client.Reader, o *Observed) error {
	if o.Set.DeletionTimestamp == nil {
		return nil
	}
	component, cluster := &appsv1.Component{}, &appsv1.Cluster{}
	for _, one := range []struct{ owned, owner client.Object }{{o.Set, component}, {component, cluster}} {
		ref := metav1.GetControllerOf(one.owned)
		if ref == nil {
			return nil
		}
		err := reader.Get(ctx, types.NamespacedName{Namespace: r.key.Namespace, Name: ref.Name}, one.owner)
		if apierrors.IsNotFound(err) || err == nil && one.owner.GetUID() != ref.UID {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read its %s %s: %w", ref.Kind, ref.Name, err)
		}
	}
	o.Cluster = cluster
	return nil
}

// volumes reads those of pods that can't be scheduled, past the cache: it need not hold all volumes for
// the few that matter.
func (r *round) volumes(ctx context.Context, o *Observed) error {
	pending := map[string]bool{}
	for i := range o.Pods {
		if o.Pods[i].Spec.NodeName == "" && o.Pods[i].Status.Phase == corev1.PodPending {
			pending[o.Pods[i].Name] = true
		}
	}
	for i := range o.Claims {
		name := o.Claims[i].Spec.VolumeName
		if name == "" || !pending[o.Claims[i].Labels[naming.LabelPodName]] {
			continue
		}
		v := &corev1.PersistentVolume{}
		if err := r.r.live.Get(ctx, types.NamespacedName{Name: name}, v); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return fmt.Errorf("read the volume %s: %w", name, err)
		}
		if o.Volumes == nil {
			o.Volumes = map[string]*corev1.PersistentVolume{}
		}
		o.Volumes[name] = v
	}
	return nil
}

// askRoles asks the agents of all pods that run.
func (r *round) askRoles(ctx context.Context, o *Observed) map[string]nodes.Role {
	out := map[string]nodes.Role{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(mostAsked)
	for i := range o.Pods {
		pod := &o.Pods[i]
		if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" || o.Set.DeletionTimestamp != nil {
			continue
		}
		g.Go(func() error {
			role, err := r.r.o.Nodes.Role(ctx, r.nodes, nodes.Pod{Name: pod.Name, IP: pod.Status.PodIP, FQDN: r.fqdn(pod.Name)})
			if err == nil { // who doesn't answer has no role to tell
				mu.Lock()
				out[pod.Name] = role
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	return out
}

func (r *round) fqdn(pod string) string {
	return naming.InstanceFQDN(r.key.Name, pod, r.key.Namespace, r.r.o.ClusterDomain)
}
