package manifests

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/sextantdb/sextant/operator/naming"
)

// TLSSecret has the certificates of the nodes.
func (s *Source) TLSSecret(data map[string][]byte) *corev1.Secret {
	o := s.owner()
	return &corev1.Secret{ObjectMeta: s.meta(naming.TLSSecret(o.Cluster, o.Component)), Type: corev1.SecretTypeOpaque, Data: data}
}

// AuthoritySecret has the key of the authority. Pods don't see it.
func (s *Source) AuthoritySecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: s.meta(AuthoritySecretName(s.owner())), Type: corev1.SecretTypeOpaque, Data: data}
}

// AuthoritySecretName is the name of the Secret with the key of the authority.
func AuthoritySecretName(o naming.Owner) string {
	return naming.TLSSecret(o.Cluster, o.Component) + "-ca"
}

// KeySecret has the API key of a component whose key was given as a variable. The revision changes
// with the contents.
func (s *Source) KeySecret(data map[string][]byte, revision string) *corev1.Secret {
	o := s.owner()
	secret := &corev1.Secret{ObjectMeta: s.meta(naming.KeySecret(o.Cluster, o.Component)), Type: corev1.SecretTypeOpaque, Data: data}
	secret.Annotations = map[string]string{naming.AnnotationKeyRevision: revision}
	return secret
}
