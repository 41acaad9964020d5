package nodes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/sextantdb/sextant/client"
)

// How long things may take. A controller calls from its round, so that none may hold it up for long.
const (
	// roleLimit bounds asking for a role, clusterLimit who belongs to a cluster.
	roleLimit, clusterLimit = 2 * time.Second, 3 * time.Second
	// viewLimit bounds gathering a view from one pod or another, askLimit each request of it.
	viewLimit, askLimit = 30 * time.Second, 3 * time.Second
	// agreement is how long a change may take to be agreed on.
	agreement = 10 * time.Second
	// actLimit bounds starting an action, or asking how it goes.
	actLimit = 5 * time.Second
	// runLimit is how long an action may go on that nobody asks for any more.
	runLimit = 2 * time.Minute
)

// Options are how pods are reached. Zero values work.
type Options struct {
	// NodePort is the port of a node's REST door, AgentPort that of the agent.
	NodePort, AgentPort int
}

// New makes an Access. It keeps no connections: pods come and go, their addresses are used again by
// others, and a connection to one that lost its power would only be found out by waiting.
func New(o Options) Access {
	if o.NodePort == 0 {
		o.NodePort = 6333
	}
	if o.AgentPort == 0 {
		o.AgentPort = 5001
	}
	return &access{o: o, agents: &http.Client{
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{Timeout: roleLimit}).DialContext,
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type access struct {
	o      Options
	agents *http.Client
}

// errNoPods says that there is nobody to ask.
var errNoPods = errors.New("no pod has an address yet")

// ErrKey says that all nodes of a component answer and none takes its key: they were started with another one.
var ErrKey = errors.New("all nodes have another api key")

// node makes a client for one pod; it is to be closed.
func (a *access) node(c *Component, pod Pod) (*client.Client, error) {
	if pod.IP == "" {
		return nil, fmt.Errorf("pod %s has no address yet", pod.Name)
	}
	o := client.Options{
		URL: "http://" + net.JoinHostPort(pod.IP, strconv.Itoa(a.o.NodePort)), Key: func() string { return c.APIKey }, Timeout: askLimit,
	}
	if c.TLS {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(c.CA) {
			return nil, fmt.Errorf("pod %s: the authority of %s is no certificate in PEM", pod.Name, c.Key)
		}
		o.URL = "https" + o.URL[len("http"):]
		o.ServerName = pod.FQDN
		o.TLS = func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots} }
	}
	n, err := client.New(o)
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", pod.Name, err)
	}
	return n, nil
}

// Cluster implements Access.
func (a *access) Cluster(ctx context.Context, c *Component, pod Pod) (*client.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterLimit)
	defer cancel()
	n, err := a.node(c, pod)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	got, err := n.Cluster(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask pod %s for its cluster: %w", pod.Name, err)
	}
	return got, nil
}

// Memory implements Access.
func (a *access) Memory(ctx context.Context, c *Component, pod Pod) (*client.Memory, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	n, err := a.node(c, pod)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	got, err := n.Memory(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask pod %s for its memory: %w", pod.Name, err)
	}
	return got, nil
}

// View implements Access. A node that knows a leader knows more than one that is cut off, so it is
// preferred. The error is ErrKey when it is about nothing but the key.
func (a *access) View(ctx context.Context, c *Component) (*client.View, error) {
	ctx, cancel := context.WithTimeout(ctx, viewLimit)
	defer cancel()
	if len(c.Pods) == 0 {
		return nil, fmt.Errorf("look at %s: %w", c.Key, errNoPods)
	}
	var second *client.View
	var failed error
	refused := 0
	for _, pod := range c.Pods {
		v, err := a.viewFrom(ctx, c, pod)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
			if client.StatusOf(err) == http.StatusUnauthorized {
				refused++
			}
		case !v.Cluster.Enabled() || v.Cluster.Raft.Leader != 0:
			return v, nil
		case second == nil:
			second = v
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case second != nil:
		return second, nil
	case refused == len(c.Pods):
		return nil, fmt.Errorf("look at %s: %w: %w", c.Key, ErrKey, failed)
	}
	return nil, fmt.Errorf("look at %s: %w", c.Key, failed)
}

func (a *access) viewFrom(ctx context.Context, c *Component, pod Pod) (*client.View, error) {
	n, err := a.node(c, pod)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	v, err := n.View(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask pod %s: %w", pod.Name, err)
	}
	return v, nil
}

// Drain implements Access. Any node takes the request to the one that leads.
func (a *access) Drain(ctx context.Context, c *Component, peer uint64, on bool) error {
	ctx, cancel := context.WithTimeout(ctx, agreement+clusterLimit)
	defer cancel()
	what := "drain"
	if !on {
		what = "end the drain of"
	}
	if len(c.Pods) == 0 {
		return fmt.Errorf("%s node %d of %s: %w", what, peer, c.Key, errNoPods)
	}
	var failed error
	for _, pod := range c.Pods {
		err := a.drainThrough(ctx, c, pod, peer, on)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("through pod %s: %w", pod.Name, err))
		if !client.IsUnreachable(err) || ctx.Err() != nil {
			break // it was told what is the matter: the next one would say the same
		}
	}
	return fmt.Errorf("%s node %d of %s: %w", what, peer, c.Key, failed)
}

func (a *access) drainThrough(ctx context.Context, c *Component, pod Pod, peer uint64, on bool) error {
	n, err := a.node(c, pod)
	if err != nil {
		return err
	}
	defer n.Close()
	if on {
		return n.Drain(ctx, peer, agreement)
	}
	return n.Undrain(ctx, peer, agreement)
}
