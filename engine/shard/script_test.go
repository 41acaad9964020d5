package shard

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/engine/point"
	"github.com/sextantdb/sextant/engine/query"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestScripts plays the scenarios in testdata. Each file begins with create; the
// shard does in the background only what a script tells it to.
//
//	create dim=N distance=D [index-kb=N]   a new shard with one vector
//	upsert                                 lines "ID v,v,… {payload}"
//	set-payload ids=(…) | delete ids=(…)
//	index field=F type=T
//	checkpoint | optimize | close | crash seed=N
//	search vector=(…) [limit=N] [exact]    hits as "ID score"
//	scroll [limit=N] [offset=N] | count field=F below=X | files | info
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		p := &script{t: t}
		datadriven.RunTest(t, path, p.run)
	})
}

type script struct {
	t  *testing.T
	fs *fsx.Mem
	n  *node
}

func (p *script) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var out strings.Builder
	if err := p.do(d, &out); err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	return out.String()
}

func (p *script) do(d *datadriven.TestData, out *strings.Builder) error {
	ctx := p.t.Context()
	switch d.Cmd {
	case "create":
		return p.create(d)
	case "upsert":
		return p.upsert(d.Input)
	case "set-payload":
		op, err := SetPayload(&pb.SetPayloadPoints{PointsSelector: p.ids(d), Payload: protoPayload(p.t, map[string]any{"set": "yes"})})
		require.NoError(p.t, err)
		return p.n.apply(op)
	case "delete":
		return p.n.apply(Delete(&pb.DeletePoints{Points: p.ids(d)}))
	case "index":
		var field, typ string
		d.ScanArgs(p.t, "field", &field)
		d.ScanArgs(p.t, "type", &typ)
		kind := pb.FieldType(pb.FieldType_value["FieldType"+typ])
		return p.n.apply(CreateIndex(&pb.CreateFieldIndexCollection{FieldName: field, FieldType: &kind}))
	case "checkpoint":
		return p.n.shard.Checkpoint(ctx)
	case "optimize":
		return p.n.shard.Optimize(ctx)
	case "close", "crash":
		p.reopen(d)
		return nil
	case "search":
		return p.search(d, out)
	case "scroll":
		return p.scroll(d, out)
	case "count":
		var field, below string
		d.ScanArgs(p.t, "field", &field)
		d.ScanArgs(p.t, "below", &below)
		limit, err := strconv.ParseFloat(below, 64)
		require.NoError(p.t, err)
		n, err := p.n.shard.Count(ctx, numberBelow(field, limit).pb, true)
		fmt.Fprintln(out, n)
		return err
	case "files":
		p.files(out)
		return nil
	case "info":
		i := p.n.shard.Info()
		fmt.Fprintf(out, "%v points=%d indexed=%d seq=%d fields=%d\n", i.Status, i.Points, i.IndexedVectors, i.Seq, len(i.Indexes))
		return p.n.shard.Err()
	default:
		d.Fatalf(p.t, "unknown command")
		return nil
	}
}

func (p *script) create(d *datadriven.TestData) error {
	var dim, kb uint64
	var distance string
	d.ScanArgs(p.t, "dim", &dim)
	d.ScanArgs(p.t, "distance", &distance)
	config := singleVector(dim, pb.Distance(pb.Distance_value[distance]))
	if d.HasArg("index-kb") {
		d.ScanArgs(p.t, "index-kb", &kb)
		config.OptimizerConfig = &pb.OptimizersConfigDiff{IndexingThreshold: &kb}
	}
	p.fs = fsx.NewMem()
	p.n = openNode(p.t, p.fs, Options{Config: config, Manual: true})
	return nil
}

// reopen closes the shard, or leaves it as a power cut would, and opens it.
func (p *script) reopen(d *datadriven.TestData) {
	if d.Cmd == "crash" {
		var seed uint64
		d.ScanArgs(p.t, "seed", &seed)
		p.fs = p.fs.CrashClone(rand.New(rand.NewPCG(seed, 0)))
	} else {
		p.n.close()
	}
	p.n = openNode(p.t, p.fs, Options{Manual: true})
}

func (p *script) upsert(input string) error {
	var points []*pb.PointStruct
	for line := range strings.SplitSeq(strings.TrimSpace(input), "\n") {
		words := strings.SplitN(line, " ", 3)
		s := &pb.PointStruct{Id: p.id(words[0]).Proto()}
		if words[1] != "-" {
			s.Vectors = dense(p.numbers(words[1])...)
		}
		if len(words) == 3 {
			o, err := payload.FromJSON([]byte(words[2]))
			require.NoError(p.t, err)
			payload.Attach(s, o)
		}
		points = append(points, s)
	}
	return p.n.apply(upsertOf(p.t, points...))
}

func (p *script) id(text string) point.ID {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return point.Num(n)
	}
	id, err := point.ParseUUID(text)
	require.NoError(p.t, err)
	return id
}

func (p *script) numbers(text string) (v []float32) {
	for word := range strings.SplitSeq(text, ",") {
		x, err := strconv.ParseFloat(word, 32)
		require.NoError(p.t, err)
		v = append(v, float32(x))
	}
	return v
}

func (p *script) ids(d *datadriven.TestData) *pb.PointsSelector {
	list := &pb.PointsIdsList{}
	for _, arg := range d.CmdArgs {
		for _, v := range arg.Vals {
			list.Ids = append(list.Ids, p.id(v).Proto())
		}
	}
	return &pb.PointsSelector{PointsSelectorOneOf: &pb.PointsSelector_Points{Points: list}}
}

func (p *script) search(d *datadriven.TestData, out *strings.Builder) error {
	var v []float32
	for _, arg := range d.CmdArgs {
		if arg.Key == "vector" {
			v = p.numbers(strings.Join(arg.Vals, ","))
		}
	}
	q := nearest(v...)
	if d.HasArg("limit") {
		q.Limit = new(uint64)
		d.ScanArgs(p.t, "limit", q.Limit)
	}
	q.Params = &pb.SearchParams{Exact: new(d.HasArg("exact"))}
	hits, err := p.n.shard.Query(p.t.Context(), q)
	distance, _ := p.n.shard.Schema().Distance("")
	for _, h := range hits {
		fmt.Fprintf(out, "%s %.4g\n", h.ID, query.Public(distance, h.Score))
	}
	return err
}

func (p *script) scroll(d *datadriven.TestData, out *strings.Builder) error {
	m := &pb.ScrollPoints{}
	_, m.WithVectors = withAll()
	if d.HasArg("limit") {
		var limit uint64
		d.ScanArgs(p.t, "limit", &limit)
		m.Limit = new(uint32(limit))
	}
	if d.HasArg("offset") {
		var offset string
		d.ScanArgs(p.t, "offset", &offset)
		m.Offset = p.id(offset).Proto()
	}
	page, err := p.n.shard.Scroll(p.t.Context(), m)
	for i, r := range page.Points {
		id := pageIDs(p.t, page)[i]
		fmt.Fprintf(out, "%s %v %s\n", id, r.GetVectors().GetVector().GetDense().GetData(), payload.AppendJSON(nil, payload.Attached(r)))
	}
	if page.Next != nil {
		fmt.Fprintf(out, "next %s\n", page.Next)
	}
	return err
}

// files lists the kinds of files that the shard has, and whether they are sound.
func (p *script) files(out *strings.Builder) {
	counts := map[string]int{}
	entries, err := p.fs.ReadDir("shard")
	require.NoError(p.t, err)
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Name(), "-0")
		if counts[kind]++; counts[kind] == 1 {
			fmt.Fprintln(out, kind)
		}
	}
	require.NoError(p.t, p.n.shard.Verify(p.t.Context()))
}
