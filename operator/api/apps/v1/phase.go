package v1

import "slices"

// ComposeClusterPhase returns the phase of a cluster from those of its components.
// The first rule that fits decides; none fits while the phase of a component isn't
// known, and while one is deleted on its own. The result is empty then, and the
// cluster keeps the phase that it has.
func ComposeClusterPhase(components []ComponentPhase) ClusterPhase {
	if len(components) == 0 {
		return ""
	}
	all := func(of ...ComponentPhase) bool {
		return !slices.ContainsFunc(components, func(p ComponentPhase) bool { return !slices.Contains(of, p) })
	}
	some := func(p ComponentPhase) bool { return slices.Contains(components, p) }
	switch {
	case all(ComponentStopped):
		return ClusterStopped
	case all(ComponentRunning, ComponentStopped):
		return ClusterRunning
	case all(ComponentCreating):
		return ClusterCreating
	case all(ComponentCreating, ComponentRunning, ComponentUpdating), some(ComponentStarting):
		return ClusterUpdating
	case some(ComponentStopping):
		return ClusterStopping
	case all(ComponentFailed):
		return ClusterFailed
	case some(ComponentFailed):
		return ClusterAbnormal
	default:
		return ""
	}
}
