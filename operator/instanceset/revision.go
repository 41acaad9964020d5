package instanceset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	workloadsv1 "github.com/sextantdb/sextant/operator/api/workloads/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// revision says what a pod was made from. It is made from what stands in the spec, not from the pod that
// the operator makes of it: another version of the operator must not replace pods.
type revision struct {
	// pod changes with what needs a new pod, all with anything.
	pod, all string
}

// revisionOf hashes a template of pods.
func revisionOf(set *workloadsv1.InstanceSet, t *appsv1.InstanceTemplate, tpl *corev1.PodTemplateSpec) (revision, error) {
	spec := tpl.Spec.DeepCopy()
	images := map[string]string{}
	for i := range spec.Containers {
		c := &spec.Containers[i]
		images[c.Name], c.Image = c.Image, ""
	}
	var claims []string
	for _, c := range claimTemplates(set, t) {
		claims = append(claims, c.Name)
	}
	recreate := map[string]any{"spec": spec, "claims": claims, "finalizers": tpl.Finalizers}
	for _, key := range newPodAnnotations {
		if v := tpl.Annotations[key]; v != "" {
			recreate[key] = v
		}
	}
	pod, err := hash(recreate)
	if err != nil {
		return revision{}, err
	}
	all, err := hash(map[string]any{"pod": pod, "images": images, "labels": tpl.Labels, "annotations": tpl.Annotations})
	return revision{pod: pod, all: all}, err
}

// newPodAnnotations are those whose change needs a new pod: that is what they are for.
var newPodAnnotations = []string{naming.AnnotationRestart, naming.AnnotationConfigHash}

func hash(v any) (string, error) {
	raw, err := json.Marshal(v) // maps are sorted
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:5]), nil
}

// managedKeys lists the labels and annotations that a pod has from its template, so that those that the
// template no longer has are known.
func managedKeys(labels, annotations map[string]string) string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		keys = append(keys, "l:"+k)
	}
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		keys = append(keys, "a:"+k)
	}
	return strings.Join(keys, ",")
}

// metadataPatch returns what is to be changed of a pod's labels and annotations, "" is removed.
func metadataPatch(set *workloadsv1.InstanceSet, pod *corev1.Pod, tpl *corev1.PodTemplateSpec, rev revision) (labels, annotations map[string]string) {
	wantLabels, wantAnnotations := ownLabels(tpl, set.Name, pod.Name), substituted(tpl.Annotations, pod.Name)
	keys := managedKeys(wantLabels, wantAnnotations)
	wantLabels[naming.LabelRevision] = rev.all
	wantAnnotations[naming.AnnotationManagedKeys], wantAnnotations[naming.AnnotationPodRevision] = keys, rev.pod
	labels, annotations = differing(pod.Labels, wantLabels), differing(pod.Annotations, wantAnnotations)
	for key := range strings.SplitSeq(pod.Annotations[naming.AnnotationManagedKeys], ",") {
		if k, ok := strings.CutPrefix(key, "l:"); ok && !has(wantLabels, k) && has(pod.Labels, k) {
			labels[k] = ""
		}
		if k, ok := strings.CutPrefix(key, "a:"); ok && !has(wantAnnotations, k) && has(pod.Annotations, k) {
			annotations[k] = ""
		}
	}
	return labels, annotations
}

func differing(have, want map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range want {
		if have[k] != v {
			out[k] = v
		}
	}
	return out
}

func has(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}
