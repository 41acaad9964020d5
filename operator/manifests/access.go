package manifests

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sextantdb/sextant/operator/naming"
)

// ServiceAccount is the account of the pods; nil where the user names another. It has no token.
func (s *Source) ServiceAccount() *corev1.ServiceAccount {
	if s.Component.Spec.ServiceAccountName != "" {
		return nil
	}
	o := s.owner()
	return &corev1.ServiceAccount{ObjectMeta: s.meta(naming.ServiceAccount(o.Cluster, o.Component)), AutomountServiceAccountToken: new(false)}
}

// RoleBinding gives the account the rights of all pods; nil unless the definition says that pods have rights.
func (s *Source) RoleBinding() *rbacv1.RoleBinding {
	account := s.ServiceAccount()
	if account == nil || len(s.Definition.Spec.PolicyRules) == 0 {
		return nil
	}
	o := s.owner()
	return &rbacv1.RoleBinding{
		ObjectMeta: s.meta(naming.PodRoleBinding(o.Cluster, o.Component)),
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: account.Namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: naming.PodClusterRole},
	}
}

// NetworkPolicy lets clients reach the engine and Prometheus the exporter, nodes each other, and the operator all else,
// which is the agent: who reaches that can take nodes out of the cluster.
func (s *Source) NetworkPolicy() *networkingv1.NetworkPolicy {
	o := s.owner()
	var open, peers, operators []networkingv1.NetworkPolicyPort
	for i, c := range s.Definition.Spec.Runtime.Containers {
		for _, p := range c.Ports {
			port := networkingv1.NetworkPolicyPort{Protocol: new(cmp.Or(p.Protocol, corev1.ProtocolTCP)), Port: new(intstr.FromInt32(p.ContainerPort))}
			switch {
			case i == 0 && p.ContainerPort == p2pPort:
				peers = append(peers, port)
			case i == 0, c.Name == s.exporter():
				open = append(open, port)
			default:
				operators = append(operators, port)
			}
		}
	}
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: s.meta(naming.NetworkPolicy(o.Cluster, o.Component)),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *s.podSelector(), PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}
	allow := func(ports []networkingv1.NetworkPolicyPort, from ...networkingv1.NetworkPolicyPeer) {
		if len(ports) > 0 {
			policy.Spec.Ingress = append(policy.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{Ports: ports, From: from})
		}
	}
	allow(open)
	allow(peers, networkingv1.NetworkPolicyPeer{PodSelector: s.podSelector()})
	allow(operators, networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{
		MatchLabels: map[string]string{corev1.LabelMetadataName: s.OperatorNamespace},
	}})
	return policy
}
