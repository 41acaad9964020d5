package node

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cluster/member"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/observe"
	"github.com/sextantdb/sextant/server/config"
	"github.com/sextantdb/sextant/server/p2p"
)

// openMember opens the data of a node of a cluster, and the door for the other nodes.
func openMember(ctx context.Context, o Options, options coordinator.Options) (*Desk, error) {
	c := &o.Config.Cluster
	timed, cancel := context.WithTimeout(ctx, time.Duration(c.Consensus.BootstrapTimeoutSec)*time.Second)
	defer cancel()
	budget := options.Budget
	mo := member.Options{
		FS: o.FS, StoragePath: o.Config.Storage.Path, URI: ownURI(&o), Bootstrap: o.Bootstrap, Reinit: o.Reinit,
		Tick:            time.Duration(c.Consensus.TickPeriodMS) * time.Millisecond,
		SnapshotEntries: uint64(c.Consensus.CompactWALEntries),
		VerifyEvery:     time.Duration(c.VerifyIntervalSec) * time.Second,
		OpenShard: func(ctx context.Context, _ *topology.Collection, s shard.Options) (*shard.Shard, error) {
			s.Budget = budget
			return shard.Open(ctx, s)
		},
		Zone: c.Zone,
		Controller: controller.Options{
			ReplicaGrace: time.Duration(c.ReplicaGraceSec) * time.Second,
			NoRebalance:  !c.Rebalance, ReplicaQuiet: time.Duration(c.RebalanceAfterSec) * time.Second,
		},
		Release: o.Version,
		Pool:    peer.PoolOptions{Keys: peerKeys(&o.Config.Service)},
		Logger:  observe.Component(o.Logger, "member"),
	}
	if c.PeerID != nil {
		mo.PeerID = topology.PeerID(*c.PeerID)
	}
	so := peer.ServerOptions{Logger: observe.Component(o.Logger, "peer")}
	if o.Config.Service.EnforceInternalAuth {
		so.Keys = mo.Pool.Keys
	}
	if c.P2P.EnableTLS {
		// With an authority both sides are checked by it; without one only the called side is, by the
		// system's.
		shown, err := readCertificates(&o, o.Config.TLS.CACert != nil, "peers")
		if err != nil {
			return nil, err
		}
		mo.Pool.TLS, so.TLS = shown.Client, shown.Server
	}
	m, err := member.New(timed, mo)
	if err != nil {
		return nil, err
	}
	so.Self, so.Handler, so.Latest = m.Identity(), m.Handler(), m.Latest
	door := p2p.Serve(o.peers, so)
	shut := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		door.Shutdown(ctx)
		return <-door.Failed()
	}
	if err := m.Open(ctx); err != nil {
		return nil, errors.Join(err, shut(), m.Close())
	}
	options.Topology, options.Shards, options.Admin = m, m.Shards(), m.Admin()
	front, err := coordinator.Open(ctx, options)
	if err != nil {
		return nil, errors.Join(err, shut(), m.Close())
	}
	return &Desk{
		Points: front.Points(), Collections: front.Collections(), Cluster: front.Admin(), Failed: m.Failed(), Ready: m.Ready,
		Close: func() error {
			m.Leave(context.Background())
			return errors.Join(shut(), front.Close())
		},
	}, nil
}

// peerKeys are what nodes show each other: while keys are changed node by node they have one in common.
func peerKeys(s *config.Service) []string {
	return slices.DeleteFunc([]string{string(s.APIKey), string(s.AltAPIKey)}, func(key string) bool { return key == "" })
}

// ownURI is where other nodes reach this one: what the user says, or the host's name.
func ownURI(o *Options) string {
	if o.URI != "" {
		return o.URI
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	port := o.Config.Cluster.P2P.Port
	if a, ok := o.peers.Addr().(*net.TCPAddr); ok {
		port = a.Port
	}
	o.Logger.Warn("no --uri is given: other nodes are told the host's name", "host", host)
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port))
}
