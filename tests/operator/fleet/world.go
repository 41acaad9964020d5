package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// pace is how often the world goes a step on.
	pace = 20 * time.Millisecond
	// fenceAfter is how many steps a silent node counts as there.
	fenceAfter = 10
	// fill is how many steps an empty copy needs to have everything, catchUp one that was there
	// before.
	fill, catchUp = 15, 3
)

// World is all disks, processes and clusters of a test. It is safe for concurrent use.
type World struct {
	mu         sync.Mutex
	disks      map[string]*disk
	processes  map[*Process]bool
	clusters   []*cluster
	lastPeer   uint64
	violations []string
	// stopping lets nodes be stopped whatever they hold.
	stopping bool
	load     Load
	loaded   bool
	// memory is how much of it each node needs.
	memory uint64
}

// Load is what became of the reads and writes of all shards, a pair a step.
type Load struct {
	// Steps is how long it went on.
	Steps int
	// Unread and Unwritten are how many steps on end a shard could not be read, or written,
	// at worst.
	Unread, Unwritten int
	// Acknowledged is how many writes were.
	Acknowledged uint64
	// Down is how many members were missing at once, at worst.
	Down int
}

// disk is what a claim is bound to: it outlives processes.
type disk struct {
	name    string
	cluster *cluster
	// peer is 0 on a disk that is empty.
	peer uint64
	user *Process
}

// New makes an empty world.
func New() *World {
	return &World{disks: map[string]*disk{}, processes: map[*Process]bool{}}
}

// NeedMemory has every node need so much memory.
func (w *World) NeedMemory(bytes uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory = bytes
}

// Run lets time pass until ctx ends. Then all processes are killed, and waited for.
func (w *World) Run(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.mu.Lock()
			w.step()
			w.mu.Unlock()
		case <-ctx.Done():
			w.mu.Lock()
			all := slices.Collect(maps.Keys(w.processes))
			w.mu.Unlock()
			for _, p := range all {
				p.Kill()
			}
			for _, p := range all {
				<-p.Ended()
			}
			return
		}
	}
}

// step is one step of everything.
func (w *World) step() {
	for _, p := range w.sorted() {
		w.enter(p)
	}
	for _, c := range w.clusters {
		c.step(w.alive(c))
	}
	for p := range w.processes {
		p.latch()
	}
	if w.loaded {
		w.load.Steps++
		for _, c := range w.clusters {
			alive := w.alive(c)
			c.serve(alive, &w.load)
			w.load.Down = max(w.load.Down, len(c.members)-len(alive))
		}
	}
}

// sorted lists the processes by address, so that peers get their numbers in one order.
func (w *World) sorted() []*Process {
	return slices.SortedFunc(maps.Keys(w.processes), func(a, b *Process) int { return strings.Compare(a.host, b.host) })
}

// alive are the members of a cluster that take part.
func (w *World) alive(c *cluster) map[uint64]bool {
	all := map[uint64]bool{}
	for p := range w.processes {
		if p.disk.cluster == c && p.disk.peer != 0 && !p.cut && !p.ending && c.members[p.disk.peer] != nil {
			all[p.disk.peer] = true
		}
	}
	return all
}

// violate remembers what must not happen.
func (w *World) violate(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.violations, text) {
		w.violations = append(w.violations, text)
	}
}

// Violations lists what happened that must not.
func (w *World) Violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.violations)
	for _, c := range w.clusters {
		all = append(all, c.lost...)
	}
	return all
}

// Pardon forgets what was lost of a collection, when that was asked for.
func (w *World) Pardon(collection string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	about := func(text string) bool { return strings.HasSuffix(text, " of "+collection) }
	w.violations = slices.DeleteFunc(w.violations, about)
	for _, c := range w.clusters {
		c.lost = slices.DeleteFunc(c.lost, about)
	}
}

// Stopping says whether nodes may be stopped whatever they hold, since all are to be.
func (w *World) Stopping(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopping = yes
}

// StartLoad begins to read and write all shards, and forgets what was counted before.
func (w *World) StartLoad() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loaded, w.load = true, Load{}
	for _, c := range w.clusters {
		for _, s := range c.shards {
			s.unread, s.unwritten = 0, 0
		}
	}
}

// Load tells how the load went.
func (w *World) Load() Load {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.load
}

// CreateCollection makes a collection on the only cluster, with writes that were acknowledged.
func (w *World) CreateCollection(name string, shards, factor int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.clusters) != 1 {
		return fmt.Errorf("there are %d clusters, not one", len(w.clusters))
	}
	return w.clusters[0].create(name, shards, factor, w.alive(w.clusters[0]))
}

// Whole tells what keeps the data from being complete: every shard has as many copies in sync as
// there should be, and each has all that was acknowledged. Empty is that it is.
func (w *World) Whole() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.clusters) != 1 {
		return fmt.Sprintf("there are %d clusters, not one", len(w.clusters))
	}
	return w.clusters[0].incomplete()
}

// Irreplaceable names a shard of which a pod's node has the only copy in sync; empty is that
// its disk may be lost.
func (w *World) Irreplaceable(pod string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.clusters {
		for peer, m := range c.members {
			if m.pod() != pod {
				continue
			}
			for _, s := range c.shards {
				if s.inSync[peer] && len(s.inSync) == 1 {
					return s.String()
				}
			}
		}
	}
	return ""
}

// Spread is how many copies each pod's node has, of all shards.
func (w *World) Spread() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]int{}
	for _, c := range w.clusters {
		for peer, m := range c.members {
			all[m.pod()] = c.has(peer)
		}
	}
	return all
}

// ClusterID is the identity of the only cluster, empty when there isn't exactly one.
func (w *World) ClusterID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.clusters) != 1 {
		return ""
	}
	return w.clusters[0].id
}

// Leader is the pod whose node leads the consensus.
func (w *World) Leader() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.clusters {
		if m := c.members[c.leader]; m != nil {
			return m.pod()
		}
	}
	return ""
}

// DropDisk throws a disk away, which an operator does by deleting a claim: what only it has is
// lost. LoseDisk does the same to no one's blame.
func (w *World) DropDisk(name string) { w.discard(name, true) }

// LoseDisk is the disk's own failure.
func (w *World) LoseDisk(name string) { w.discard(name, false) }

func (w *World) discard(name string, blame bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.disks[name]
	if d == nil {
		return
	}
	if d.user != nil && blame {
		w.violate("disk %s was thrown away while %s used it", name, d.user.host)
	}
	if d.cluster != nil && d.peer != 0 {
		if lost := d.cluster.emptied(d.peer); len(lost) > 0 && blame && !w.stopping {
			w.violate("disk %s was thrown away, and with it the last complete copy of %s", name, strings.Join(lost, ", "))
		}
	}
	delete(w.disks, name)
	if d.user == nil {
		return
	}
	// Who uses it goes on with an empty one, as a file system that was made anew.
	w.disks[name] = &disk{name: name, user: d.user}
	d.user.disk = w.disks[name]
}
