// Package netns gives processes network namespaces of their own on one bridge, whose links
// can be cut in each direction, for tests. It needs root and the command `ip`, and nothing
// else: a link is cut by sending its packets to a hardware address that nobody has, so
// that they vanish without a word, as in a broken switch.
//
// Names carry the number of the process that made them. What a process left behind that
// was killed is removed by the next one.
//
// Callers: internal/testbed/clusterbed.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

const (
	// prefix begins the names of everything that is made here; an interface's name has at
	// most 15 bytes.
	prefix = "sxt"
	// nobody is a hardware address that no interface has.
	nobody = "02:53:58:54:00:00"
	// most is how many places a network has.
	most = 200
)

// networks counts those of this process.
var networks atomic.Uint32 //nolint:gochecknoglobals // names must differ in a process

// Network is a bridge with places. Its methods are for one goroutine at a time.
type Network struct {
	name   string // of the bridge; places append their number
	subnet string // "10.x.y."
	places []Place
	cut    map[[2]int]bool
}

// Place is one namespace.
type Place struct {
	// Host is its address.
	Host string
	// Wrap is the command that runs another one inside.
	Wrap []string

	name, hardware string
}

// Available says why there can't be namespaces, nil when there can.
func Available(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	name := fmt.Sprintf("%s%d-try%d", prefix, os.Getpid(), networks.Add(1))
	if err := ip(ctx, "netns", "add", name); err != nil {
		return err
	}
	return ip(ctx, "netns", "del", name)
}

// New makes a bridge without places, and removes what killed processes left. Close it.
func New(ctx context.Context) (*Network, error) {
	if err := sweep(ctx); err != nil {
		return nil, err
	}
	subnet, err := freeSubnet()
	if err != nil {
		return nil, err
	}
	n := &Network{name: fmt.Sprintf("%s%db%d", prefix, os.Getpid(), networks.Add(1)), subnet: subnet, cut: map[[2]int]bool{}}
	err = all(ctx, [][]string{
		{"link", "add", n.name, "type", "bridge"},
		{"addr", "add", subnet + "254/24", "dev", n.name},
		{"link", "set", n.name, "up"},
	})
	if err != nil {
		return nil, errors.Join(err, n.Close(ctx))
	}
	return n, nil
}

// freeSubnet finds a network that no interface is in.
func freeSubnet() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("look at the interfaces: %w", err)
	}
	for third := range 250 {
		subnet := fmt.Sprintf("10.213.%d.", (os.Getpid()+third)%250)
		taken := slices.ContainsFunc(addrs, func(a net.Addr) bool {
			own, ok := a.(*net.IPNet)
			return ok && own.Contains(net.ParseIP(subnet+"1"))
		})
		if !taken {
			return subnet, nil
		}
	}
	return "", errors.New("no network below 10.213.0.0/16 is free")
}

// Add makes another place; they are counted from 0.
func (n *Network) Add(ctx context.Context) (Place, error) {
	i := len(n.places)
	if i == most {
		return Place{}, fmt.Errorf("a network has at most %d places", most)
	}
	p := Place{
		Host: fmt.Sprintf("%s%d", n.subnet, i+1), name: fmt.Sprintf("%s-%d", n.name, i),
		hardware: fmt.Sprintf("02:53:58:54:01:%02x", i),
	}
	p.Wrap = []string{"ip", "netns", "exec", p.name}
	n.places = append(n.places, p)
	err := all(ctx, [][]string{
		{"netns", "add", p.name},
		{"link", "add", p.name, "type", "veth", "peer", "name", "eth0", "address", p.hardware, "netns", p.name},
		{"link", "set", p.name, "master", n.name},
		{"link", "set", p.name, "up"},
		{"-n", p.name, "link", "set", "lo", "up"},
		{"-n", p.name, "addr", "add", p.Host + "/24", "dev", "eth0"},
		{"-n", p.name, "link", "set", "eth0", "up"},
	})
	if err != nil {
		return Place{}, err
	}
	// Neighbours are told, not found out, so that what is said about them counts.
	for j := range i {
		if err := errors.Join(n.point(ctx, i, j), n.point(ctx, j, i)); err != nil {
			return Place{}, err
		}
	}
	return p, nil
}

// point tells a place where another one is, which is nowhere when the way is cut.
func (n *Network) point(ctx context.Context, from, to int) error {
	hardware := n.places[to].hardware
	if n.cut[[2]int{from, to}] {
		hardware = nobody
	}
	return ip(ctx, "-n", n.places[from].name, "neigh", "replace", n.places[to].Host, "lladdr", hardware, "dev", "eth0", "nud", "permanent")
}

// Cut loses all that one place sends to another.
func (n *Network) Cut(ctx context.Context, from, to int) error {
	n.cut[[2]int{from, to}] = true
	return n.point(ctx, from, to)
}

// Heal mends all links.
func (n *Network) Heal(ctx context.Context) error {
	var errs []error
	for way := range n.cut {
		delete(n.cut, way)
		errs = append(errs, n.point(ctx, way[0], way[1]))
	}
	return errors.Join(errs...)
}

// Close removes everything. Processes inside should have ended.
func (n *Network) Close(ctx context.Context) error {
	var errs []error
	for _, p := range n.places {
		errs = append(errs, remove(ctx, "netns", p.name))
	}
	return errors.Join(append(errs, remove(ctx, "link", n.name))...)
}

// remove removes a namespace or an interface, if there is one.
func remove(ctx context.Context, kind, name string) error {
	err := ip(ctx, kind, "del", name)
	if err != nil && (strings.Contains(err.Error(), "No such file") || strings.Contains(err.Error(), "Cannot find device")) {
		return nil
	}
	return err
}

// sweep removes what processes left behind that aren't any more, with the processes that
// they ran inside.
func sweep(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("list the namespaces: %w", err)
	}
	var errs []error
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !left(name) {
			continue
		}
		killInside(ctx, name)
		errs = append(errs, remove(ctx, "netns", name))
	}
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	for _, l := range links {
		// Those of namespaces go with them, later.
		if left(l.Name) && !strings.Contains(l.Name, "-") {
			errs = append(errs, remove(ctx, "link", l.Name))
		}
	}
	return errors.Join(errs...)
}

// left tells whether a name is ours, of a process that isn't any more.
func left(name string) bool {
	rest, ours := strings.CutPrefix(name, prefix)
	if !ours {
		return false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return false
	}
	owner, err := strconv.Atoi(rest[:end])
	return err == nil && owner != os.Getpid() && errors.Is(syscall.Kill(owner, 0), syscall.ESRCH)
}

func killInside(ctx context.Context, name string) {
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", name).Output()
	if err != nil {
		return // there is no such namespace any more
	}
	for word := range strings.FieldsSeq(string(out)) {
		if pid, err := strconv.Atoi(word); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
}

// all runs commands until one fails.
func all(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if err := ip(ctx, c...); err != nil {
			return err
		}
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
