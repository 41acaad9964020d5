// Package p2p is the port for the other nodes of the cluster (6335): it listens, and stops
// gracefully. What is said there, and to whom, is cluster/peer's.
//
// server/node makes one Server per node of a cluster; a node without a cluster has none.
package p2p

import (
	"context"
	"fmt"
	"net"

	"github.com/sextantdb/sextant/cluster/peer"
)

// Server is the open port.
type Server struct {
	listener net.Listener
	peers    *peer.Server
	served   chan error // has the result of serving once it has ended
}

// Listen opens the port, and serves until Shutdown. Addr is host:port.
func Listen(ctx context.Context, addr string, o peer.ServerOptions) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open the port for peers: %w", err)
	}
	s := &Server{listener: l, peers: peer.NewServer(o), served: make(chan error, 1)}
	go func() { s.served <- s.peers.Serve(l) }()
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Peers is what answers.
func (s *Server) Peers() *peer.Server { return s.peers }

// Failed gets an error when the port fails, nil after Shutdown.
func (s *Server) Failed() <-chan error { return s.served }

// Shutdown closes the port, ends the lanes, and waits for calls under way until ctx ends.
func (s *Server) Shutdown(ctx context.Context) { s.peers.Shutdown(ctx) }
