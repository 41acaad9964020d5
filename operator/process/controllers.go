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
func register(mgr ctrl.Manager, o *Options) error {
	access := nodes.New(nodes.Options{})
	for _, err := range []error{
		catalog.Register(mgr, catalog.Options{}),
		cluster.Register(mgr, cluster.Options{Nodes: access, ClusterDomain: o.ClusterDomain}),
		component.Register(mgr, component.Options{
			Nodes: access, Namespace: o.Namespace, ClusterDomain: o.ClusterDomain, NetworkPolicies: o.NetworkPolicies,
		}),
		instanceset.Register(mgr, instanceset.Options{Nodes: access, ClusterDomain: o.ClusterDomain, NodeLostAfter: o.NodeLostAfter}),
		ops.Register(mgr, ops.Options{Nodes: access, ClusterDomain: o.ClusterDomain}),
	} {
		if err != nil {
			return fmt.Errorf("add a controller: %w", err)
		}
	}
	return nil
}
