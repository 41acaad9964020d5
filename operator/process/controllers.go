package process

import (
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sextantdb/sextant/operator/catalog"
	"github.com/sextantdb/sextant/operator/cluster"
	"github.com/sextantdb/sextant/operator/component"
	"github.com/sextantdb/sextant/operator/instanceset"
	"github.com/sextantdb/sextant/operator/nodes"
	"github.com/sextantdb/sextant/operator/ops"
)

// register adds the controllers.
func register(mgr ctrl.Manager, o Options) error {
	access := nodes.New(nodes.Options{})
	for _, c := range []struct {
		name string
		add  func() error
	}{
		{"definitions", func() error { return catalog.Register(mgr, catalog.Options{}) }},
		{"cluster", func() error { return cluster.Register(mgr, cluster.Options{}) }},
		{"component", func() error {
			return component.Register(mgr, component.Options{
				Nodes: access, Namespace: o.Namespace, ClusterDomain: o.ClusterDomain, NetworkPolicies: o.NetworkPolicies,
			})
		}},
		{"instanceset", func() error {
			return instanceset.Register(mgr, instanceset.Options{
				Nodes: access, ClusterDomain: o.ClusterDomain, NodeLostAfter: o.NodeLostAfter,
			})
		}},
		{"ops", func() error { return ops.Register(mgr, ops.Options{Nodes: access, ClusterDomain: o.ClusterDomain}) }},
	} {
		if err := c.add(); err != nil {
			return fmt.Errorf("add the controller %s: %w", c.name, err)
		}
	}
	return nil
}
