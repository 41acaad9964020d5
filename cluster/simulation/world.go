package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cluster/topology"
)

// Result is what came of a life.
type Result struct {
	Plan Plan
	// Hash is of all that happened: the same plan has the same.
	Hash uint64
	// Err is the first thing that must not be.
	Err error
	// Tally counts what happened, so that one can see that something was tested.
	Tally map[string]int
	// Took is the virtual time that went by, Events how many there were.
	Took   time.Duration
	Events int
}

// maxEvents bounds a life: one that has so many never gets quiet.
const maxEvents = 3_000_000

// Run lives a life. tell, when not nil, hears what happens.
func Run(p Plan, tell func(at time.Duration, what string)) Result {
	w := newWorld(p, tell)
	w.start()
	for w.events.seq < maxEvents && w.wrong == nil && !w.done {
		e, ok := w.events.next()
		if !ok {
			break
		}
		w.now = e.at
		e.do()
		w.count++
	}
	if w.wrong == nil && !w.done {
		w.violate("after %d events it isn't over: %s", w.count, w.unwell())
	}
	if w.wrong == nil {
		w.checkHistories()
	}
	return Result{Plan: p, Hash: w.hash, Err: w.wrong, Tally: w.tally, Took: w.now, Events: w.count}
}

// world is everything.
type world struct {
	plan   Plan
	rnd    *rand.Rand
	now    time.Duration
	events events
	count  int
	hash   uint64
	tell   func(time.Duration, string)
	tally  map[string]int
	wrong  error
	done   bool
	// calm says that faults have stopped.
	calm bool

	nodes  []*node // in the order in which they came; those that are gone stay
	links  [][]link
	nextID topology.PeerID
	raft   consensus
	shards []*shardTruth
	heal   healing
	// clients' writes and reads
	writes  []*write
	reads   []*read
	lastOp  uint32
	silence time.Duration // when a message between copies was last sent
}

const collectionName = "things"

func newWorld(p Plan, tell func(time.Duration, string)) *world {
	w := &world{plan: p, rnd: rand.New(rand.NewPCG(p.Seed, 11)), tell: tell, tally: map[string]int{}}
	w.raft.master = &topology.State{}
	w.raft.ghosts, w.raft.hashes = map[topology.PeerID]bool{}, map[uint64]uint64{}
	for i := range p.Shards {
		w.shards = append(w.shards, newShardTruth(topology.ShardName{Collection: collectionName + "-1", Shard: uint32(i)}))
	}
	return w
}

// violate notes the first thing that must not be.
func (w *world) violate(format string, args ...any) {
	if w.wrong == nil {
		w.wrong = fmt.Errorf("at %s: %w", w.now, fmt.Errorf(format, args...))
		w.trace("WRONG: %v", w.wrong)
	}
}

func (w *world) trace(format string, args ...any) {
	if w.tell != nil {
		w.tell(w.now, fmt.Sprintf(format, args...))
	}
}

// note takes something that happened into the hash.
func (w *world) note(vs ...uint64) { w.hash = mix(w.hash, vs...) }

func (w *world) after(d time.Duration, do func()) { w.events.add(w.now+d, do) }

// chance is true so many times of a thousand.
func (w *world) chance(perMille int) bool { return w.rnd.IntN(1000) < perMille }

// around returns a time with that mean, sometimes much longer.
func (w *world) around(mean time.Duration) time.Duration {
	d := time.Duration(w.rnd.Int64N(int64(2*mean) + 1))
	if !w.calm && w.rnd.IntN(50) == 0 {
		d *= 10
	}
	return d
}

func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rnd.Int64N(int64(to-from)+1))
}

// start makes the nodes and begins everything.
func (w *world) start() {
	for range w.plan.Nodes {
		n := w.addNode()
		n.joined, n.voter = true, true
		n.launch()
	}
	w.tickConsensus()
	w.after(w.between(time.Millisecond, 300*time.Millisecond), w.createCollection)
}

// createCollection has the collection made, as soon as all nodes are there.
func (w *world) createCollection() {
	if len(w.raft.master.Peers()) < w.plan.Nodes {
		w.after(50*time.Millisecond, w.createCollection)
		return
	}
	copies, least := uint32(w.plan.Copies), uint32(w.plan.MinInSync)
	c := topology.CreateCollection{Collection: &topology.Collection{
		Name: collectionName, Incarnation: collectionName + "-1",
		Config: &pb.CollectionConfig{Params: &pb.CollectionParams{
			ShardNumber: uint32(w.plan.Shards), ReplicationFactor: &copies, WriteConsistencyFactor: &least,
		}},
	}}
	for i := range w.plan.Shards {
		c.Collection.Shards = append(c.Collection.Shards, &topology.Shard{ID: uint32(i)})
		var on []topology.PeerID
		for _, k := range w.rnd.Perm(w.plan.Nodes)[:min(w.plan.Copies, w.plan.Nodes)] {
			on = append(on, w.nodes[k].id)
		}
		c.Placement = append(c.Placement, on)
	}
	w.admin(c, func(err error) {
		if err != nil && len(w.raft.master.Collections()) == 0 {
			w.after(50*time.Millisecond, w.createCollection)
			return
		}
		w.trace("the collection is made")
		w.beginLoad()
		w.beginFaults()
	})
}

// admin has a command done by any node; it may be lost, or done without an answer.
func (w *world) admin(c topology.Command, done func(error)) {
	n := w.anyUp()
	if n == nil {
		w.after(10*time.Millisecond, func() { done(errNobody) })
		return
	}
	once := proposal{done: func(_ uint64, err error) { done(err) }}
	n.proc.propose(c, time.Second, once.end)
	w.after(1100*time.Millisecond, func() { once.end(0, errTimeout) }) // the process may be gone
}

var (
	errNobody  = errors.New("no node is up")
	errTimeout = errors.New("timeout")
)

// anyUp returns a node whose process runs, nil when there is none.
func (w *world) anyUp() *node {
	var up []*node
	for _, n := range w.nodes {
		if n.proc != nil && n.joined && !n.gone {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rnd.IntN(len(up))]
}

// node returns the node with an ID, nil when there is none (any more).
func (w *world) node(id topology.PeerID) *node {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}
