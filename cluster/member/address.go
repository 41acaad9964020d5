package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
)

// announceTime is for how long one other node is asked to register this one.
const announceTime = 2 * time.Second

// hasMoved tells whether the others know this node by another address.
func (m *Member) hasMoved() bool {
	p := m.State().Peer(m.self.Peer)
	return p != nil && p.URI != m.o.URI
}

// registerThere has another node register this one: the consensus answers to the address that it knows,
// and that isn't this node's any more, or none.
func (m *Member) registerThere(ctx context.Context, register []byte) (index uint64, err error) {
	others := map[topology.PeerID]bool{}
	for _, p := range m.known { // a node that has just joined has no topology
		others[p.Peer] = true
	}
	for _, p := range m.State().Peers() {
		others[p.ID] = !p.IsBehind()
	}
	delete(others, m.self.Peer)
	errs := []error{apierror.New(apierror.Unavailable, "no other node has taken the new address %s", m.o.URI)}
	for p, there := range others {
		if !there {
			continue
		}
		if index, err = m.ask(ctx, p, register); err == nil {
			return index, nil
		}
		errs = append(errs, fmt.Errorf("peer %d: %w", p, err))
	}
	return 0, errors.Join(errs...)
}

func (m *Member) ask(ctx context.Context, p topology.PeerID, register []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	conn, err := m.pool.Peer(p)
	if err != nil {
		return 0, err
	}
	done, err := conn.Command(ctx, register)
	return done.Index, err
}

// Command implements peer.Handler. A node whose address has changed has others propose that it
// registers; everything else each node proposes by itself.
func (d desk) Command(ctx context.Context, from peer.From, command []byte) (peer.Commanded, error) {
	cmd, err := topology.DecodeCommand(command)
	if err != nil {
		return peer.Commanded{}, apierror.New(apierror.BadInput, "command: %w", err)
	}
	r, ok := cmd.(topology.RegisterPeer)
	if !ok || r.Peer != from.Peer {
		return peer.Commanded{}, apierror.New(apierror.BadRequest, "another node is asked to register the caller, nothing else")
	}
	addr, err := address(r.URI)
	if err != nil {
		return peer.Commanded{}, err
	}
	// Without its vote there may be no leader to propose to.
	if err := d.m.pool.Set(peer.Target{Peer: r.Peer, Addr: addr, Incarnation: r.Incarnation}); err != nil {
		return peer.Commanded{}, err
	}
	result, index, err := d.m.group.Propose(ctx, command)
	if err != nil {
		return peer.Commanded{}, err
	}
	if out, ok := result.(outcome); ok && out.err != nil {
		return peer.Commanded{}, out.err
	}
	return peer.Commanded{Index: index}, nil
}
