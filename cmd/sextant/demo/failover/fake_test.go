package failover

import (
	"context"
	"errors"
	"slices"
	"sync"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cmd/sextant/demo/crew"
)

var errDown = errors.New("connection refused")

// fake is a cluster of three nodes whose copies never differ: what is written is everywhere. A node that
// isn't up leads nothing, and is in sync only after a look at it when it is up again.
type fake struct {
	mu     sync.Mutex
	states [3]crew.State
	synced [3]bool
	points map[uint64]int64
	// loses is a note that is forgotten on each kill.
	loses uint64
	// refuse has every write fail; deaf lets no node lead again after a kill.
	refuse, deaf bool
	done         []string
}

func newFake() *fake { return &fake{points: map[uint64]int64{}, synced: [3]bool{true, true, true}} }

func (f *fake) options() Options {
	o := Options{
		Nodes: f, Sight: f, Shards: 6, Pace: 1, Queries: []*pb.QueryPoints{{}},
		Vectors: func(int) *pb.Vectors { return pb.NewVectors(1) },
	}
	for i := range 3 {
		o.Doors = append(o.Doors, &fakeDoor{f, i})
	}
	return o
}

func (f *fake) State(node int) crew.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.states[node]
}

func (f *fake) to(node int, s crew.State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[node] = s
	if s != crew.Up {
		f.synced[node] = false
	}
	f.done = append(f.done, s.String()+" "+name(node))
	return nil
}

func (f *fake) Kill(node int) error {
	f.mu.Lock()
	delete(f.points, f.loses)
	f.mu.Unlock()
	return f.to(node, crew.Killed)
}

func (f *fake) Pause(node int) error                   { return f.to(node, crew.Paused) }
func (f *fake) Heal(_ context.Context, node int) error { return f.to(node, crew.Up) }

func (f *fake) Look(context.Context) (*Picture, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &Picture{Nodes: make([]Node, 3)}
	for i := range p.Nodes {
		p.Nodes[i].Answers, p.Nodes[i].Voter = f.states[i] == crew.Up, true
	}
	for id := range 6 {
		s := Shard{ID: uint32(id), Epoch: 1, Leader: -1, Copies: []int{id % 3, (id + 1) % 3}, Lag: map[int]uint64{}}
		slices.Sort(s.Copies)
		for _, c := range s.Copies {
			switch {
			case f.synced[c]:
				s.InSync = append(s.InSync, c)
				s.Lag[c] = 0
			case f.states[c] == crew.Paused:
				s.Lag[c] = 7 // its leader counts
			}
		}
		if len(s.InSync) > 0 && !f.deaf {
			s.Leader = s.InSync[0]
		}
		p.Shards = append(p.Shards, s)
		p.count(&s)
	}
	for i := range f.synced {
		f.synced[i] = f.states[i] == crew.Up
	}
	return p, nil
}

// fakeDoor is the way in through one node.
type fakeDoor struct {
	*fake
	node int
}

func (d *fakeDoor) open() error {
	if d.states[d.node] != crew.Up {
		return errDown
	}
	return nil
}

func (d *fakeDoor) Write(_ context.Context, p *pb.PointStruct) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse {
		return errDown
	}
	if err := d.open(); err != nil {
		return err
	}
	d.points[p.GetId().GetNum()] = p.GetPayload()[versionKey].GetIntegerValue()
	return nil
}

func (d *fakeDoor) Search(context.Context, *pb.QueryPoints) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open()
}

func (d *fakeDoor) Versions(_ context.Context, ids []uint64) (map[uint64]int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(ids) > proofBatch {
		return nil, errors.New("too many at once")
	}
	m := map[uint64]int64{}
	for _, id := range ids {
		if v, ok := d.points[id]; ok {
			m[id] = v
		}
	}
	return m, d.open()
}

func (d *fakeDoor) Count(context.Context) (notes, all uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.points)), uint64(len(d.points)) + 7, d.open()
}
