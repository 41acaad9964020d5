package node

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/observe"
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

// readCertificates reads those of the section tls, for whom they are shown to.
func readCertificates(o *Options, askCallers bool, to string) (*certificates.Certificates, error) {
	t := &o.Config.TLS
	files := certificates.Files{
		Cert: t.Cert, Key: t.Key, AskCallers: askCallers,
		Logger: observe.Component(o.Logger, "certificates").With("shown_to", to),
	}
	if t.CACert != nil {
		files.CA = *t.CACert
	}
	if t.CertTTL != nil {
		files.TTL = time.Duration(*t.CertTTL) * time.Second
	}
	c, err := certificates.Load(files)
	if err != nil {
		return nil, fmt.Errorf("TLS for %s: %w", to, err)
	}
	return c, nil
}

// doorCertificates are those that the doors show clients, nil without TLS.
func doorCertificates(o *Options) (*certificates.Certificates, error) {
	s := &o.Config.Service
	if !s.EnableTLS {
		return nil, nil
	}
	return readCertificates(o, s.VerifyHTTPSClientCert, "clients")
}
