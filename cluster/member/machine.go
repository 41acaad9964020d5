package member

import (
	"context"
	"fmt"

	"github.com/sextantdb/sextant/cluster/feed"
	"github.com/sextantdb/sextant/cluster/topology"
)

// view is the topology after an entry of the consensus's log.
type view = feed.View

// machine is the topology as the state machine of the consensus. Everybody else reads the newest view,
// which costs nothing, waits for one, or follows what changes.
type machine struct {
	*feed.Feed
	// tell hears what people should know about.
	tell func(topology.Event)
}

func newMachine(tell func(topology.Event)) *machine {
	return &machine{feed.New(&view{State: &topology.State{}}), tell}
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
	now := m.Now()
	next := now.Clone()
	next.SetIndex(index)
	changed, err := next.Apply(cmd)
	if err != nil {
		next = now.State // a refused command changes nothing
	}
	v := &view{State: next, Index: index}
	if !changed {
		m.Publish(v, topology.Changes{})
	} else {
		m.Publish(v, next.Changed())
		for _, e := range next.Changed().Events {
			m.tell(e)
		}
	}
	return outcome{changed, err}
}

// Snapshot is the method of consensus.Machine.
func (m *machine) Snapshot() ([]byte, error) { return m.Now().Encode() }

// Restore is the method of consensus.Machine.
func (m *machine) Restore(index uint64, data []byte) error {
	s, err := topology.DecodeState(data)
	if err != nil {
		return fmt.Errorf("read topology snapshot: %w", err)
	}
	m.Replace(&view{State: s, Index: index})
	return nil
}

// amend changes the topology beside the consensus: when that begins, with what it becomes.
func (m *machine) amend(change func(*topology.State) error) error {
	v := m.Now()
	next := v.Clone()
	if err := change(next); err != nil {
		return err
	}
	m.Replace(&view{State: next, Index: v.Index})
	return nil
}

// wait returns when ok holds of a view.
func (m *machine) wait(ctx context.Context, ok func(*view) bool) error {
	for {
		v, changed := m.Newest()
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
