package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/budget"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/vector"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestMetamorphic runs random operations under random options, with power cuts,
// kills and reopenings between them, and compares every answer with the oracle.
// METAMORPHIC_RUNS makes it run longer, METAMORPHIC_SEED repeats one run,
// METAMORPHIC_OPS sets the operations of a run.
func TestMetamorphic(t *testing.T) {
	runs, first := envInt(t, "METAMORPHIC_RUNS", 12), uint64(time.Now().UnixNano())
	if s := os.Getenv("METAMORPHIC_SEED"); s != "" {
		var err error
		first, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		runs = envInt(t, "METAMORPHIC_RUNS", 1)
	}
	for i := range runs {
		seed := first + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			m := newMeta(t, seed)
			defer m.stop()
			for range envInt(t, "METAMORPHIC_OPS", 250) {
				m.act()
			}
			m.settle()
			m.checkAll()
			m.checkReplica()
		})
	}
}

func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	return def
}

// space is a dense vector name of the run.
type space struct {
	size     int
	distance vector.Distance
	datatype pb.Datatype
}

// tolerance of a score: what the rounding of elements and sums may cost.
func (s space) tolerance(score float64) float64 {
	eps := 1e-4
	if s.datatype == pb.Datatype_Float16 {
		eps = 2e-2
	}
	return eps * (1 + math.Abs(score))
}

type meta struct {
	t   *testing.T
	rng *rand.Rand

	fs    *fsx.Mem
	log   *oplog.Log
	shard *Shard
	o     Options
	moves int // how often the shard was copied, see move

	config *pb.CollectionConfig
	dense  map[string]space
	sparse map[string]bool // by name: idf
	names  []string        // dense names

	now *oracle
	// history has the oracle after each operation from acked on: what may be found
	// after a power cut.
	history map[uint64]*oracle
	acked   uint64 // the last operation known to be durable
	last    uint64
	ops     []Op // all operations up to last
	tickets []*Ticket
}

func newMeta(t *testing.T, seed uint64) *meta {
	t.Helper()
	m := &meta{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: fsx.NewMem(), now: newOracle(),
		dense: map[string]space{}, sparse: map[string]bool{}, history: map[uint64]*oracle{},
	}
	m.chooseConfig()
	m.o = Options{
		Dir: "shard", Config: m.config, Seed: seed, Budget: budget.New(budget.Options{}),
		Manual: m.chance(50), CheckpointIdle: time.Duration(1+m.rng.IntN(20)) * time.Millisecond,
		CheckpointBytes: int64(500 + m.rng.IntN(20000)), Logger: slog.New(slog.DiscardHandler),
		Replicated: m.chance(50),
	}
	m.history[0] = m.now.clone()
	m.open()
	return m
}

func (m *meta) chance(percent int) bool { return m.rng.IntN(100) < percent }

func pickOne[T any](m *meta, list ...T) T { return list[m.rng.IntN(len(list))] }

func (m *meta) chooseConfig() {
	params := map[string]*pb.VectorParams{}
	for i := range 1 + m.rng.IntN(2) {
		name := ""
		if i > 0 || m.chance(30) {
			name = fmt.Sprint("v", i)
		}
		s := space{
			size:     pickOne(m, 1, 3, 8, 17),
			distance: pickOne(m, vector.Cosine, vector.Euclid, vector.Dot, vector.Manhattan),
			datatype: pickOne(m, pb.Datatype_Default, pb.Datatype_Float32, pb.Datatype_Float16, pb.Datatype_Uint8),
		}
		if s.distance == vector.Cosine && s.datatype == pb.Datatype_Uint8 {
			s.datatype = pb.Datatype_Float32 // what is stored then has a test of its own
		}
		m.dense[name] = s
		for pd, d := range distances {
			if d == s.distance {
				params[name] = &pb.VectorParams{Size: uint64(s.size), Distance: pd, Datatype: &s.datatype}
			}
		}
	}
	m.names = slices.Sorted(maps.Keys(m.dense))
	sparseParams := map[string]*pb.SparseVectorParams{}
	if m.chance(60) {
		m.sparse["s"] = m.chance(50)
		p := &pb.SparseVectorParams{}
		if m.sparse["s"] {
			p.Modifier = pb.Modifier_Idf.Enum()
		}
		sparseParams["s"] = p
	}
	m.config = &pb.CollectionConfig{
		Params: &pb.CollectionParams{
			VectorsConfig:       &pb.VectorsConfig{Config: &pb.VectorsConfig_ParamsMap{ParamsMap: &pb.VectorParamsMap{Map: params}}},
			SparseVectorsConfig: &pb.SparseVectorConfig{Map: sparseParams},
		},
	}
	m.chooseSettings(m.config)
}

// chooseSettings chooses what may change during a shard's life.
func (m *meta) chooseSettings(c *pb.CollectionConfig) {
	c.HnswConfig = &pb.HnswConfigDiff{
		M: new(pickOne[uint64](m, 0, 4, 16)), EfConstruct: new(pickOne[uint64](m, 4, 50)),
		FullScanThreshold: new(pickOne[uint64](m, 1, 10000)),
	}
	c.OptimizerConfig = &pb.OptimizersConfigDiff{
		IndexingThreshold: new(pickOne[uint64](m, 0, 1, 2, 10000)), DeletedThreshold: new(pickOne(m, 0.05, 0.2)),
		VacuumMinVectorNumber: new(pickOne[uint64](m, 1, 100)),
	}
	c.QuantizationConfig = nil
	switch m.rng.IntN(3) {
	case 0:
		c.QuantizationConfig = &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Scalar{Scalar: &pb.ScalarQuantization{}}}
	case 1:
		c.QuantizationConfig = &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Binary{Binary: &pb.BinaryQuantization{}}}
	}
}

func (m *meta) open() {
	var err error
	m.log, err = oplog.Open(oplog.Options{FS: m.fs, Dir: "log", FileSize: 64 << 10})
	require.NoError(m.t, err)
	m.o.FS, m.o.Log = m.fs, m.log.Stream("shard")
	var owner *owner
	if m.o.Replicated {
		owner = newOwner(m.o.Log)
		m.o.Log, m.o.Hooks = nil, owner.hooks()
	}
	m.shard, err = Open(m.t.Context(), m.o)
	require.NoError(m.t, err)
	require.NoError(m.t, m.shard.Err())
	flushed := m.shard.Flushed() // once: a checkpoint in the background may come any time
	if m.o.Replicated {
		owner.recover(m.t, m.shard)
	} else if known, err := m.o.Log.At(m.t.Context(), flushed.Seq); err == nil {
		require.Equal(m.t, known, flushed, "the manifest's position isn't the log's")
	} else {
		require.ErrorIs(m.t, err, oplog.ErrReleased)
	}
}

func (m *meta) stop() {
	if m.t.Failed() {
		m.t.Logf("repeat with METAMORPHIC_SEED=%s", m.t.Name()[len("TestMetamorphic/seed="):])
	}
	require.NoError(m.t, m.shard.Close())
	require.NoError(m.t, m.log.Close())
}

// act does one random thing.
func (m *meta) act() {
	switch n := m.rng.IntN(100); {
	case n < 62:
		m.operate()
	case n < 72:
		m.settle()
		m.check()
	case n < 78: // while operations are being applied
		require.NoError(m.t, m.shard.Checkpoint(m.t.Context()))
	case n < 84:
		require.NoError(m.t, m.shard.Optimize(m.t.Context()))
	case n < 90:
		m.crash()
	case n < 93:
		m.reopen()
	case n < 95:
		m.move()
	case n < 97:
		_, err := m.shard.Checksum(m.t.Context())
		require.NoError(m.t, err)
	default:
		m.settle()
		m.checkAll()
	}
}

// settle waits until all operations are applied.
func (m *meta) settle() {
	for _, t := range m.tickets {
		if err := t.Applied(m.t.Context()); err != nil {
			require.NotEqual(m.t, apierror.Internal, apierror.KindOf(err), "%v", err)
		}
	}
	m.tickets = nil
	m.ack(m.last)
}

func (m *meta) ack(seq uint64) {
	for s := range m.history {
		if s < seq {
			delete(m.history, s)
		}
	}
	m.acked = seq
}

// reopen closes and opens again, so nothing may be missing.
func (m *meta) reopen() {
	m.settle()
	require.NoError(m.t, m.shard.Close())
	require.NoError(m.t, m.log.Close())
	m.open()
	require.Equal(m.t, m.last, m.shard.Info().Seq)
	m.checkAll()
}

// crash cuts the power or kills the process while operations are under way.
func (m *meta) crash() {
	for _, t := range m.tickets {
		if m.chance(50) {
			require.NoError(m.t, t.Durable(m.t.Context()))
			m.ack(t.Seq())
		}
	}
	m.tickets = nil
	old, oldLog := m.shard, m.log
	if m.chance(70) {
		m.fs = m.fs.CrashClone(m.rng)
	} else {
		m.fs = m.fs.KillClone()
	}
	_ = old.Close()
	require.NoError(m.t, oldLog.Close())
	m.open()
	seq := m.shard.Info().Seq
	require.GreaterOrEqual(m.t, seq, m.acked, "an acknowledged operation is lost")
	require.LessOrEqual(m.t, seq, m.last)
	m.now = m.history[seq].clone()
	m.history = map[uint64]*oracle{seq: m.now.clone()}
	m.last, m.acked, m.ops = seq, seq, m.ops[:seq]
	m.checkAll()
}

// submit sends an operation, applies it to the oracle, and sometimes waits for
// its result.
func (m *meta) submit(op Op, apply func(*oracle, uint64) error) {
	t := m.send(op)
	m.last++
	m.ops = append(m.ops, op)
	require.Equal(m.t, m.last, t.Seq())
	want := apply(m.now, m.last)
	m.history[m.last] = m.now.clone()
	m.tickets = append(m.tickets, t)
	if m.chance(60) {
		got := t.Applied(m.t.Context())
		if want == nil {
			require.NoError(m.t, got)
		} else {
			require.Error(m.t, got)
			require.Equal(m.t, apierror.KindOf(want), apierror.KindOf(got), "%v", got)
			if apierror.KindOf(want) == apierror.NotFound {
				require.EqualError(m.t, got, want.Error())
			}
		}
		m.ack(m.last)
	}
}

// checkReplica applies the same operations to another shard, without crashes and
// checkpoints: it must give every point the same document number and version.
func (m *meta) checkReplica() {
	n := openNode(m.t, fsx.NewMem(), Options{Config: m.config, Manual: true, Replicated: m.o.Replicated})
	defer n.close()
	for i, op := range m.ops {
		if !m.o.Replicated {
			_ = n.apply(op) // refused here as there
			continue
		}
		_, err := n.shard.Apply(m.t.Context(), Entry{Position: oplog.Position{Seq: uint64(i + 1)}, Op: op})
		require.NoError(m.t, err)
	}
	require.NoError(m.t, n.shard.WaitApplied(m.t.Context(), uint64(len(m.ops))))
	mine, err := m.shard.Checksum(m.t.Context())
	require.NoError(m.t, err)
	other, err := n.shard.Checksum(m.t.Context())
	require.NoError(m.t, err)
	other.Epoch, other.Chain = mine.Epoch, mine.Chain
	require.Equal(m.t, mine, other)
	for id, p := range m.now.points {
		mine, ok := m.shard.docs.Lookup(id)
		require.True(m.t, ok)
		other, ok := n.shard.docs.Lookup(id)
		require.True(m.t, ok)
		require.Equal(m.t, mine, other, "document of %v", id)
		require.Equal(m.t, p.version, n.shard.docs.Version(other))
	}
	require.Equal(m.t, m.shard.docs.Next(), n.shard.docs.Next())
}

// crashContext is the context of calls that a crash may interrupt.
func crashContext() context.Context { return context.Background() }

const idPool = 120

func (m *meta) id() point.ID {
	n := m.rng.IntN(idPool)
	if n%4 == 0 {
		return point.UUID(uuid.NewSHA1(uuid.NameSpaceDNS, fmt.Append(nil, n)))
	}
	return point.Num(uint64(n))
}

func (m *meta) vector(s space) []float32 {
	v := make([]float32, s.size)
	for i := range v {
		switch s.datatype {
		case pb.Datatype_Uint8:
			v[i] = float32(m.rng.IntN(256))
		case pb.Datatype_Float16:
			v[i] = float32(m.rng.IntN(200)-100) / 16 // exact in 16 bits
		default:
			v[i] = m.rng.Float32()*2 - 1
		}
	}
	return v
}

func (m *meta) sparseVector() map[uint32]float32 {
	v := map[uint32]float32{}
	for range 1 + m.rng.IntN(5) {
		v[uint32(m.rng.IntN(30))*1000] = float32(1+m.rng.IntN(40)) / 8
	}
	return v
}

func sparseProto(v map[uint32]float32) *pb.SparseVector {
	out := &pb.SparseVector{}
	for i, w := range v { // in any order
		out.Indices, out.Values = append(out.Indices, i), append(out.Values, w)
	}
	return out
}

// vectors chooses vectors for a point; each name with a probability.
func (m *meta) vectors(percent int) (*pb.Vectors, *oraclePoint) {
	named, p := map[string]*pb.Vector{}, &oraclePoint{dense: map[string][]float32{}, sparse: map[string]map[uint32]float32{}}
	for _, name := range m.names {
		if m.chance(percent) {
			v := m.vector(m.dense[name])
			p.dense[name] = stored(m.dense[name], v)
			named[name] = &pb.Vector{Vector: &pb.Vector_Dense{Dense: &pb.DenseVector{Data: v}}}
		}
	}
	for name := range m.sparse {
		if m.chance(percent) {
			v := m.sparseVector()
			p.sparse[name] = v
			named[name] = &pb.Vector{Vector: &pb.Vector_Sparse{Sparse: sparseProto(v)}}
		}
	}
	if v, ok := named[""]; ok && len(named) == 1 {
		return &pb.Vectors{VectorsOptions: &pb.Vectors_Vector{Vector: v}}, p
	}
	return &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{Vectors: &pb.NamedVectors{Vectors: named}}}, p
}

var colours = []string{"red", "green", "blue"}

func (m *meta) payload() map[string]any {
	p := map[string]any{}
	if m.chance(70) {
		p["colour"] = pickOne(m, colours...)
	}
	if m.chance(70) {
		p["size"] = float64(m.rng.IntN(50))
	}
	if m.chance(20) {
		p["list"] = []any{}
	}
	if m.chance(30) {
		p["deep"] = map[string]any{"a": "x", "b": float64(m.rng.IntN(5))}
	}
	return p
}

func protoPayload(t *testing.T, p map[string]any) map[string]*pb.Value {
	t.Helper()
	b, err := json.Marshal(p)
	require.NoError(t, err)
	o, err := payload.FromJSON(b)
	require.NoError(t, err)
	return payload.ToProto(o)
}

func (m *meta) filter(depth int) testFilter {
	switch n := m.rng.IntN(9); {
	case n < 2:
		return keywordIs("colour", pickOne(m, colours...))
	case n < 4:
		return numberBelow("size", float64(m.rng.IntN(55)))
	case n == 4:
		return isEmpty(pickOne(m, "colour", "list", "size"))
	case n == 5:
		return hasIDs(m.id(), m.id(), m.id())
	case n == 6:
		return hasVector(pickOne(m, append(slices.Collect(maps.Keys(m.sparse)), m.names...)...))
	case depth == 0:
		return allPass()
	case n == 7:
		return not(m.filter(depth - 1).orKeyword())
	default:
		a, b := m.filter(depth-1).orKeyword(), m.filter(depth-1).orKeyword()
		if m.chance(50) {
			return either(a, b)
		}
		return both(a, b)
	}
}

// orKeyword replaces the missing filter, which can't be a part of another.
func (f testFilter) orKeyword() testFilter {
	if f.pb == nil {
		return keywordIs("colour", "red")
	}
	return f
}

// selector chooses points by ID or filter. hit are those it selects in the
// oracle, missing the first ID that isn't there.
func (m *meta) selector() (sel *pb.PointsSelector, pick func(*oracle) (hit []point.ID, missing *point.ID)) {
	if m.chance(30) {
		f := m.filter(1)
		if f.pb == nil {
			f = keywordIs("colour", "blue")
		}
		return &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Filter{Filter: f.pb}},
			func(o *oracle) ([]point.ID, *point.ID) { return o.passing(f), nil }
	}
	list := &pb.PointsIdsList{}
	var ids []point.ID
	for range 1 + m.rng.IntN(3) {
		id := m.id()
		ids = append(ids, id)
		list.Ids = append(list.Ids, id.Proto())
	}
	return &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Points{Points: list}},
		func(o *oracle) (hit []point.ID, missing *point.ID) {
			for _, id := range ids {
				if o.points[id] != nil {
					hit = append(hit, id)
				} else if missing == nil {
					missing = &id
				}
			}
			return hit, missing
		}
}

func notFound(id *point.ID) error {
	if id == nil {
		return nil
	}
	return apierror.New(apierror.NotFound, "No point with id %s found", id)
}

// operate submits a random operation.
func (m *meta) operate() {
	switch n := m.rng.IntN(100); {
	case n < 4 && m.o.Replicated:
		m.submit(Op{}, func(*oracle, uint64) error { return nil })
	case n < 45:
		m.upsert()
	case n < 52:
		sel, pick := m.selector()
		m.submit(Delete(&pb.DeletePoints{Points: sel}), func(o *oracle, _ uint64) error {
			hit, _ := pick(o)
			for _, id := range hit {
				delete(o.points, id)
			}
			return nil
		})
	case n < 62:
		m.updateVectors()
	case n < 67:
		m.deleteVectors()
	case n < 87:
		m.changePayload()
	case n < 93:
		m.changeIndex()
	case n < 96:
		m.refused()
	default:
		c := &pb.CollectionConfig{Params: m.config.GetParams()}
		m.chooseSettings(c)
		m.submit(SetConfig(c), func(*oracle, uint64) error { return nil })
	}
}

func (m *meta) upsert() {
	msg := &pb.UpsertPoints{}
	var apply []func(*oracle, uint64)
	filter := allPass()
	if m.chance(15) {
		filter = m.filter(1)
		msg.UpdateFilter = filter.pb
	}
	mode := pickOne(m, pb.UpdateMode_Upsert, pb.UpdateMode_Upsert, pb.UpdateMode_Upsert, pb.UpdateMode_InsertOnly, pb.UpdateMode_UpdateOnly)
	msg.UpdateMode = &mode
	for range 1 + m.rng.IntN(12) {
		id := m.id()
		vectors, p := m.vectors(85)
		p.payload = m.payload()
		ps := &pb.PointStruct{Id: id.Proto(), Vectors: vectors}
		if m.chance(50) {
			ps.Payload = protoPayload(m.t, p.payload)
		} else {
			o, err := payload.FromProto(protoPayload(m.t, p.payload))
			require.NoError(m.t, err)
			payload.Attach(ps, o)
		}
		msg.Points = append(msg.Points, ps)
		apply = append(apply, func(o *oracle, seq uint64) {
			old := o.points[id]
			if old != nil && (mode == pb.UpdateMode_InsertOnly || !filter.match(id, old)) ||
				old == nil && mode == pb.UpdateMode_UpdateOnly {
				return
			}
			o.points[id] = &oraclePoint{
				payload: cloneJSON(p.payload), dense: maps.Clone(p.dense), sparse: maps.Clone(p.sparse), version: seq,
			}
		})
	}
	op, err := Upsert(msg)
	require.NoError(m.t, err)
	m.submit(op, func(o *oracle, seq uint64) error {
		for _, f := range apply {
			f(o, seq)
		}
		return nil
	})
}

func (m *meta) updateVectors() {
	msg := &pb.UpdatePointVectors{}
	var apply []func(*oracle, uint64) *point.ID
	filter := allPass()
	if m.chance(15) {
		filter = m.filter(1)
		msg.UpdateFilter = filter.pb
	}
	for range 1 + m.rng.IntN(3) {
		id := m.id()
		vectors, p := m.vectors(60)
		if len(p.dense)+len(p.sparse) == 0 {
			continue
		}
		msg.Points = append(msg.Points, &pb.PointVectors{Id: id.Proto(), Vectors: vectors})
		apply = append(apply, func(o *oracle, seq uint64) *point.ID {
			old := o.points[id]
			if old == nil {
				return &id
			}
			if filter.match(id, old) {
				maps.Copy(old.dense, p.dense)
				maps.Copy(old.sparse, p.sparse)
				old.version = seq
			}
			return nil
		})
	}
	m.submit(UpdateVectors(msg), func(o *oracle, seq uint64) error {
		var missing *point.ID
		for _, f := range apply {
			if id := f(o, seq); missing == nil {
				missing = id
			}
		}
		return notFound(missing)
	})
}

func (m *meta) deleteVectors() {
	sel, pick := m.selector()
	name := pickOne(m, append(slices.Collect(maps.Keys(m.sparse)), m.names...)...)
	m.submit(DeleteVectors(&pb.DeletePointVectors{
		PointsSelector: sel, Vectors: &pb.VectorsSelector{Names: []string{name}},
	}), func(o *oracle, seq uint64) error {
		hit, missing := pick(o)
		for _, id := range hit {
			delete(o.points[id].dense, name)
			delete(o.points[id].sparse, name)
			o.points[id].version = seq
		}
		return notFound(missing)
	})
}

func (m *meta) changePayload() {
	sel, pick := m.selector()
	p := m.payload()
	set := &pb.SetPayloadPoints{Payload: protoPayload(m.t, p), PointsSelector: sel}
	var op Op
	var err error
	var change func(old map[string]any) map[string]any
	switch m.rng.IntN(5) {
	case 0:
		op, err = SetPayload(set)
		change = func(old map[string]any) map[string]any { maps.Copy(old, cloneJSON(p)); return old }
	case 1:
		set.Key = new("deep")
		op, err = SetPayload(set)
		change = func(old map[string]any) map[string]any {
			deep, ok := old["deep"].(map[string]any)
			if !ok {
				deep = map[string]any{}
			}
			maps.Copy(deep, cloneJSON(p))
			old["deep"] = deep
			return old
		}
	case 2:
		op, err = OverwritePayload(set)
		change = func(map[string]any) map[string]any { return cloneJSON(p) }
	case 3:
		op = DeletePayload(&pb.DeletePayloadPoints{Keys: []string{"colour", "deep.a"}, PointsSelector: sel})
		change = func(old map[string]any) map[string]any {
			delete(old, "colour")
			if deep, ok := old["deep"].(map[string]any); ok {
				delete(deep, "a")
			}
			return old
		}
	default:
		op = ClearPayload(&pb.ClearPayloadPoints{Points: sel})
		change = func(map[string]any) map[string]any { return map[string]any{} }
	}
	require.NoError(m.t, err)
	m.submit(op, func(o *oracle, seq uint64) error {
		hit, missing := pick(o)
		slices.SortFunc(hit, point.ID.Compare)
		for _, id := range slices.Compact(hit) {
			o.points[id].payload, o.points[id].version = change(o.points[id].payload), seq
		}
		return notFound(missing)
	})
}

func (m *meta) changeIndex() {
	name := pickOne(m, "colour", "size")
	if m.chance(30) {
		m.submit(DeleteIndex(&pb.DeleteFieldIndexCollection{FieldName: name}), func(o *oracle, _ uint64) error {
			delete(o.fields, name)
			return nil
		})
		return
	}
	typ := pb.FieldType_FieldTypeKeyword
	if name == "size" {
		typ = pickOne(m, pb.FieldType_FieldTypeInteger, pb.FieldType_FieldTypeFloat)
	}
	m.submit(CreateIndex(&pb.CreateFieldIndexCollection{FieldName: name, FieldType: &typ}), func(o *oracle, _ uint64) error {
		o.fields[name] = typ
		return nil
	})
}

// refused submits an operation that changes nothing.
func (m *meta) refused() {
	bad := apierror.New(apierror.BadInput, "refused")
	name := m.names[0]
	wrong := &pb.Vectors{VectorsOptions: &pb.Vectors_Vectors{Vectors: &pb.NamedVectors{Vectors: map[string]*pb.Vector{
		name: {Vector: &pb.Vector_Dense{Dense: &pb.DenseVector{Data: make([]float32, m.dense[name].size+1)}}},
	}}}}
	good, _ := m.vectors(100)
	op, err := Upsert(&pb.UpsertPoints{Points: []*pb.PointStruct{
		{Id: m.id().Proto(), Vectors: good}, {Id: m.id().Proto(), Vectors: wrong},
	}})
	require.NoError(m.t, err)
	m.submit(op, func(*oracle, uint64) error { return bad })
}
