package component

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/operator/manifests"
	"github.com/sextantdb/sextant/operator/naming"
)

// planKey says what the Secret of the API key is to have, and sets the revision that pods must follow. A key changes
// without anybody being shut out: first the nodes learn the new key beside the old one; when all know both the new one
// takes the place of the old one, which the nodes forget as they are replaced once more. The operator, agents and exporters use the
// first of the two.
func planKey(o *Observed, s *manifests.Source) (*corev1.Secret, error) {
	settings := &o.Component.Spec.Settings
	want := manifests.Key(settings)
	if manifests.GivesKey(settings) {
		want = "" // the key of the environment counts
	}
	if o.Key == nil {
		if want == "" {
			return nil, nil
		}
		return keySecret(s, map[string]string{naming.KeyEntry: want}, revision(o, "")), nil
	}
	now, other := string(o.Key.Data[naming.KeyEntry]), string(o.Key.Data[naming.OtherKeyEntry])
	have := o.Key.Annotations[naming.AnnotationKeyRevision]
	if want != "" {
		s.KeyRevision = have
	}
	settled, err := follow(o, s)
	if err != nil {
		return nil, err
	}
	data := map[string]string{naming.KeyEntry: now}
	if other != "" {
		data[naming.OtherKeyEntry] = other
	}
	switch {
	case want == "" && settled:
		return nil, nil // no pod knows the key any more
	case want == "":
		secret := keySecret(s, data, have)
		s.KeyRevision = ""
		return secret, nil
	case now == want || now == "":
		data = map[string]string{naming.KeyEntry: want}
	case other != want:
		data = map[string]string{naming.KeyEntry: now, naming.OtherKeyEntry: want}
	case settled:
		data = map[string]string{naming.KeyEntry: want}
	}
	if have == "" || !same(data, o.Key.Data) {
		have = revision(o, have)
	}
	return keySecret(s, data, have), nil
}

func keySecret(s *manifests.Source, data map[string]string, revision string) *corev1.Secret {
	s.KeyRevision = revision
	raw := map[string][]byte{}
	for k, v := range data {
		raw[k] = []byte(v)
	}
	return s.KeySecret(raw, revision)
}

// revision names contents that are new now.
func revision(o *Observed, last string) string {
	name := o.Now.UTC().Format(time.RFC3339)
	if name == last {
		name += "+"
	}
	return name
}

func same(a map[string]string, b map[string][]byte) bool {
	have := map[string]string{}
	for k, v := range b {
		have[k] = string(v)
	}
	return maps.Equal(a, have)
}

// follow tells whether all pods have the files and keys that the InstanceSet would have now.
func follow(o *Observed, s *manifests.Source) (bool, error) {
	set, err := s.InstanceSet()
	if err != nil {
		return false, err
	}
	hash := set.Spec.Template.Annotations[naming.AnnotationConfigHash]
	if o.InstanceSet == nil || o.InstanceSet.Spec.Template.Annotations[naming.AnnotationConfigHash] != hash {
		return false, nil
	}
	for i := range o.Pods {
		if o.Pods[i].Annotations[naming.AnnotationConfigHash] != hash {
			return false, nil
		}
	}
	return true, nil
}
