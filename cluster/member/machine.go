package member

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/cluster/topology"
)

// view is the topology after the entry of the consensus's log with this index. It is
// never changed.
type view struct {
	*topology.State
	index uint64
}

// machine is the topology as the state machine of the consensus. Everybody else reads the
// newest view, which costs nothing, or waits for one.
type machine struct {
	now atomic.Pointer[view]
	// tell hears what people should know about.
	tell func(topology.Event)

	mu      sync.Mutex
	changed chan struct{} // closed when a newer view is there
}

func newMachine(tell func(topology.Event)) *machine {
	m := &machine{changed: make(chan struct{}), tell: tell}
	m.now.Store(&view{State: &topology.State{}})
	return m
}

// outcome is what a command came to.
type outcome struct {
	changed bool
	err     error
}

// Apply is the method of consensus.Machine. A command that can't be read was written by a newer
// version: to leave it out would be to hold another topology than the others.
func (m *machine) Apply(index uint64, data []byte) any {
	cmd, err := topology.DecodeCommand(data)
	if err != nil {
		panic(fmt.Sprintf("topology command %d can't be read, it is from a newer version: %v", index, err))
	}
	next := m.now.Load().Clone()
	next.SetIndex(index)
	changed, err := next.Apply(cmd)
	if err != nil {
		next = m.now.Load().State // a refused command changes nothing
	} else {
		for _, e := range next.Changed().Events {
			m.tell(e)
		}
	}
	m.publish(&view{State: next, index: index})
	return outcome{changed, err}
}

// Snapshot is the method of consensus.Machine.
func (m *machine) Snapshot() ([]byte, error) { return m.now.Load().Encode() }

// Restore is the method of consensus.Machine.
func (m *machine) Restore(index uint64, data []byte) error {
	s, err := topology.DecodeState(data)
	if err != nil {
		return fmt.Errorf("read topology snapshot: %w", err)
	}
	m.publish(&view{State: s, index: index})
	return nil
}

// amend changes the topology beside the consensus: when that begins, with what it becomes.
func (m *machine) amend(change func(*topology.State) error) error {
	v := m.now.Load()
	next := v.Clone()
	if err := change(next); err != nil {
		return err
	}
	m.publish(&view{State: next, index: v.index})
	return nil
}

func (m *machine) publish(v *view) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Store(v)
	close(m.changed)
	m.changed = make(chan struct{})
}

// newest returns the newest view and a channel that is closed when there is a newer one.
func (m *machine) newest() (*view, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.Load(), m.changed
}

// wait returns when ok holds of a view.
func (m *machine) wait(ctx context.Context, ok func(*view) bool) error {
	for {
		v, changed := m.newest()
		if ok(v) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
