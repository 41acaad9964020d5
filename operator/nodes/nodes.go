// Package nodes is how the operator asks the nodes of a component, and has things done to
// them: over the public API of a node (package client) and over the agent beside it. It is
// the only package of the operator that talks to pods.
//
// Callers: cluster (memory), component (founding, availability), instanceset (roles, members in and out), ops
// (switchover, memory).
package nodes

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sextantdb/sextant/client"
)

// Component is whose nodes are asked, and how they are reached.
type Component struct {
	// Key is the namespaced name of the Component, which is also that of its InstanceSet.
	Key types.NamespacedName
	// Pods are those that may be asked, best first.
	Pods []Pod
	// TLS says that nodes speak it, with a certificate by the authority in CA (PEM).
	TLS bool
	CA  []byte
	// APIKey is empty when the nodes want none.
	APIKey string
}

// Pod is one pod of a component.
type Pod struct {
	// Name, FQDN and IP of the pod. The FQDN is the name in its certificate.
	Name, FQDN, IP string
	// Ready says that the pod is.
	Ready bool
}

// Role is what a node is in the consensus.
type Role struct {
	// Name is leader or follower.
	Name string
	// Term is the term of the consensus in which it is that.
	Term uint64
}

// Outcome is how an action goes that takes its time.
type Outcome struct {
	// Done says that it has come to its end, well or not: Word is empty when well.
	Done bool
	// Word and Message are what the agent said was wrong (docs/agent.md has the words).
	Word, Message string
}

// Access asks nodes and agents. It is safe for concurrent use; every call is bounded in
// time.
type Access interface {
	// View asks the first pod that answers for the cluster and where everything is.
	View(ctx context.Context, c *Component) (*client.View, error)
	// Cluster asks one pod who belongs to its cluster.
	Cluster(ctx context.Context, c *Component, pod Pod) (*client.Cluster, error)
	// Memory asks one pod for the memory of its node.
	Memory(ctx context.Context, c *Component, pod Pod) (*client.Memory, error)
	// Role asks the agent of a pod which role the node has.
	Role(ctx context.Context, c *Component, pod Pod) (Role, error)
	// Drain has the nodes in pods lose their copies to those that stay.
	Drain(ctx context.Context, c *Component, peer uint64, on bool) error
	// Act has the agent of a pod carry out an action, and returns at once; called again with the
	// same parameters it tells how the action goes.
	Act(ctx context.Context, c *Component, pod Pod, action string, parameters map[string]string) (Outcome, error)
}
