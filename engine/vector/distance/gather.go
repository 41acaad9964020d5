package distance

import "unsafe"

// EndOfLinks ends a neighbour list that isn't full.
const EndOfLinks = ^uint32(0)

// Gather appends to out the links that weren't visited in this epoch, marks them
// visited, and returns how many they are. It stops at EndOfLinks and skips links
// beyond len(visited). links may hold a number twice (it is returned once). out
// must be at least as long as links.
//
// links must not be written by others during the call: copy a shared list first.
func (k *Kernels) Gather(links []uint32, visited []uint16, epoch uint16, out []uint32) int {
	out = out[:len(links)]
	return k.gatherNative(links, visited, epoch, out)
}

// genericGather is the plain Go form of Gather.
func genericGather(links []uint32, visited []uint16, epoch uint16, out []uint32) int {
	n := 0
	for _, id := range links {
		if id == EndOfLinks {
			break
		}
		if uint64(id) >= uint64(len(visited)) || visited[id] == epoch {
			continue
		}
		visited[id] = epoch
		out[n] = id
		n++
	}
	return n
}

// Prefetch asks the CPU to load `lines` cache lines starting at p. p may be any
// address: prefetching never faults.
func (k *Kernels) Prefetch(p unsafe.Pointer, lines int) { k.prefetchNative(p, lines) }
