package node

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant/server/config"
)

// listeners are the open ports.
type listeners struct{ http, grpc, metrics, profiling, p2p net.Listener }

// listen opens all ports or none.
func listen(ctx context.Context, c *config.Config) (l listeners, err error) {
	s := &c.Service
	if l.http, err = listenOn(ctx, "REST", address(s.Host, s.HTTPPort)); err == nil && s.GRPCPort != nil {
		l.grpc, err = listenOn(ctx, "gRPC", address(s.Host, *s.GRPCPort))
	}
	if err == nil && s.MetricsPort != nil {
		l.metrics, err = listenOn(ctx, "metrics", address(s.Host, *s.MetricsPort))
	}
	if err == nil && s.ProfilingAddress != nil {
		l.profiling, err = listenOn(ctx, "profiling", *s.ProfilingAddress)
	}
	if err == nil && c.Cluster.Enabled {
		l.p2p, err = listenOn(ctx, "peers'", address(s.Host, c.Cluster.P2P.Port))
	}
	if err != nil {
		l.close()
		return listeners{}, err
	}
	return l, nil
}

func address(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

func listenOn(ctx context.Context, name, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the %s port: %w", name, err)
	}
	return l, nil
}

// close closes what is open; closing twice does no harm.
func (l listeners) close() {
	for _, one := range []net.Listener{l.http, l.grpc, l.metrics, l.profiling, l.p2p} {
		if one != nil {
			_ = one.Close() // a server may have closed it before
		}
	}
}
