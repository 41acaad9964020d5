package fsx

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is the unit that a disk writes or doesn't.
const sector = 512

// KillClone returns what a new process finds after kill -9: everything written,
// and still not more durable than it was.
func (m *Mem) KillClone() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := copier{seen: map[*memNode]*memNode{}, content: func(n *memNode) *memNode {
		return &memNode{data: slices.Clone(n.data), stable: slices.Clone(n.stable), clean: n.clean}
	}}
	out := NewMem()
	out.root = c.node(m.root, func(n *memNode) (now, later map[string]*memNode) { return n.children, n.durable })
	for _, change := range m.pending {
		moved := make(nameChange, len(change))
		for i, e := range change {
			moved[i] = nameEdit{dir: c.again(e.dir), name: e.name, node: c.again(e.node)}
		}
		out.pending = append(out.pending, moved)
	}
	return out
}

// CrashClone returns what a power cut leaves: synced bytes and names are there;
// of the others, rng decides. A file may keep, lose or tear what was written since
// its last Sync, sector by sector or at any byte, with zeros where only the
// length got through. A change of names that no SyncDir covered happens or
// doesn't, alone or up to a point in time. What is left is durable.
func (m *Mem) CrashClone(rng *rand.Rand) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	names := map[*memNode]map[string]*memNode{}
	survived := func(n *memNode) map[string]*memNode {
		if names[n] == nil {
			names[n] = maps.Clone(n.durable)
		}
		return names[n]
	}
	for _, change := range survivingChanges(m.pending, rng) {
		change.apply(survived)
	}
	c := copier{seen: map[*memNode]*memNode{}, content: func(n *memNode) *memNode {
		b := survivingBytes(n, rng)
		return &memNode{data: b, stable: slices.Clone(b), clean: len(b)}
	}}
	out := NewMem()
	out.root = c.node(m.root, func(n *memNode) (now, later map[string]*memNode) {
		return survived(n), survived(n)
	})
	return out
}

// FailSync does to a file what operating systems do when a sync fails: what was
// written since the last Sync never reaches the disk, but processes go on seeing
// it, and later syncs hold it for done. Only writing it again helps. For an
// injector of Fault that makes a Sync fail.
func (m *Mem) FailSync(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findFile("sync", name)
	if err != nil {
		return err
	}
	n.stable = slices.Concat(n.stable[:n.clean], make([]byte, len(n.data)-n.clean))
	n.clean = len(n.data)
	return nil
}

// survivingChanges picks all, none, a prefix or any subset.
func survivingChanges(pending []nameChange, rng *rand.Rand) []nameChange {
	switch rng.IntN(4) {
	case 0:
		return nil
	case 1:
		return pending
	case 2:
		return pending[:rng.IntN(len(pending)+1)]
	default:
		var some []nameChange
		for _, c := range pending {
			if rng.IntN(2) == 0 {
				some = append(some, c)
			}
		}
		return some
	}
}

// survivingBytes mixes the content at the last Sync with the content now. Bytes
// below n.clean are the same in both and always survive.
func survivingBytes(n *memNode, rng *rand.Rand) []byte {
	if n.clean == len(n.data) && len(n.stable) == len(n.data) {
		return slices.Clone(n.stable)
	}
	mode := rng.IntN(4)
	switch mode {
	case 0:
		return slices.Clone(n.stable)
	case 1:
		return slices.Clone(n.data)
	}
	lo, hi := min(len(n.stable), len(n.data)), max(len(n.stable), len(n.data))
	size := []int{len(n.stable), len(n.data), lo + rng.IntN(hi-lo+1)}[rng.IntN(3)]
	out := make([]byte, size)
	copy(out, n.stable[:min(n.clean, size)])
	for at := n.clean; at < size; {
		end := min(size, (at/sector+1)*sector)
		from := n.data
		if at >= len(n.data) || mode == 2 && rng.IntN(2) == 0 {
			from = n.stable
		}
		if at < len(from) {
			copy(out[at:end], from[at:])
		}
		at = end
	}
	return out
}

// copier copies a tree and keeps hard links together.
type copier struct {
	seen    map[*memNode]*memNode
	content func(*memNode) *memNode
}

// again returns the copy of a node, which need not hang in the tree any more.
func (c *copier) again(n *memNode) *memNode {
	if n == nil {
		return nil
	}
	return c.node(n, func(n *memNode) (now, later map[string]*memNode) { return n.children, n.durable })
}

// node copies a node with the two sets of names that a directory is to have. It
// goes through names in order, so that a seed always gives the same result.
func (c *copier) node(n *memNode, names func(*memNode) (now, later map[string]*memNode)) *memNode {
	if done := c.seen[n]; done != nil {
		return done
	}
	if !n.isDir() {
		out := c.content(n)
		c.seen[n] = out
		return out
	}
	out := newMemDir()
	c.seen[n] = out
	now, later := names(n)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		out.children[name] = c.node(now[name], names)
	}
	for _, name := range slices.Sorted(maps.Keys(later)) {
		out.durable[name] = c.node(later[name], names)
	}
	return out
}
