package manifests

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/operator/naming"
)

// BootstrapConfigMap says by pod whom its node joins when it knows nothing yet; the empty value lets it found a cluster. A
// pod without an entry can't start.
func (s *Source) BootstrapConfigMap(entries map[string]string) *corev1.ConfigMap {
	o := s.owner()
	return &corev1.ConfigMap{ObjectMeta: s.meta(naming.BootstrapConfigMap(o.Cluster, o.Component)), Data: entries}
}
