package clusterbed

import (
	"context"

	"github.com/sextantdb/sextant/internal/testbed/netns"
)

// newNetwork chooses what is between the nodes.
func newNetwork(ctx context.Context, o Options) (network, error) {
	if !o.Links {
		return loopback{}, nil
	}
	if o.Proxies {
		return newProxies(), nil
	}
	if err := netns.Available(ctx); err != nil {
		return newProxies(), nil //nolint:nilerr // there is another way
	}
	n, err := netns.New(ctx)
	if err != nil {
		return nil, err
	}
	return &namespaces{n}, nil
}

// loopback has no links that could be cut.
type loopback struct{}

func (loopback) place(context.Context) (string, []string, error) { return "", nil, nil }
func (loopback) attach(*Node) error                              { return nil }
func (loopback) cut(context.Context, int, int) error             { return errNoLinks }
func (loopback) heal(context.Context) error                      { return nil }
func (loopback) close(context.Context) error                     { return nil }

// namespaces gives each node one of its own.
type namespaces struct{ *netns.Network }

func (n *namespaces) place(ctx context.Context) (host string, wrap []string, err error) {
	p, err := n.Add(ctx)
	return p.Host, p.Wrap, err
}

func (n *namespaces) attach(*Node) error { return nil }

func (n *namespaces) cut(ctx context.Context, from, to int) error { return n.Cut(ctx, from, to) }
func (n *namespaces) heal(ctx context.Context) error              { return n.Heal(ctx) }
func (n *namespaces) close(ctx context.Context) error             { return n.Close(ctx) }
