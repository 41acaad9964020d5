package kubernetes_test

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
	"github.com/sextantdb/sextant/tests/operator/sample"
)

// Checks 10 to 13: from installing to cleaning up.

func Test10DefinitionsAreAvailable(t *testing.T) {
	b := newBed(t)
	b.eventually("ClusterDefinition qdrant", func() (string, error) {
		d := new(appsv1.ClusterDefinition)
		err := b.c.Get(b.ctx, client.ObjectKey{Name: "qdrant"}, d)
		return unavailable(d.Status.Phase, d.Status.Message), err
	})
	var definitions []string
	b.eventually("ComponentDefinitions", func() (string, error) {
		var list appsv1.ComponentDefinitionList
		err := b.c.List(b.ctx, &list)
		definitions = nil
		for i := range list.Items {
			d := &list.Items[i]
			if !strings.HasPrefix(d.Name, "qdrant-") {
				continue
			}
			if why := unavailable(d.Status.Phase, d.Status.Message); why != "" {
				return d.Name + ": " + why, err
			}
			definitions = append(definitions, d.Name)
		}
		if len(definitions) == 0 {
			return "there is none", err
		}
		return "", err
	})
	v := new(appsv1.ComponentVersion)
	b.eventually("ComponentVersion qdrant", func() (string, error) {
		err := b.c.Get(b.ctx, client.ObjectKey{Name: "qdrant"}, v)
		return unavailable(v.Status.Phase, v.Status.Message), err
	})
	listed := strings.Split(v.Status.ServiceVersions, ",")
	require.Subset(t, listed, []string{"1.10.0", "1.14.0"})
	require.True(t, slices.IsSortedFunc(listed, func(x, y string) int {
		if version.MustParseSemantic(x).LessThan(version.MustParseSemantic(y)) {
			return 1
		}
		return -1
	}), "the newest first: %v", listed)
	// What the documentation has users look at.
	require.ElementsMatch(t, definitions, strings.Split(v.Annotations[naming.AnnotationCompatibleDefinitions], ","))
	for _, r := range v.Spec.Releases {
		require.NotEmpty(t, r.Images["qdrant"], "release %s", r.Name)
	}
}

// unavailable says what is the matter with a definition.
func unavailable(phase appsv1.DefinitionPhase, message string) string {
	if phase == appsv1.DefinitionAvailable {
		return ""
	}
	return fmt.Sprintf("it is %q: %s", phase, message)
}

// The example as it is, with its empty storage class: Creating, then Running, and nothing else.
func Test11Quickstart(t *testing.T) {
	b := newBed(t)
	watcher, err := client.NewWithWatch(place.config, client.Options{Scheme: place.scheme})
	require.NoError(t, err)
	w, err := watcher.Watch(b.ctx, &appsv1.ClusterList{}, client.InNamespace(demo))
	require.NoError(t, err)
	seen := sample.PhasesUntil(w, appsv1.ClusterRunning)
	b.runs(3)
	require.Equal(t, []appsv1.ClusterPhase{appsv1.ClusterCreating, appsv1.ClusterRunning}, seen(t))
	c, err := b.cluster()
	require.NoError(t, err)
	for _, kind := range []string{
		appsv1.ConditionProvisioningStarted, appsv1.ConditionApplyResources, appsv1.ConditionReady, appsv1.ConditionAvailable,
	} {
		require.True(t, meta.IsStatusConditionTrue(c.Status.Conditions, kind), kind)
	}
	claims, err := b.claims()
	require.NoError(t, err)
	for name, claim := range claims {
		require.NotEmpty(t, *claim.Spec.StorageClassName, name)
		require.Equal(t, "20Gi", claim.Spec.Resources.Requests.Storage().String())
	}
	// Every pod is another way to the same version.
	for name := range b.mustPods() {
		out, err := inPod(t.Context(), name, "kbagent", "curl", "-s", "http://127.0.0.1:6333")
		require.NoError(t, err)
		require.Contains(t, out, "1.10.0")
	}
}

func Test11UnknownVersionMakesNoPods(t *testing.T) {
	b := newBed(t)
	c := sample.One[appsv1.Cluster](t, place.root, "cluster.yaml", demo)
	c.Spec.ComponentSpecs[0].ServiceVersion = "9.9.9"
	require.NoError(t, b.c.Create(b.ctx, c))
	b.eventually("the reason", func() (string, error) {
		c, err := b.cluster()
		p := meta.FindStatusCondition(c.Status.Conditions, appsv1.ConditionProvisioningStarted)
		if p != nil && p.Status == metav1.ConditionFalse && p.Reason == "ServiceVersionNotFound" &&
			strings.Contains(p.Message, "9.9.9") && strings.Contains(p.Message, "1.14.0") {
			return "", err
		}
		return fmt.Sprintf("%+v", p), err
	})
	require.Empty(t, b.mustPods())
	b.change(func(c *appsv1.Cluster) { c.Spec.ComponentSpecs[0].ServiceVersion = "1.14.0" })
	b.phase(appsv1.ClusterRunning)
	require.Len(t, b.mustPods(), 3)
}

// Every manifest of the examples passes strict validation.
func Test12ExamplesApply(t *testing.T) {
	b := newBed(t)
	dry := client.NewDryRunClient(b.c)
	applied := 0
	err := filepath.WalkDir(filepath.Join(place.root, sample.Dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" || filepath.Base(filepath.Dir(path)) == "patches" {
			return err
		}
		objects, err := sample.Read(path)
		if err != nil {
			return err
		}
		for _, o := range objects {
			require.NoError(t, dry.Create(b.ctx, o), path)
			applied++
		}
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, applied)
}

// backups makes backups of the cluster, as they would be if some had been made: nothing makes any yet.
func (b *bed) backups(cluster *appsv1.Cluster) {
	b.t.Helper()
	for _, one := range []struct {
		name, keep string
		phase      dataprotectionv1alpha1.BackupPhase
	}{
		{"completed", "Delete", dataprotectionv1alpha1.BackupCompleted},
		{"retained", "Retain", dataprotectionv1alpha1.BackupCompleted},
		{"failed", "Delete", dataprotectionv1alpha1.BackupFailed},
	} {
		backup := &dataprotectionv1alpha1.Backup{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: demo, Name: one.name,
				Labels: map[string]string{naming.LabelManagedBy: naming.ManagedBy, naming.LabelInstance: clusterName, naming.LabelClusterUID: string(cluster.UID)},
			},
			Spec: dataprotectionv1alpha1.BackupSpec{
				BackupPolicyName: naming.BackupPolicy(clusterName, componentName), BackupMethod: "datafile", DeletionPolicy: one.keep,
			},
		}
		require.NoError(b.t, b.c.Create(b.ctx, backup))
		b.t.Cleanup(func() { require.NoError(b.t, client.IgnoreNotFound(b.c.Delete(b.ctx, backup))) })
		backup.Status.Phase = one.phase
		require.NoError(b.t, b.c.Status().Update(b.ctx, backup))
	}
}

func Test13Deletion(t *testing.T) {
	for policy, stays := range map[appsv1.TerminationPolicy][]string{
		appsv1.Delete: {"completed", "retained"}, appsv1.WipeOut: {"retained"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			b := newBed(t)
			b.runs(3, func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = policy })
			c, err := b.cluster()
			require.NoError(t, err)
			b.backups(c)
			require.NoError(t, b.c.Delete(b.ctx, c))
			b.gone()
			var left dataprotectionv1alpha1.BackupList
			require.NoError(t, b.c.List(b.ctx, &left, client.InNamespace(demo)))
			kept := map[string]bool{}
			for i := range left.Items {
				kept[left.Items[i].Name] = true
			}
			require.ElementsMatch(t, stays, slices.Collect(maps.Keys(kept)))
		})
	}
	t.Run("only what it is made of", func(t *testing.T) {
		b := newBed(t)
		b.runs(3)
		b.bulk(5)
		count := b.count()
		require.Equal(t, 500, count)
		claims, err := b.claims()
		require.NoError(t, err)
		for _, part := range []client.Object{new(workloadsv1.InstanceSet), new(appsv1.Component)} {
			require.NoError(t, b.c.Get(b.ctx, key(set), part))
			was := part.GetUID()
			require.NoError(t, b.c.Delete(b.ctx, part))
			b.eventually("another of its name", func() (string, error) {
				if err := b.c.Get(b.ctx, key(set), part); err != nil || part.GetUID() == was {
					return "not yet", client.IgnoreNotFound(err)
				}
				return "", nil
			})
			b.agree(3)
			b.phase(appsv1.ClusterRunning)
			b.find()
			require.Equal(t, count, b.count())
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
		b := newBed(t)
		b.runs(1, func(c *appsv1.Cluster) { c.Spec.TerminationPolicy = appsv1.DoNotTerminate })
		before := b.mustPods()
		c, err := b.cluster()
		require.NoError(t, err)
		require.NoError(t, b.c.Delete(b.ctx, c))
		b.eventually("the reason", func() (string, error) {
			c, err := b.cluster()
			if err != nil || !strings.Contains(c.Status.Message, "DoNotTerminate") {
				return c.Status.Message, err
			}
			var events corev1.EventList
			err = b.c.List(b.ctx, &events, client.InNamespace(demo))
			for i := range events.Items {
				e := &events.Items[i]
				if e.InvolvedObject.UID == c.UID && e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, "DoNotTerminate") {
					return "", nil
				}
			}
			return fmt.Sprintf("%d events", len(events.Items)), err
		})
		sample.DeletionRefused(t, b.c, c, client.PropagationPolicy(metav1.DeletePropagationForeground))
		sample.DeletionRefused(t, b.c, &appsv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: demo, Name: set}})
		for name, p := range b.mustPods() {
			require.Equal(t, before[name].UID, p.UID)
			require.Nil(t, p.DeletionTimestamp)
		}
		b.patch("wipe-out.yaml") // and it goes
		b.gone()
	})
}
