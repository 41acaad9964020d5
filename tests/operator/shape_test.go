package operator_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	operationsv1alpha1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

// Checks 1, 2, 3, 5, 11, 12, 13: how what a user applies looks.

func Test01Hierarchy(t *testing.T) {
	b := newBed(t, 3)
	b.apply()
	b.phase(appsv1.ClusterRunning)
	cluster, err := b.cluster()
	require.NoError(t, err)
	component, err := b.component()
	require.NoError(t, err)
	its, err := b.its()
	require.NoError(t, err)
	ownedBy := func(o, owner client.Object) {
		require.True(t, metav1.IsControlledBy(o, owner), "%s is owned by %v, not by %s", o.GetName(), o.GetOwnerReferences(), owner.GetName())
	}
	ownedBy(component, cluster)
	ownedBy(its, component)
	pods, err := b.pods()
	require.NoError(t, err)
	require.Equal(t, ordinals(podName, 0, 1, 2), names(pods))
	claims, err := b.claims()
	require.NoError(t, err)
	require.Equal(t, ordinals(claimName, 0, 1, 2), names(claims))
	for _, c := range claims {
		require.Equal(t, "20Gi", c.Spec.Resources.Requests.Storage().String())
		require.Equal(t, "local", *c.Spec.StorageClassName, "an empty class is the default one")
	}
	for _, p := range pods {
		ownedBy(p, its)
		mounts := p.Spec.Containers[0].VolumeMounts
		i := slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/qdrant/storage" })
		require.GreaterOrEqual(t, i, 0)
		v := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mounts[i].Name })
		require.Equal(t, "data-"+p.Name, p.Spec.Volumes[v].PersistentVolumeClaim.ClaimName)
	}
	id := component.Status.Bootstrap.ClusterID
	require.NotEmpty(t, id)
	require.Equal(t, id, b.world.ClusterID(), "the identity that is recorded is the one that was founded")
	require.Equal(t, podName(0), component.Status.Bootstrap.Founder)
}

func Test02Containers(t *testing.T) {
	b := newBed(t, 3)
	b.runs(1)
	shape := func() []string {
		pods, err := b.pods()
		require.NoError(t, err)
		var all []string
		if pods[podName(0)] == nil {
			return nil // it is being replaced
		}
		for _, c := range pods[podName(0)].Spec.Containers {
			line := []string{c.Name}
			for _, p := range c.Ports {
				line = append(line, strconv.Itoa(int(p.ContainerPort)))
			}
			all = append(all, strings.Join(line, " "))
		}
		return all
	}
	require.Equal(t, []string{"qdrant 6333 6334 6335", "kbagent 5001", "metrics-exporter 9187"}, shape())
	pods, err := b.pods()
	require.NoError(t, err)
	for _, s := range pods[podName(0)].Status.ContainerStatuses {
		require.True(t, s.Ready, s.Name)
	}
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].DisableExporter = new(true) })
	b.eventually("no exporter", func() (string, error) {
		if all := shape(); !slices.Equal(all, []string{"qdrant 6333 6334 6335", "kbagent 5001"}) {
			return fmt.Sprint(all), nil
		}
		return "", nil
	})
	b.phase(appsv1.ClusterRunning)
}

// roles are the pods by the role in their label.
func (b *bed) roles() (map[string][]string, error) {
	pods, err := b.pods()
	all := map[string][]string{}
	for _, name := range names(pods) {
		role := pods[name].Labels[naming.LabelRole]
		all[role] = append(all[role], name)
	}
	return all, err
}

func Test03ExactlyOneLeader(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	leads := func() {
		b.eventually("the label of the leader", func() (string, error) {
			roles, err := b.roles()
			if l := roles["leader"]; len(l) == 1 && l[0] == b.world.Leader() && len(roles["follower"]) == 2 {
				return "", err
			}
			return fmt.Sprintf("%s leads, labels say %v", b.world.Leader(), roles), err
		})
	}
	leads()
	before := b.world.Leader()
	require.NoError(t, b.machines.Crash(b.ctx, before))
	b.eventually("another leader", func() (string, error) {
		if now := b.world.Leader(); now == before || now == "" {
			return now, nil
		}
		return "", nil
	})
	leads()
}

func Test05Services(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	var list corev1.ServiceList
	require.NoError(t, b.c.List(b.ctx, &list, client.InNamespace(b.ns), client.MatchingLabels{naming.LabelInstance: clusterName}))
	have := map[string][]int32{}
	for i := range list.Items {
		s := &list.Items[i]
		for _, p := range s.Spec.Ports {
			have[s.Name] = append(have[s.Name], p.Port)
		}
		if s.Name == set+"-headless" {
			require.Equal(t, corev1.ClusterIPNone, s.Spec.ClusterIP)
			require.True(t, s.Spec.PublishNotReadyAddresses, "pods find each other before they are ready")
		} else {
			require.Equal(t, corev1.ServiceTypeClusterIP, s.Spec.Type)
			require.NotContains(t, have[s.Name], int32(6335), "the port between nodes is not for clients")
		}
		pods, err := b.pods()
		require.NoError(t, err)
		for _, p := range pods {
			for key, value := range s.Spec.Selector {
				require.Equal(t, value, p.Labels[key], "service %s reaches pod %s", s.Name, p.Name)
			}
			require.Equal(t, set+"-headless", p.Spec.Subdomain)
			require.Equal(t, p.Name, p.Spec.Hostname)
		}
	}
	require.ElementsMatch(t, []int32{6333, 6334}, have[set])
	require.ElementsMatch(t, []int32{6333, 6334}, have[set+"-qdrant"])
	require.Subset(t, have[set+"-headless"], []int32{6333, 6334, 6335})
}

// columns are what kubectl get prints of an object, by column.
func (b *bed) columns(o client.Object) map[string]any {
	b.t.Helper()
	gvk, err := apiutil.GVKForObject(o, plane.scheme)
	require.NoError(b.t, err)
	mapping, err := b.c.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	require.NoError(b.t, err)
	h, err := rest.HTTPClientFor(plane.config)
	require.NoError(b.t, err)
	r, err := apiutil.RESTClientForGVK(gvk, false, false, plane.config, serializer.NewCodecFactory(plane.scheme), h)
	require.NoError(b.t, err)
	request := r.Get().Resource(mapping.Resource.Resource).Name(o.GetName())
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		request = request.Namespace(b.ns)
	}
	raw, err := request.SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(b.ctx).Raw()
	require.NoError(b.t, err)
	var table metav1.Table
	require.NoError(b.t, json.Unmarshal(raw, &table))
	require.Len(b.t, table.Rows, 1)
	all := map[string]any{}
	for i, c := range table.ColumnDefinitions {
		all[strings.ToUpper(c.Name)] = table.Rows[0].Cells[i]
	}
	return all
}

func Test10DefinitionsAreAvailable(t *testing.T) {
	b := newBed(t, 0)
	for _, check := range []struct {
		of                 client.Object
		name, column, want string
	}{
		{&appsv1.ClusterDefinition{}, "qdrant", "TOPOLOGIES", "cluster"},
		{&appsv1.ComponentDefinition{}, "qdrant-1.0.2", "SERVICE-VERSION", "1.10.0"},
		{&appsv1.ComponentVersion{}, "qdrant", "VERSIONS", "1.15.0,1.14.0,1.13.4,1.10.0"},
	} {
		check.of.SetName(check.name)
		b.eventually(check.name+" available", func() (string, error) {
			have := b.columns(check.of)
			if have["STATUS"] == "Available" && have[check.column] == check.want {
				return "", nil
			}
			return fmt.Sprint(have), nil
		})
	}
}

func Test11QuickstartPhasesAndColumns(t *testing.T) {
	b := newBed(t, 3)
	watched, err := client.NewWithWatch(plane.config, client.Options{Scheme: plane.scheme})
	require.NoError(t, err)
	w, err := watched.Watch(b.ctx, &appsv1.ClusterList{}, client.InNamespace(b.ns))
	require.NoError(t, err)
	seen := sample.PhasesUntil(w, appsv1.ClusterRunning)
	b.apply()
	b.phase(appsv1.ClusterRunning)
	require.Equal(t, []appsv1.ClusterPhase{appsv1.ClusterCreating, appsv1.ClusterRunning}, seen(t))
	cluster, err := b.cluster()
	require.NoError(t, err)
	have := b.columns(cluster)
	require.Equal(t, "qdrant", have["CLUSTER-DEFINITION"])
	require.Equal(t, "Delete", have["TERMINATION-POLICY"])
	require.Equal(t, "Running", have["STATUS"])
	component, err := b.component()
	require.NoError(t, err)
	have = b.columns(component)
	require.Equal(t, "qdrant-1.0.2", have["DEFINITION"])
	require.Equal(t, "1.10.0", have["SERVICE-VERSION"])
	its, err := b.its()
	require.NoError(t, err)
	have = b.columns(its)
	require.EqualValues(t, 3, have["DESIRED"])
	require.EqualValues(t, 3, have["READY"])
	require.EqualValues(t, 3, have["AVAILABLE"])
	require.EqualValues(t, 3, have["UP-TO-DATE"])
	for _, kind := range []string{appsv1.ConditionReady, appsv1.ConditionAvailable} {
		require.True(t, meta.IsStatusConditionTrue(cluster.Status.Conditions, kind), kind)
	}
}

func Test11UnknownVersionMakesNoPods(t *testing.T) {
	b := newBed(t, 3)
	b.apply(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "9.9.9" })
	b.eventually("the reason", func() (string, error) {
		c, err := b.cluster()
		if err != nil {
			return "", err
		}
		if p := meta.FindStatusCondition(c.Status.Conditions, appsv1.ConditionProvisioningStarted); p != nil &&
			p.Status == metav1.ConditionFalse && strings.Contains(p.Message, "9.9.9") && strings.Contains(p.Message, "1.14.0") {
			return "", nil
		}
		return conditions(c.Status.Conditions), nil
	})
	pods, err := b.pods()
	require.NoError(t, err)
	require.Empty(t, pods)
	// What is corrected goes on.
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.14.0" })
	b.phase(appsv1.ClusterRunning)
}

func Test12ExamplesApply(t *testing.T) {
	b := newBed(t, 0)
	dry := client.NewDryRunClient(b.c)
	err := filepath.WalkDir(filepath.Join(root, sample.Dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" || filepath.Base(filepath.Dir(path)) == "patches" {
			return err
		}
		objects, err := sample.Read(path)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if o.GetNamespace() != "" {
				o.SetNamespace(b.ns)
			}
			require.NoError(t, dry.Create(b.ctx, o), path)
		}
		return nil
	})
	require.NoError(t, err)
}

func Test13Deletion(t *testing.T) {
	for _, policy := range []appsv1.TerminationPolicy{appsv1.Delete, appsv1.WipeOut} {
		t.Run(string(policy), func(t *testing.T) {
			b := newBed(t, 3)
			b.runs(3, func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = policy })
			b.load()
			b.world.Stopping(true)
			c, err := b.cluster()
			require.NoError(t, err)
			require.NoError(t, b.c.Delete(b.ctx, c))
			b.gone()
		})
	}
	t.Run("only what it is made of", func(t *testing.T) {
		b := newBed(t, 3)
		b.runs(3)
		b.load()
		claims, err := b.claims()
		require.NoError(t, err)
		require.Len(t, claims, 3)
		b.world.Stopping(true)
		for _, part := range []func() (client.Object, error){
			func() (client.Object, error) { return b.its() },
			func() (client.Object, error) { return b.component() },
		} {
			o, err := part()
			require.NoError(t, err)
			require.NoError(t, b.c.Delete(b.ctx, o))
			b.eventually("another of its name", func() (string, error) {
				now, err := part()
				if err != nil || now.GetUID() == o.GetUID() {
					return "not yet", client.IgnoreNotFound(err)
				}
				return "", nil
			})
			b.whole()
			b.phase(appsv1.ClusterRunning)
			now, err := b.claims()
			require.NoError(t, err)
			for name, c := range claims {
				require.Equal(t, c.UID, now[name].UID)
			}
		}
		c, err := b.cluster()
		require.NoError(t, err)
		require.NoError(t, b.c.Delete(b.ctx, c))
		b.gone()
	})
	t.Run("DoNotTerminate", func(t *testing.T) {
		b := newBed(t, 3)
		b.runs(1, func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = appsv1.DoNotTerminate })
		c, err := b.cluster()
		require.NoError(t, err)
		require.NoError(t, b.c.Delete(b.ctx, c))
		b.eventually("the reason", func() (string, error) {
			var events corev1.EventList
			err := b.c.List(b.ctx, &events, client.InNamespace(b.ns))
			for i := range events.Items {
				if e := &events.Items[i]; e.InvolvedObject.Kind == "Cluster" && strings.Contains(e.Message, "DoNotTerminate") {
					return "", nil
				}
			}
			return fmt.Sprintf("%d events", len(events.Items)), err
		})
		pods, err := b.pods()
		require.NoError(t, err)
		require.Len(t, pods, 1)
		require.Nil(t, pods[podName(0)].DeletionTimestamp)
		// Nor does it help to begin with what it is made of.
		sample.DeletionRefused(t, b.c, c, client.PropagationPolicy(metav1.DeletePropagationForeground))
		sample.DeletionRefused(t, b.c, &appsv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: naming.Component(c.Name, "qdrant")}})
		// A policy that is changed lets it go.
		b.world.Stopping(true)
		b.patch("wipe-out.yaml")
		b.gone()
	})
}

// keyFromSecret has nodes take their key from a Secret, as in cluster-api-key.yaml.
func keyFromSecret(c *appsv1.Cluster) {
	c.Spec.ComponentSpecs[0].Env = []corev1.EnvVar{{Name: "QDRANT__SERVICE__API_KEY", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "qdrant-api-key"}, Key: "api-key"},
	}}}
}

func Test35KeyFromASecret(t *testing.T) {
	b := newBed(t, 4)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "qdrant-api-key"}, StringData: map[string]string{"api-key": "secret-word"}}
	require.NoError(t, b.c.Create(b.ctx, secret))
	b.runs(4, keyFromSecret)
	b.load()
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2)
	b.whole()
	var maps corev1.ConfigMapList
	require.NoError(t, b.c.List(b.ctx, &maps, client.InNamespace(b.ns)))
	var events corev1.EventList
	require.NoError(t, b.c.List(b.ctx, &events, client.InNamespace(b.ns)))
	require.NotContains(t, fmt.Sprint(maps.Items, events.Items), "secret-word")
}

// The nodes have the key before until each has been restarted, the operator has only the new one.
func Test35KeyOfASecretChanges(t *testing.T) {
	b := newBed(t, 3)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "qdrant-api-key"}, StringData: map[string]string{"api-key": "old-word"}}
	require.NoError(t, b.c.Create(b.ctx, secret))
	b.runs(3, keyFromSecret)
	b.redundant()
	secret.StringData = map[string]string{"api-key": "new-word"}
	require.NoError(t, b.c.Update(b.ctx, secret))
	before, err := b.pods()
	require.NoError(t, err)
	o := b.ends(b.op("restart.yaml"), operationsv1alpha1.OpsSucceed)
	require.Equal(t, "3/3", o.Status.Progress)
	b.phase(appsv1.ClusterRunning)
	b.replaced(before)
	require.Equal(t, 1, b.world.Load().Down, "nodes down at once")
	b.whole()
}

func Test36TLS(t *testing.T) {
	b := newBed(t, 4)
	b.runs(4, func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].TLS = true })
	b.load()
	pods, err := b.pods()
	require.NoError(t, err)
	require.Equal(t, corev1.URISchemeHTTPS, pods[podName(0)].Spec.Containers[0].ReadinessProbe.HTTPGet.Scheme)
	b.change(func(c *appsv1.Cluster) { replicas(3)(c) })
	b.phase(appsv1.ClusterRunning)
	b.consists(0, 1, 2)
	b.whole()
}

func Test38Disruption(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	var budgets policyv1.PodDisruptionBudgetList
	require.NoError(t, b.c.List(b.ctx, &budgets, client.InNamespace(b.ns)))
	require.Len(t, budgets.Items, 1)
	require.Equal(t, 1, budgets.Items[0].Spec.MaxUnavailable.IntValue())
	selector, err := metav1.LabelSelectorAsSelector(budgets.Items[0].Spec.Selector)
	require.NoError(t, err)
	pods, err := b.pods()
	require.NoError(t, err)
	for _, p := range pods {
		require.True(t, selector.Matches(labels.Set(p.Labels)))
		spread := p.Spec.Affinity != nil && p.Spec.Affinity.PodAntiAffinity != nil || len(p.Spec.TopologySpreadConstraints) > 0
		require.True(t, spread, "pods of one cluster keep apart where nothing else is said")
	}
}

func Test40OperatorRestartsAtRest(t *testing.T) {
	b := newBed(t, 3)
	b.runs(3)
	b.load()
	before := b.versions()
	operator.restart()
	// A change that isn't one of the pods' shows that the new operator has looked.
	b.change(func(c *appsv1.Cluster) {
		c.Spec.Services = []appsv1.ClusterService{{
			Name: "extra", ComponentSelector: componentName, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "tcp-qdrant", Port: 6333}}},
		}}
	})
	b.eventually("the new operator", func() (string, error) {
		var s corev1.Service
		err := b.c.Get(b.ctx, b.key(clusterName+"-extra"), &s)
		return "", err
	})
	b.phase(appsv1.ClusterRunning)
	require.Equal(t, before, b.versions(), "nothing was written that didn't change")
}

// versions are the versions of what runs.
func (b *bed) versions() map[string]string {
	b.t.Helper()
	all := map[string]string{}
	pods, err := b.pods()
	require.NoError(b.t, err)
	for name, p := range pods {
		all["pod "+name] = string(p.UID) + strconv.Itoa(int(p.Status.ContainerStatuses[0].RestartCount))
	}
	claims, err := b.claims()
	require.NoError(b.t, err)
	for name, c := range claims {
		all["claim "+name] = c.ResourceVersion
	}
	var maps corev1.ConfigMapList
	require.NoError(b.t, b.c.List(b.ctx, &maps, client.InNamespace(b.ns)))
	for i := range maps.Items {
		all["config "+maps.Items[i].Name] = maps.Items[i].ResourceVersion
	}
	return all
}
