package instanceset

import (
	"context"
	"fmt"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/nodes"
)

// The actions of agents and their parameters (docs/agent.md).
const (
	actionLeave, actionSwitchover = "memberLeave", "switchover"
	leavePod, leaveFQDN           = "KB_LEAVE_MEMBER_POD_NAME", "KB_LEAVE_MEMBER_POD_FQDN"
	currentPod, currentFQDN       = "KB_SWITCHOVER_CURRENT_NAME", "KB_SWITCHOVER_CURRENT_FQDN"
	acceptDataLoss                = "SEXTANT_ACCEPT_DATA_LOSS"
)

// reach finds out how the nodes are reached.
func (r *round) reach(ctx context.Context, o *Observed) {
	r.nodes = &nodes.Component{Key: r.key}
	var c appsv1.Component
	if err := r.r.client.Get(ctx, r.key, &c); err != nil {
		r.nodesErr = fmt.Errorf("read the component %s: %w", r.key, err)
		return
	}
	found, err := nodes.Of(ctx, r.r.client, &c, o.Pods, r.r.o.ClusterDomain)
	if err != nil {
		r.nodesErr = fmt.Errorf("how the nodes are reached: %w", err)
		return
	}
	r.nodes = found
}

// answer asks the nodes.
func (r *round) answer(ctx context.Context, q Question) (a Answer) {
	if r.nodesErr != nil {
		return Answer{Err: r.nodesErr}
	}
	switch q.Kind {
	case AskView:
		a.View, a.Err = r.r.o.Nodes.View(ctx, r.nodes)
	case AskDrain, AskUndrain:
		a.Err = r.r.o.Nodes.Drain(ctx, r.nodes, q.Peer, q.Kind == AskDrain)
	case AskLeave:
		parameters := map[string]string{leavePod: q.Pod, leaveFQDN: r.fqdn(q.Pod)}
		if q.AcceptLoss {
			parameters[acceptDataLoss] = "true"
		}
		a.Outcome, a.Err = r.act(ctx, q.Through, actionLeave, parameters)
	case AskSwitchover:
		a.Outcome, a.Err = r.act(ctx, q.Through, actionSwitchover, map[string]string{currentPod: q.Pod, currentFQDN: r.fqdn(q.Pod)})
	}
	return a
}

func (r *round) act(ctx context.Context, through, action string, parameters map[string]string) (nodes.Outcome, error) {
	for _, pod := range r.nodes.Pods {
		if pod.Name == through {
			return r.r.o.Nodes.Act(ctx, r.nodes, pod, action, parameters)
		}
	}
	return nodes.Outcome{}, fmt.Errorf("pod %s has no address", through)
}
