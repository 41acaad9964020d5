package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sextantdb/sextant/client"
)

// The parameters of actions.
const (
	leavePod, leaveFQDN         = "KB_LEAVE_MEMBER_POD_NAME", "KB_LEAVE_MEMBER_POD_FQDN"
	joinPod, joinFQDN           = "KB_JOIN_MEMBER_POD_NAME", "KB_JOIN_MEMBER_POD_FQDN"
	switchRole                  = "KB_SWITCHOVER_ROLE"
	currentPod, currentFQDN     = "KB_SWITCHOVER_CURRENT_NAME", "KB_SWITCHOVER_CURRENT_FQDN"
	candidatePod, candidateFQDN = "KB_SWITCHOVER_CANDIDATE_NAME", "KB_SWITCHOVER_CANDIDATE_FQDN"
	// acceptDataLoss is the one parameter of our own: "true" lets a dead member go that has the last
	// copy of shards.
	acceptDataLoss = "SEXTANT_ACCEPT_DATA_LOSS"
)

const (
	// step is the pause between two looks at a cluster that is at work.
	step = 500 * time.Millisecond
	// agreement bounds how long one change may take to be agreed on.
	agreement = 10 * time.Second
	// mostVoters is how many nodes of a larger cluster have a vote.
	mostVoters = 5
)

// Parameters are the parameters of an action by name.
type Parameters map[string]string

// pod returns the names of the pod that a pair of parameters names; none is none.
func (p Parameters) pod(name, fqdn string) (names []string) {
	for _, v := range []string{p[name], p[fqdn]} {
		if v = strings.Trim(v, "."); v != "" {
			names = append(names, v)
		}
	}
	return names
}

// action does something; its output is for the caller. It ends early with ctx.
type action func(ctx context.Context, p Parameters) (output string, err error)

// members carries out actions by asking one node.
type members struct {
	node *client.Client
	log  *slog.Logger
	// wait waits until it is time for another look.
	wait func(ctx context.Context) error
}

// pause waits for a time, and fails when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nextLook waits between two looks at a cluster that is at work.
func nextLook(ctx context.Context) error { return pause(ctx, step) }

// actions lists what can be done.
func (m *members) actions() map[string]action {
	return map[string]action{
		"roleProbe": m.roleProbe, "memberJoin": m.join, "memberLeave": m.leave, "switchover": m.switchover,
	}
}

// others are the actions that the protocol knows and a node needs none of.
var others = []string{
	"postProvision", "preTerminate", "availableProbe", "readonly", "readwrite", "dataDump", "dataLoad", "reconfigure", "accountProvision",
}

// The roles.
const (
	Leader   = "leader"
	Follower = "follower"
)

// Role is a node's role in the consensus.
type Role struct {
	// Name is Leader or Follower.
	Name string
	// Term is the term of the consensus in which the node has it: of two who say that they lead, the
	// one with the higher term is right.
	Term uint64
}

// role asks the node.
func (m *members) role(ctx context.Context) (Role, error) {
	c, err := m.cluster(ctx)
	if err != nil {
		return Role{}, err
	}
	r := Role{Name: Follower, Term: c.Raft.Term}
	switch c.Raft.Role {
	case "Leader":
		r.Name = Leader
	case "Follower", "Candidate", "PreCandidate":
	default:
		return Role{}, fault(Failed, "the node doesn't know its role in the consensus yet")
	}
	return r, nil
}

// cluster asks the node about its cluster.
func (m *members) cluster(ctx context.Context) (*client.Cluster, error) {
	c, err := m.node.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	if !c.Enabled() {
		return nil, fault(NotImplemented, "the node is in no cluster, so it has neither a role nor other members")
	}
	if c.Consensus.Status == "stopped_with_err" {
		return nil, fault(Failed, "the node's consensus has stopped: %s", c.Consensus.Err)
	}
	return c, nil
}

func (m *members) roleProbe(ctx context.Context, _ Parameters) (string, error) {
	r, err := m.role(ctx)
	return r.Name, err
}

// until looks and acts until it is done or ctx ends. look returns what is still missing, "" is nothing.
// A node that doesn't answer, or says that it can't just now, may do so soon.
func (m *members) until(ctx context.Context, what string, look func(context.Context) (missing string, err error)) error {
	for {
		missing, err := look(ctx)
		switch {
		case err == nil && missing == "":
			return nil
		case err == nil:
		case lasting(err):
			return err
		default:
			missing = err.Error()
		}
		if m.wait(ctx) != nil {
			return fault(TimedOut, "%s: not yet: %s", what, missing)
		}
	}
}

// lasting tells whether trying again is of no use: the agent said so, or the request is no good.
func lasting(err error) bool {
	if _, ok := errors.AsType[*Fault](err); ok {
		return true
	}
	if client.IsUnreachable(err) {
		return false
	}
	switch status := client.StatusOf(err); status {
	case 401, 403:
		return true
	default:
		return status == 0 && !errors.Is(err, context.DeadlineExceeded)
	}
}

// leave takes a member out of the cluster: its copies go to other nodes, then it is removed.
func (m *members) leave(ctx context.Context, p Parameters) (string, error) {
	pod := p.pod(leavePod, leaveFQDN)
	if len(pod) == 0 {
		return "", fault(BadRequest, "%s is missing", leavePod)
	}
	accept := false
	if v := p[acceptDataLoss]; v != "" {
		var err error
		if accept, err = strconv.ParseBool(v); err != nil {
			return "", fault(BadRequest, "%s is neither true nor false: %q", acceptDataLoss, v)
		}
	}
	l := leaving{pod: pod, accept: accept}
	err := m.until(ctx, "remove "+pod[0], func(ctx context.Context) (string, error) { return m.leaveStep(ctx, &l) })
	if err != nil {
		return "", err
	}
	return pod[0] + " is no member of the cluster\n", nil
}

// leaving is a member that is taken out of the cluster.
type leaving struct {
	// pod are its names, accept says that it may go with data that nobody else has.
	pod    []string
	accept bool
	// draining says that it was seen to be drained.
	draining bool
}

// leaveStep does what is to be done next, and returns what is still missing. Who ends the drain wants the
// member to stay.
func (m *members) leaveStep(ctx context.Context, l *leaving) (string, error) {
	pod := l.pod
	c, err := m.cluster(ctx)
	if err != nil {
		return "", err
	}
	id, err := c.PeerOfPod(pod...)
	if errors.Is(err, client.ErrNoPeer) {
		return "", nil // it has left
	}
	if err != nil {
		return "", fault(PreconditionFailed, "%v", err)
	}
	if id == c.Peer && c.Consensus.Status == "stopped" {
		return "", nil // the node that is asked has left, and was told
	}
	if len(c.Peers) == 1 {
		return "", fault(PreconditionFailed, "%s is the only member of the cluster", pod[0])
	}
	switch {
	case c.Peers[id].Draining:
		l.draining = true
	case l.draining:
		return "", fault(PreconditionFailed, "somebody ended the drain of %s, so it stays", pod[0])
	default:
		m.log.InfoContext(ctx, "draining a member that is to leave", "pod", pod[0], "peer", id)
		if err := m.node.Drain(ctx, id, agreement); err != nil {
			return "", err
		}
	}
	v, err := m.node.View(ctx)
	if err != nil {
		return "", err
	}
	peer, known := v.Cluster.Peers[id]
	switch {
	case !known:
		return "", nil
	case v.Empty(id):
		return m.remove(ctx, v, id, false)
	case peer.Fenced:
		return m.forget(ctx, v, id, pod[0], l.accept)
	default:
		left := 0
		for _, s := range v.Shards() {
			if slices.ContainsFunc(s.Copies, func(r client.Replica) bool { return r.Peer == id }) {
				left++
			}
		}
		return fmt.Sprintf("%d copies of shards are still on it", left), nil
	}
}

// forget removes a member that is dead, with the copies it has, when others have all of its data.
func (m *members) forget(ctx context.Context, v *client.View, id uint64, pod string, accept bool) (string, error) {
	if lost := v.OnlyOn(id); len(lost) > 0 && !accept {
		names := make([]string, len(lost))
		for i, s := range lost {
			names[i] = s.String()
		}
		return "", fault(PreconditionFailed, "%s is gone, and no other node has all data of %s; set %s=true to give it up",
			pod, strings.Join(names, ", "), acceptDataLoss)
	}
	return m.remove(ctx, v, id, true)
}

// remove removes a member; the next look tells whether it worked.
func (m *members) remove(ctx context.Context, v *client.View, id uint64, force bool) (string, error) {
	if v.Cluster.Raft.Leader == id && !v.Cluster.Peers[id].Fenced {
		// Without a pause in which nobody leads. If it doesn't work, removal does.
		if err := m.node.HandOver(ctx, id, 0, agreement); err != nil {
			m.log.WarnContext(ctx, "handing over before a member is removed", "peer", id, "error", err)
		}
	}
	m.log.InfoContext(ctx, "removing a member", "peer", id, "force", force)
	if err := m.node.RemovePeer(ctx, id, force, agreement); err != nil {
		return "", err
	}
	return "its removal isn't known here yet", nil
}

// join waits until a new member takes part.
func (m *members) join(ctx context.Context, p Parameters) (string, error) {
	pod := p.pod(joinPod, joinFQDN)
	if len(pod) == 0 {
		return "", fault(BadRequest, "%s is missing", joinPod)
	}
	err := m.until(ctx, "let "+pod[0]+" join", func(ctx context.Context) (string, error) { return m.joinStep(ctx, pod) })
	if err != nil {
		return "", err
	}
	return pod[0] + " is a member of the cluster\n", nil
}

func (m *members) joinStep(ctx context.Context, pod []string) (string, error) {
	c, err := m.cluster(ctx)
	if err != nil {
		return "", err
	}
	id, err := c.PeerOfPod(pod...)
	if errors.Is(err, client.ErrNoPeer) {
		return "it isn't a member yet", nil
	}
	if err != nil {
		return "", fault(PreconditionFailed, "%v", err)
	}
	if c.Peers[id].Fenced {
		return "it counts as gone", nil
	}
	all, err := m.node.Members(ctx)
	if err != nil {
		return "", err
	}
	return votes(all, id), nil
}

// votes tells what a member lacks to be a full one: it answers, and has a vote unless as many have one
// as there should be. A member that doesn't answer may have one.
func votes(all client.Members, id uint64) (missing string) {
	own := all[id].Details
	if own == nil {
		return "it doesn't answer the other members"
	}
	have := 0
	for _, one := range all {
		if one.Details == nil || one.Details.Voter {
			have++
		}
	}
	if should := min(len(all)-1+len(all)%2, mostVoters); !own.Voter && have < should {
		return fmt.Sprintf("it has no vote, and %d of %d votes are given", have, should)
	}
	return ""
}

// switchover has a member hand over what it leads, the consensus included.
func (m *members) switchover(ctx context.Context, p Parameters) (string, error) {
	if r := p[switchRole]; r != "" && r != Leader {
		return "", fault(BadRequest, "%s is %q: only the role %q can be handed over", switchRole, r, Leader)
	}
	h := handing{p: p}
	if err := m.until(ctx, "hand over", func(ctx context.Context) (string, error) { return m.switchStep(ctx, &h) }); err != nil {
		return "", err
	}
	return "handed over\n", nil
}

// handing is a switchover under way.
type handing struct {
	p Parameters
	// from is who hands over, 0 until that is known; done says that it did.
	from uint64
	done bool
}

// switchStep has a member hand over all it leads, then sees that the candidate leads the consensus.
func (m *members) switchStep(ctx context.Context, h *handing) (missing string, err error) {
	c, err := m.cluster(ctx)
	if err != nil {
		return "", err
	}
	if c.Raft.Leader == 0 {
		return "nobody leads the consensus", nil
	}
	to, err := named(c, h.p.pod(candidatePod, candidateFQDN))
	if err != nil {
		return "", err
	}
	if c.Peers[to].Fenced {
		return "", fault(PreconditionFailed, "the candidate counts as gone")
	}
	if h.from == 0 {
		if h.from, err = named(c, h.p.pod(currentPod, currentFQDN)); err != nil {
			return "", err
		}
		if h.from == 0 {
			h.from = c.Raft.Leader
		}
		// Who is gone leads nothing, and a candidate keeps what it leads.
		h.done = c.Peers[h.from].Fenced || h.from == to
	}
	if !h.done {
		if err := m.node.HandOver(ctx, h.from, to, agreement); err != nil {
			return "", err
		}
		h.done = true
		return "it isn't known here yet", nil
	}
	if leader := c.Raft.Leader; to != leader && (to != 0 || leader == h.from) {
		return "the consensus is still led by another member", m.node.HandOver(ctx, leader, to, agreement)
	}
	return "", nil
}

// named finds the member of a pod; 0 is for no name.
func named(c *client.Cluster, pod []string) (uint64, error) {
	if len(pod) == 0 {
		return 0, nil
	}
	id, err := c.PeerOfPod(pod...)
	if err != nil {
		return 0, fault(PreconditionFailed, "%v", err)
	}
	return id, nil
}
