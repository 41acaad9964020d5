package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// heapLook is how often a node looks whether it is quiet.
	heapLook = 3 * time.Second
	// quietBytes are allocated between two looks at most when a node is quiet.
	quietBytes = 2 << 20
	// worthBytes is how much memory must be to be had for a collection to be worth it.
	worthBytes = 16 << 20
)

// heapState is what the runtime tells of its heap.
type heapState struct {
	// allocated counts all bytes ever allocated, free are those that hold nothing but
	// were not given back to the machine.
	allocated, free uint64
}

// heapKeeper gives memory back to the machine when the node has become quiet.
//
// What a load or a checkpoint leaves behind is garbage of several times the live
// heap. The runtime collects when more is allocated, and gives back slowly: a node
// that has nothing to do would keep it for minutes. While there is work it is left
// to the runtime, because memory given back has to be taken again.
type heapKeeper struct {
	read func() heapState
	// release collects and gives back.
	release func()

	last heapState
	// released is how much had been allocated at the last release.
	released uint64
}

// look is called from time to time.
func (k *heapKeeper) look() {
	now := k.read()
	quiet := now.allocated-k.last.allocated <= quietBytes
	k.last = now
	if !quiet || now.allocated-k.released < worthBytes && now.free < worthBytes {
		return
	}
	k.release()
	k.last = k.read()
	k.released = k.last.allocated
}

// ReturnMemory gives memory of the Go heap back to the machine whenever the process
// has become quiet, until ctx ends. It concerns the whole process, hence only a
// command calls it.
func ReturnMemory(ctx context.Context) {
	k := heapKeeper{read: readHeap, release: debug.FreeOSMemory}
	t := time.NewTicker(heapLook)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			k.look()
		}
	}
}

// readHeap asks the runtime; what it doesn't know is 0.
func readHeap() heapState {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	n := func(i int) uint64 {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return s[i].Value.Uint64()
	}
	return heapState{allocated: n(0), free: n(1)}
}
