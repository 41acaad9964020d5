package component

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

func url(n int) string {
	return fmt.Sprintf("http://%s-%d.%s-headless.demo.svc.cluster.local:6335", set, n, set)
}

// TestAClusterIsMade: from nothing to Running; then nothing is written any more.
func TestAClusterIsMade(t *testing.T) {
	w := newWorld(t, "")
	_, err := w.round()
	require.NoError(t, err)
	require.Equal(t, set+"-0", w.component().Status.Bootstrap.Founder)
	require.Equal(t, set+"-0", w.set().Annotations[naming.AnnotationFounding])
	require.Equal(t, map[string]string{set + "-0": ""}, w.bootstrap())
	require.Equal(t, appsv1.ComponentCreating, w.phase())

	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())
	require.Equal(t, "cluster-1", w.component().Status.Bootstrap.ClusterID)
	require.NotContains(t, w.set().Annotations, naming.AnnotationFounding)
	require.Equal(t, url(1), w.bootstrap()[set+"-0"])
	require.Equal(t, url(0), w.bootstrap()[set+"-2"])
	require.Contains(t, w.bootstrap(), set+"-5", "some to spare")
	require.Equal(t, metav1.ConditionTrue, w.condition(appsv1.ConditionAvailable).Status)
	require.Contains(t, w.events, "Founded")

	before := w.writes
	for range 3 {
		result, err := w.round()
		require.NoError(t, err)
		require.Equal(t, atRest, result.RequeueAfter)
	}
	require.Equal(t, before, w.writes, "a component at rest is not written to")
}

// TestWritesThatFail: whichever write fails, before or after it was done, the end is the same, and there is one cluster.
func TestWritesThatFail(t *testing.T) {
	made := 0
	scenario := func(w *world) {
		w.settle()
		made = max(made, w.writes)
		w.change(func(c *appsv1.Component) {
			c.Spec.Replicas = 2
			c.Spec.Configs = []appsv1.ComponentConfig{{Name: "qdrant-config-template", Variables: map[string]string{"telemetry_disabled": "false"}}}
			c.Spec.Services = []appsv1.ComponentService{{Name: "qdrant", PodService: new(true)}}
		})
		w.settle()
	}
	whole := newWorld(t, "replicas: 1")
	scenario(whole)
	want := whole.dump()
	for n := 1; n <= whole.writes; n++ {
		w := newWorld(t, "replicas: 1")
		w.fail, w.after = n, n%2 == 0
		scenario(w)
		require.Equal(t, want, w.dump(), "write %d of %d, done before it failed: %v", n, whole.writes, w.after)
		require.Equal(t, 1, w.founded)
	}
	for n := 1; n <= made; n += 2 { // the founding once more, the other way round
		w := newWorld(t, "replicas: 1")
		w.fail, w.after = n, true
		w.settle()
		require.Equal(t, appsv1.ComponentRunning, w.phase())
		require.Equal(t, 1, w.founded)
	}
}

// TestTheFoundersDiskIsLost: before an identity is recorded another cluster is founded, as nobody else knew the first; after that
// none ever is.
func TestTheFoundersDiskIsLost(t *testing.T) {
	lose := func(w *world) { delete(w.disks, set+"-0") }
	t.Run("at any moment", func(t *testing.T) {
		for steps := range 6 {
			w := newWorld(t, "replicas: 1")
			recorded := false
			for i := range 7 {
				if i == steps {
					lose(w)
					recorded = founded(&Observed{Component: w.component()})
				}
				_, err := w.round()
				require.NoError(t, err)
				w.run()
			}
			w.settle()
			b := w.component().Status.Bootstrap
			require.NotEmpty(t, b.ClusterID)
			if recorded {
				require.Empty(t, w.disks[set+"-0"], "lost after %d steps: it joins, and nobody is there", steps)
				require.Equal(t, metav1.ConditionFalse, w.condition(appsv1.ConditionAvailable).Status)
			} else {
				require.Equal(t, w.disks[set+"-0"], b.ClusterID, "lost after %d steps", steps)
			}
		}
	})
	t.Run("between the answer and the record", func(t *testing.T) {
		w := newWorld(t, "")
		_, err := w.round()
		require.NoError(t, err)
		w.run() // cluster-1
		_, err = w.round()
		require.NoError(t, err)
		require.Empty(t, w.bootstrap(), "no pod may found while the identity is being recorded")
		lose(w)
		w.run()
		w.settle()
		require.Equal(t, "cluster-2", w.component().Status.Bootstrap.ClusterID)
		require.Equal(t, appsv1.ComponentRunning, w.phase())
	})
	t.Run("later", func(t *testing.T) {
		w := newWorld(t, "")
		w.settle()
		lose(w)
		w.settle()
		require.Equal(t, 1, w.founded)
		require.Equal(t, "cluster-1", w.disks[set+"-0"])
		require.Equal(t, appsv1.ComponentRunning, w.phase())
	})
	t.Run("all disks", func(t *testing.T) {
		w := newWorld(t, "")
		w.settle()
		clear(w.disks)
		w.settle()
		require.Equal(t, 1, w.founded)
		require.Equal(t, metav1.ConditionFalse, w.condition(appsv1.ConditionAvailable).Status)
	})
}

// TestAComponentThatIsMadeAnewFoundsNothing: somebody deleted it, and a disk was lost in between. The Cluster remembers, and the other
// disks do.
func TestAComponentThatIsMadeAnewFoundsNothing(t *testing.T) {
	cluster := &appsv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "qdrant-cluster", UID: "uid"}}
	was := &appsv1.Bootstrap{Founder: set + "-0", ClusterID: "cluster-1"}
	cluster.Status.Components = map[string]appsv1.ClusterComponentStatus{"qdrant": {Bootstrap: was}}
	w := newWorld(t, "", cluster)
	w.change(func(c *appsv1.Component) {
		c.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(cluster, appsv1.GroupVersion.WithKind("Cluster"))}
	})
	w.disks[set+"-1"], w.disks[set+"-2"] = "cluster-1", "cluster-1"
	w.settle()
	require.Equal(t, was, w.component().Status.Bootstrap)
	require.Zero(t, w.founded)
	require.Equal(t, "cluster-1", w.disks[set+"-0"])
	require.Equal(t, appsv1.ComponentRunning, w.phase())
}

// TestTheFounderStaysUntilItHasFounded: nobody else may.
func TestTheFounderStaysUntilItHasFounded(t *testing.T) {
	w := newWorld(t, "")
	_, err := w.round()
	require.NoError(t, err)
	w.change(func(c *appsv1.Component) { c.Spec.OfflineInstances = []string{set + "-0"} })
	_, err = w.round()
	require.NoError(t, err)
	require.Contains(t, w.component().Status.Message["Component/"+set], set+"-0 founds the cluster")
	w.change(func(c *appsv1.Component) { c.Spec.OfflineInstances = nil })
	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())
	w.change(func(c *appsv1.Component) { c.Spec.OfflineInstances, c.Spec.Replicas = []string{set + "-0"}, 2 })
	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())
	require.Contains(t, w.bootstrap(), set+"-0", "it may come back")
}

// TestJoiningFollowsReadyPods: an entry stays while its pod is ready.
func TestJoiningFollowsReadyPods(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	before := w.bootstrap()
	w.dead[set+"-2"] = true
	w.settle()
	require.Equal(t, before, w.bootstrap(), "nobody was to join it")
	w.dead[set+"-0"] = true
	w.settle()
	require.Equal(t, url(1), w.bootstrap()[set+"-2"])
	w.dead[set+"-1"] = true
	w.settle()
	require.Equal(t, url(1), w.bootstrap()[set+"-2"], "none is ready: it stays")
	clear(w.dead)
	w.settle()
	require.Equal(t, url(1), w.bootstrap()[set+"-2"], "it is ready again: it stays")
	require.Equal(t, appsv1.ComponentRunning, w.phase())
}

// TestAForeignNode: a node of another cluster never counts, and nobody joins it.
func TestAForeignNode(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	w.disks[set+"-0"] = "another"
	w.settle()
	require.Equal(t, appsv1.ComponentFailed, w.phase())
	require.Contains(t, w.component().Status.Message["Pod/"+set+"-0"], "belongs to the cluster another")
	require.Equal(t, "ForeignCluster", w.condition(appsv1.ConditionHealthy).Reason)
	require.Equal(t, metav1.ConditionTrue, w.condition(appsv1.ConditionAvailable).Status, "two of three are there")
	require.Equal(t, url(1), w.bootstrap()[set+"-2"])
	require.Contains(t, w.events, "ForeignCluster")
	w.disks[set+"-1"] = "another"
	w.settle()
	require.Equal(t, metav1.ConditionFalse, w.condition(appsv1.ConditionAvailable).Status)
}

// TestScalingChangesNoPod: files, keys and the template of the pods stay, the entries follow.
func TestScalingChangesNoPod(t *testing.T) {
	for _, replicas := range []int32{1, 3} {
		w := newWorld(t, fmt.Sprintf("replicas: %d", replicas))
		w.settle()
		before, files := w.set().Spec.Template, get[corev1.ConfigMap](w, "demo", configMap).Data
		w.change(func(c *appsv1.Component) { c.Spec.Replicas = 5 })
		_, err := w.round()
		require.NoError(t, err)
		require.Equal(t, appsv1.ComponentUpdating, w.phase())
		w.settle()
		require.Equal(t, before, w.set().Spec.Template)
		require.Equal(t, files, get[corev1.ConfigMap](w, "demo", configMap).Data)
		require.Equal(t, "5", get[corev1.ConfigMap](w, "demo", set+"-env").Data["COMP_REPLICA_COUNT"])
		require.Contains(t, w.bootstrap(), set+"-7")
		require.Equal(t, appsv1.ComponentRunning, w.phase())
	}
}

// TestConfigurationReplacesPods: a variable changes the template, once.
func TestConfigurationReplacesPods(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	before := w.set().Spec.Template
	w.change(func(c *appsv1.Component) {
		c.Spec.Configs = []appsv1.ComponentConfig{{Name: "qdrant-config-template", Variables: map[string]string{"telemetry_disabled": "false"}}}
	})
	w.settle()
	require.NotEqual(t, before.Annotations, w.set().Spec.Template.Annotations)
	require.Contains(t, get[corev1.ConfigMap](w, "demo", configMap).Data["config.yaml"], "telemetry: false")
	require.Equal(t, appsv1.ComponentRunning, w.phase())
}

// TestRefusedSpecs: all stays as it was, and the status says why.
func TestRefusedSpecs(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	before := w.set()
	w.change(func(c *appsv1.Component) { c.Spec.Services = []appsv1.ComponentService{{Name: "nonesuch"}} })
	w.settle()
	require.Equal(t, before, w.set())
	status := w.component().Status
	require.Equal(t, int64(1), status.ObservedGeneration, "it speaks of the spec that is followed")
	require.Equal(t, appsv1.ComponentRunning, status.Phase)
	require.Contains(t, status.Message["Component/"+set], "services[nonesuch]")
	require.Equal(t, "SpecRefused", w.condition(appsv1.ConditionProvisioningStarted).Reason)
	w.change(func(c *appsv1.Component) { c.Spec.Services = nil })
	w.settle()
	require.Empty(t, w.component().Status.Message)
	require.Equal(t, int64(3), w.component().Status.ObservedGeneration)
}

// TestStopAndStart: no pods, but all else.
func TestStopAndStart(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	w.change(func(c *appsv1.Component) { c.Spec.Stop = new(true) })
	_, err := w.round()
	require.NoError(t, err)
	require.Equal(t, appsv1.ComponentStopping, w.phase())
	w.settle()
	require.Equal(t, appsv1.ComponentStopped, w.phase())
	require.Empty(t, w.pods())
	require.Equal(t, "Stopped", w.condition(appsv1.ConditionAvailable).Reason)
	get[corev1.Service](w, "demo", set)
	delete(w.disks, set+"-0") // its claim was lost meanwhile
	w.change(func(c *appsv1.Component) { c.Spec.Stop = nil })
	_, err = w.round()
	require.NoError(t, err)
	require.Equal(t, appsv1.ComponentStarting, w.phase())
	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())
	require.Equal(t, 1, w.founded)
	require.Equal(t, "cluster-1", w.disks[set+"-0"])
}

// TestFailures: what can't end by waiting is Failed, with the words of the InstanceSet.
func TestFailures(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	its := w.set()
	its.Status.Conditions = []metav1.Condition{{
		Type: workloadsv1.ConditionInstanceFailure, Status: metav1.ConditionTrue, Reason: "ImagePull", Message: "pod x can't pull its image",
	}}
	require.NoError(t, w.raw.Status().Update(t.Context(), its))
	w.settle()
	require.Equal(t, appsv1.ComponentFailed, w.phase())
	require.Equal(t, "pod x can't pull its image", w.component().Status.Message["InstanceSet/"+set])
	require.Equal(t, metav1.ConditionTrue, w.condition(appsv1.ConditionAvailable).Status)

	its = w.set()
	its.Status.Conditions = nil
	require.NoError(t, w.raw.Status().Update(t.Context(), its))
	w.settle()
	require.Equal(t, appsv1.ComponentRunning, w.phase())

	w.stuck = true
	pod := get[corev1.Pod](w, "demo", set+"-1")
	delete(pod.Labels, naming.LabelRole)
	require.NoError(t, w.raw.Update(t.Context(), pod))
	result, err := w.round()
	require.NoError(t, err)
	require.LessOrEqual(t, result.RequeueAfter, noRoleFor)
	w.now = w.now.Add(noRoleFor)
	w.settle()
	require.Equal(t, appsv1.ComponentFailed, w.phase())
	require.Equal(t, "NoRole", w.condition(appsv1.ConditionHealthy).Reason)
}

// TestPodServicesComeAndGo: services that aren't wanted any more are removed, those of others stay.
func TestPodServicesComeAndGo(t *testing.T) {
	theirs := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "theirs", Labels: naming.ComponentLabels(naming.Owner{Cluster: "qdrant-cluster", Component: "qdrant"}),
	}}
	w := newWorld(t, "services: [{name: qdrant, podService: true}]", theirs)
	w.settle()
	services := func() (names []string) {
		list := &corev1.ServiceList{}
		require.NoError(t, w.raw.List(t.Context(), list, client.InNamespace("demo")))
		for i := range list.Items {
			names = append(names, strings.TrimPrefix(list.Items[i].Name, set))
		}
		return names
	}
	require.Equal(t, []string{"", "-headless", "-qdrant-0", "-qdrant-1", "-qdrant-2", "theirs"}, services())
	w.change(func(c *appsv1.Component) { c.Spec.Replicas = 2 })
	w.settle()
	require.Equal(t, []string{"", "-headless", "-qdrant-0", "-qdrant-1", "theirs"}, services())
	w.change(func(c *appsv1.Component) { c.Spec.Services = nil })
	w.settle()
	require.Equal(t, []string{"", "-headless", "-qdrant", "theirs"}, services())
}

// TestDeletion: the instances go first.
func TestDeletion(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	its := w.set()
	its.Finalizers = []string{naming.FinalizerInstanceSet}
	require.NoError(t, w.raw.Update(t.Context(), its))
	require.NoError(t, w.raw.Delete(t.Context(), w.component()))
	w.settle()
	require.Equal(t, appsv1.ComponentDeleting, w.phase())
	its = w.set()
	require.NotNil(t, its.DeletionTimestamp)
	its.Finalizers = nil
	require.NoError(t, w.raw.Update(t.Context(), its))
	_, err := w.round()
	require.NoError(t, err)
	require.Error(t, w.raw.Get(t.Context(), client.ObjectKeyFromObject(its), &appsv1.Component{}), "it is gone")
}

// TestAKeyChanges: at every moment the operator's key is one that every node knows.
func TestAKeyChanges(t *testing.T) {
	w := newWorld(t, "")
	w.settle()
	give := func(key string) {
		w.change(func(c *appsv1.Component) {
			c.Spec.Configs = nil
			if key != "" {
				c.Spec.Configs = []appsv1.ComponentConfig{{Name: "qdrant-config-template", Variables: map[string]string{"service_api_key": key}}}
			}
		})
	}
	known := map[string][2]string{} // what a pod read when it started: nothing is a node that wants no key
	for _, key := range []string{"secret-1", "secret-2", "secret-3", ""} {
		give(key)
		for range 40 {
			_, err := w.round()
			require.NoError(t, err)
			w.learn(known)
			w.run()
			w.learn(known)
		}
		w.settle()
		require.Equal(t, appsv1.ComponentRunning, w.phase())
		for _, name := range w.pods() {
			require.Equal(t, [2]string{key, ""}, known[string(get[corev1.Pod](w, "demo", name).UID)+name], "the old key is forgotten")
		}
	}
	require.NotContains(t, w.dump(), "secret-", "neither in files nor left behind")
}

// learn notes which keys pods read at their start, and checks that all know that of the operator.
func (w *world) learn(known map[string][2]string) {
	w.t.Helper()
	secret := &corev1.Secret{}
	err := w.raw.Get(w.t.Context(), client.ObjectKey{Namespace: "demo", Name: set + "-api-key"}, secret)
	for _, name := range w.pods() {
		pod := get[corev1.Pod](w, "demo", name)
		hash := pod.Annotations[naming.AnnotationConfigHash]
		if known["hash "+name][0] != hash {
			known["hash "+name] = [2]string{hash}
			known[name] = [2]string{}
			if strings.Contains(fmt.Sprint(w.set().Spec.Template.Spec.Containers[0].Env), "-api-key") {
				known[name] = [2]string{string(secret.Data["api-key"]), string(secret.Data["alt-api-key"])}
			}
		}
		if keys := known[name]; keys[0] != "" && err == nil {
			require.Contains(w.t, keys[:], string(secret.Data["api-key"]))
		} else if keys[0] != "" {
			require.Fail(w.t, "the operator has no key for "+name)
		}
	}
}
