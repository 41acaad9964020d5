// Package p2p is the port for the other nodes of the cluster (6335): it serves, and stops
// gracefully. What is said there, and to whom, is cluster/peer's.
//
// server/node makes one Server per node of a cluster; a node without a cluster has none.
package p2p

import (
	"context"
	"net"

	"github.com/sextantdb/sextant/cluster/peer"
)

// Server is the open port.
type Server struct {
	listener net.Listener
	peers    *peer.Server
	served   chan error // has the result of serving once it has ended
}

// Serve answers on an open port until Shutdown, and closes it then.
func Serve(l net.Listener, o peer.ServerOptions) *Server {
	s := &Server{listener: l, peers: peer.NewServer(o), served: make(chan error, 1)}
	go func() { s.served <- s.peers.Serve(l) }()
	return s
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Failed gets an error when the port fails, nil after Shutdown.
func (s *Server) Failed() <-chan error { return s.served }

// Shutdown closes the port, ends the lanes, and waits for calls under way until ctx ends.
func (s *Server) Shutdown(ctx context.Context) { s.peers.Shutdown(ctx) }
