package hnsw

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/arena"
)

const (
	// none ends a list that has free slots.
	none = ^uint32(0)
	// maxLevel bounds the height; at M = 2 it is reached once in 2^20 rows.
	maxLevel = 20
	// stripes is the number of locks that guard all lists. Workers hold at most
	// one at a time, so that few stripes suffice for any number of nodes.
	stripes = 4096

	// DefaultM is the number of links of a node in the upper levels; level 0 has
	// twice as many.
	DefaultM = 16
	// DefaultEfConstruct is the width of the search for neighbours of a new row.
	DefaultEfConstruct = 100
	// MaxRows is the largest capacity: one bit of a row number is used inside.
	MaxRows = 1<<31 - 1
)

// Scorer measures the distance from one query to rows. It belongs to one search.
type Scorer interface {
	// Score writes the distance of each row to out: smaller is nearer. A NaN
	// counts as infinitely far.
	Score(rows []uint32, out []float32)
	// Ask is called before with the same rows, so that they can be on their way from
	// memory meanwhile.
	Ask(rows []uint32)
}

// BuildScorer measures distances between rows. It belongs to one worker.
type BuildScorer interface {
	Scorer
	// SetRow makes a row the query of the following calls of Score.
	SetRow(row uint32)
	// Equal tells whether two rows hold the same vector.
	Equal(a, b uint32) bool
}

// Options are the parameters of a Graph; the zero value is the default.
type Options struct {
	// M is the number of links of a node in the upper levels, at least 2; level 0
	// has 2M. 0 is DefaultM.
	M int
	// EfConstruct is the number of candidates among which the neighbours of a new
	// row are chosen. 0 is DefaultEfConstruct.
	EfConstruct int
	// Capacity is the number of rows for which memory is reserved (not touched).
	Capacity int
	// Kernels prefetch lists and keep candidates in order; nil are those in plain Go.
	Kernels *distance.Kernels
	// Account counts the memory; nil counts nothing.
	Account *arena.Account
	// Seed decides the levels of rows.
	Seed uint64
}

// withDefaults fills in what is zero and cuts what is out of range.
func (o Options) withDefaults() Options {
	if o.M == 0 {
		o.M = DefaultM
	}
	if o.EfConstruct == 0 {
		o.EfConstruct = DefaultEfConstruct
	}
	o.M = min(max(o.M, 2), 1024)
	o.EfConstruct = min(max(o.EfConstruct, o.M), 1<<16)
	o.Capacity = min(max(o.Capacity, 1), MaxRows)
	if o.Kernels == nil {
		o.Kernels = new(distance.Kernels)
	}
	return o
}

// Graph is the graph over rows 0..Cap-1. Any number of searches may run beside
// one Insert call at a time.
type Graph struct {
	opts Options
	m0   int

	// Flat memory, see layout. Every word is read and written atomically once the
	// graph is shared.
	mem    *memory
	links0 []uint32 // Cap × m0: level-0 lists
	chain  []uint32 // Cap: next row with the same vector + 1, or 0
	upRow  []uint32 // slots: row of an upper node
	upBase []uint32 // slots: its first list in upList
	upList []uint32 // lists × M: slots of the neighbours in one upper level

	// entry packs level<<32 | slot-or-row of the node where searches begin: a slot
	// when level > 0, a row at level 0. noEntry when the graph is empty.
	entry atomic.Uint64
	// nodes counts rows with lists; chained counts rows behind another one.
	nodes, chained atomic.Int64

	// mu guards slots and lists, the used lengths of the upper arrays, and the
	// writing of entry.
	mu    sync.Mutex
	slots int
	lists int

	// locks guard lists by the number of their owner (rows and slots share them).
	locks     [stripes]sync.Mutex
	searchers sync.Pool
	readOnly  bool // lists lie in a mapped file
}

const noEntry = ^uint64(0)

// New returns an empty graph.
func New(o Options) (*Graph, error) {
	o = o.withDefaults()
	g := &Graph{opts: o, m0: 2 * o.M}
	if err := g.layout(); err != nil {
		return nil, err
	}
	g.entry.Store(noEntry)
	return g, nil
}

// upperCapacity returns how many slots and lists rows need in the upper levels:
// the expectation and eight standard deviations. A row that finds them full
// stays at level 0.
func upperCapacity(rows, m int) (slots, lists int) {
	enough := func(mean float64) int { return int(mean+8*math.Sqrt(mean)) + 64 }
	return enough(float64(rows) / float64(m)), enough(float64(rows) / float64(m-1))
}

// layout reserves memory and cuts it into the arrays; links0 only when it isn't
// mapped.
func (g *Graph) layout() error {
	n := g.opts.Capacity
	slots, lists := upperCapacity(n, g.opts.M)
	// The level-0 lists come first, where the alignment of the memory makes each
	// begin at a cache line (for M a multiple of 8).
	sizes := []int{n * g.m0, n, slots, slots, lists * g.opts.M}
	if g.readOnly {
		sizes[0] = 0
	}
	parts := []*[]uint32{&g.links0, &g.chain, &g.upRow, &g.upBase, &g.upList}
	total := 0
	for _, s := range sizes {
		total += roundUp(s, 16)
	}
	mem, err := newMemory(total, g.opts.Account)
	if err != nil {
		return err
	}
	g.mem = mem
	words := mem.words
	for i, s := range sizes {
		*parts[i] = words[:s:s]
		words = words[roundUp(s, 16):]
	}
	return nil
}

// Grow returns a copy with room for more rows. No Insert may run meanwhile;
// searches on g may. The caller frees g when its last search has ended.
func (g *Graph) Grow(capacity int) (*Graph, error) {
	o := g.opts
	o.Capacity = max(capacity, o.Capacity)
	ng, err := New(o)
	if err != nil {
		return nil, err
	}
	ng.slots, ng.lists = g.slots, g.lists
	copy(ng.links0, g.links0)
	copy(ng.chain, g.chain)
	copy(ng.upRow, g.upRow[:g.slots])
	copy(ng.upBase, g.upBase[:g.slots])
	copy(ng.upList, g.upList[:g.lists*o.M])
	ng.nodes.Store(g.nodes.Load())
	ng.chained.Store(g.chained.Load())
	ng.entry.Store(g.entry.Load())
	return ng, nil
}

// Free returns the memory. Nothing of the graph may be used afterwards. It may be
// called again.
func (g *Graph) Free() error {
	g.links0, g.chain, g.upRow, g.upBase, g.upList = nil, nil, nil, nil, nil
	return g.mem.free()
}

// Cap returns for how many rows there is room.
func (g *Graph) Cap() int { return g.opts.Capacity }

// M returns the number of links of a node in the upper levels.
func (g *Graph) M() int { return g.opts.M }

// EfConstruct returns the width of the search for neighbours of a new row.
func (g *Graph) EfConstruct() int { return g.opts.EfConstruct }

// Nodes returns the number of rows that have lists.
func (g *Graph) Nodes() int { return int(g.nodes.Load()) }

// Chained returns the number of rows that hang behind an equal one.
func (g *Graph) Chained() int { return int(g.chained.Load()) }

// Bytes returns the memory that rows 0..rows-1 use.
func (g *Graph) Bytes(rows int) int64 {
	slots, lists := upperCapacity(rows, g.opts.M)
	return 4 * (int64(rows)*int64(g.m0+1) + 2*int64(slots) + int64(lists)*int64(g.opts.M))
}

// Level returns the level of a row: geometric with ratio 1/M, a function of row
// and seed alone, so that the same rows give the same graph.
func (g *Graph) Level(row uint32) int {
	// 53 random bits as u in (0, 1]; P(level ≥ l) = M^-l.
	u := float64(mix(g.opts.Seed^(uint64(row)+1)*0x9e3779b97f4a7c15)>>11+1) / (1 << 53)
	return min(int(-math.Log(u)/math.Log(float64(g.opts.M))), maxLevel)
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return bits.RotateLeft64(x^x>>31, 17)
}

// list0 returns the slots of a row's level-0 list.
func (g *Graph) list0(row uint32) []uint32 {
	i := int(row) * g.m0
	return g.links0[i : i+g.m0 : i+g.m0]
}

// list returns the slots of an upper list: of a slot at a level from 1.
func (g *Graph) list(slot uint32, level int) []uint32 {
	m := g.opts.M
	i := (int(atomic.LoadUint32(&g.upBase[slot])) + level - 1) * m
	return g.upList[i : i+m : i+m]
}

// lock returns the lock of an owner.
func (g *Graph) lock(owner uint32) *sync.Mutex { return &g.locks[owner%stripes] }

// EachEqual calls visit for a node and the rows chained behind it, until visit
// returns false.
func (g *Graph) EachEqual(row uint32, visit func(row uint32) bool) {
	if !visit(row) {
		return
	}
	for next := atomic.LoadUint32(&g.chain[row]); next != 0; {
		if !visit(next - 1) {
			return
		}
		next = atomic.LoadUint32(&g.chain[next-1])
	}
}

// HasEqual tells whether rows are chained behind a node.
func (g *Graph) HasEqual(row uint32) bool { return atomic.LoadUint32(&g.chain[row]) != 0 }

// attach chains a row behind a node, first in the chain: of a vector that is
// written again and again, the newest row is the one alive.
func (g *Graph) attach(node, row uint32) {
	l := g.lock(node)
	l.Lock()
	atomic.StoreUint32(&g.chain[row], atomic.LoadUint32(&g.chain[node]))
	atomic.StoreUint32(&g.chain[node], row+1)
	l.Unlock()
	g.chained.Add(1)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// ReadOnly tells whether the lists lie in a mapped file, so that rows can only be
// inserted into what Grow returns.
func (g *Graph) ReadOnly() bool { return g.readOnly }

// Normalized returns the options as a graph has them: defaults filled in, and
// what is out of range cut.
func (o Options) Normalized() Options { return o.withDefaults() }
