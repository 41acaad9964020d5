package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/bench/dataset"
)

// asPeer makes this test binary behave as a library of peer.py that never
// learnt anything.
const asPeer = "PEERS_TEST_AS_PEER"

func TestMain(m *testing.M) {
	if os.Getenv(asPeer) != "" {
		if err := beAPeer(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beAPeer speaks the protocol of peer.py. It answers every query with the rows 0
// to k-1, an ef of 13 with an error, and a k of 13 with nonsense.
func beAPeer(in io.Reader, out io.Writer) error {
	var ids string
	queries := 0
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var command struct {
			Load   *struct{ Queries, IDs string }
			Build  *struct{ Cache string }
			Search *struct{ Ef, K, Refine int }
		}
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			return err
		}
		var answer string
		switch {
		case command.Load != nil:
			m, err := dataset.ReadMatrix(command.Load.Queries, 0)
			if err != nil {
				return err
			}
			ids, queries, answer = command.Load.IDs, m.Rows(), `{"version": "1.2.3"}`
		case command.Build != nil:
			answer = fmt.Sprintf(`{"cpu": 4, "wall": 2, "cached": %t}`, command.Build.Cache != "")
		case command.Search.Ef == 13:
			answer = `{"error": "ValueError: unlucky"}`
		case command.Search.K == 13:
			answer = "Segmentation fault"
		default:
			var raw []byte
			for range queries {
				for i := range command.Search.K {
					raw = append(raw, byte(i), 0, 0, 0)
				}
			}
			if err := os.WriteFile(ids, raw, 0o600); err != nil {
				return err
			}
			answer = `{"cpu": 0.5, "wall": 0.25}`
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return nil
}

// result5 has three settings on the way to a recall of 1, one that no user would
// choose, and two rounds of which the second was half as fast.
func result5() *result {
	r := &result{Name: "x"}
	for _, p := range []struct {
		ef, refine  int
		recall, qps float64
	}{{10, 1, 0.90, 1000}, {20, 1, 0.94, 800}, {20, 4, 0.93, 500}, {40, 1, 0.98, 400}, {80, 1, 0.98, 200}} {
		for round := range 2 {
			seconds := 100 / p.qps * float64(1+round)
			r.add(setting{Ef: p.ef, Refine: p.refine}, p.recall, 100, answers{wall: seconds, cpu: seconds / 2})
		}
	}
	return r
}

func TestFrontier(t *testing.T) {
	efs := []int{}
	for _, p := range result5().frontier(wallClock) {
		efs = append(efs, p.Ef)
		require.Len(t, p.QPS, 2)
	}
	require.Equal(t, []int{10, 20, 40}, efs, "by rising recall, without those that another beats")
}

func TestSpeedAtARecall(t *testing.T) {
	f := func(recall float64, want speed, text string) {
		t.Helper()
		got := result5().at(recall, wallClock)
		require.InDeltaSlice(t, want.rounds, got.rounds, 1e-9)
		require.Equal(t, want.atLeast, got.atLeast)
		require.InDelta(t, want.recall, got.recall, 0)
		require.Equal(t, text, got.String())
	}
	f(0.92, speed{rounds: []float64{900, 450}, recall: 0.92}, "450")
	f(0.96, speed{rounds: []float64{600, 300}, recall: 0.96}, "300")
	f(0.94, speed{rounds: []float64{800, 400}, recall: 0.94}, "400")
	f(0.90, speed{rounds: []float64{1000, 500}, recall: 0.90}, "500")
	f(0.50, speed{rounds: []float64{1000, 500}, recall: 0.90, atLeast: true}, "≥ 500 (has 0.9000)")
	f(0.99, speed{recall: 0.99}, "not reached")
	require.InDeltaSlice(t, []float64{1800, 900}, result5().at(0.92, cpuClock).rounds, 1e-9)
	require.Equal(t, speed{recall: 0.5}, new(result).at(0.5, wallClock))
}

func TestRatio(t *testing.T) {
	f := func(a, b speed, want string) {
		t.Helper()
		r, ok := ratioOf(a, b)
		require.True(t, ok)
		require.Equal(t, want, r.String())
	}
	fast, slow := speed{rounds: []float64{400, 100, 900}}, speed{rounds: []float64{200, 100, 300}}
	f(fast, slow, "2.00 (1.00–3.00)")
	f(slow, fast, "0.50 (0.33–1.00)")
	fast.atLeast = true
	f(fast, slow, "≥ 2.00 (1.00–3.00)")
	f(slow, fast, "≤ 0.50 (0.33–1.00)")
	f(fast, fast, "~ 1.00 (1.00–1.00)")
	_, ok := ratioOf(fast, speed{})
	require.False(t, ok)
	_, ok = ratioOf(speed{}, fast)
	require.False(t, ok)
}

func TestOptions(t *testing.T) {
	o, err := parse([]string{"-ef", "64, 10,64", "-recall", "0.9", "-libraries", "usearch,hnswlib", "-k", "5"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []int{10, 64}, o.efs)
	require.Equal(t, []float64{0.9}, o.targets)
	require.Equal(t, []string{"usearch", "hnswlib"}, o.libraries)
	o, err = parse([]string{"-libraries", ""}, io.Discard)
	require.NoError(t, err)
	require.Empty(t, o.libraries)

	f := func(want string, args ...string) {
		t.Helper()
		_, err := parse(args, io.Discard)
		require.ErrorContains(t, err, want)
	}
	f(`-ef: "many" is not a number`, "-ef", "10,many")
	f(`-ef: "" is not a number`, "-ef", "")
	f("-ef: 0 is less than 1", "-ef", "64,0")
	f("-rounds: 0 is less than 1", "-rounds", "0")
	f("-passing: -1 to 0.5 is not within (0, 1]", "-passing", "0.5,-1")
	f("-recall: 0.9 to 1.5 is not within (0, 1]", "-recall", "1.5,0.9")
	f(`-metric: "manhattan" is none of`, "-metric", "manhattan")
	f(`-libraries: "annoy" is none of hnswlib`, "-libraries", "annoy")
	f(`unexpected argument "lsa.fvecs"`, "lsa.fvecs")
}

func TestDraw(t *testing.T) {
	m := dataset.Matrix{Dim: 2, Data: make([]float32, 2*1000)}
	for i := range m.Data {
		m.Data[i] = float32(i / 2)
	}
	rest, drawn, err := draw(m, 100)
	require.NoError(t, err)
	require.Equal(t, 900, rest.Rows())
	require.Equal(t, 100, drawn.Rows())
	seen := make(map[float32]bool)
	for _, part := range []dataset.Matrix{rest, drawn} {
		for i := range part.Rows() {
			require.InDelta(t, part.Row(i)[0], part.Row(i)[1], 0, "rows stay whole")
			seen[part.Row(i)[0]] = true
		}
	}
	require.Len(t, seen, 1000, "every row is in one of them")
	early := 0
	for i := range drawn.Rows() {
		if drawn.Row(i)[0] < 500 {
			early++
		}
	}
	require.InDelta(t, 50, early, 20, "from everywhere")
	_, again, err := draw(m, 100)
	require.NoError(t, err)
	require.Equal(t, drawn, again)
	_, _, err = draw(m, 1000)
	require.ErrorContains(t, err, "1000 rows are too few for 1000 queries")
}

func TestNormalized(t *testing.T) {
	m := normalized(dataset.Matrix{Dim: 2, Data: []float32{3, 4, 0, 0, 0, -2}})
	require.Equal(t, dataset.Matrix{Dim: 2, Data: []float32{0.6, 0.8, 0, -1}}, m)
}

func TestSettings(t *testing.T) {
	require.Equal(t, []setting{{Ef: 64}}, (&peer{library: "hnswlib"}).settings(64, 10))
	sweep := &peer{library: "faiss-hnswsq"}
	require.Equal(t, []setting{{Ef: 16, Refine: 1}}, sweep.settings(16, 10))
	require.Empty(t, sweep.settings(8, 10), "they would search with 10")
	require.Equal(t, []setting{{Ef: 40, Refine: 1}, {Ef: 40, Refine: 2}, {Ef: 40, Refine: 4}}, sweep.settings(40, 10))
	require.Len(t, sweep.settings(1000, 10), 4)
}

// peerArgs are the options of a small run against the test binary itself.
func peerArgs(t *testing.T, more ...string) []string {
	t.Helper()
	t.Setenv(asPeer, "1")
	return append([]string{
		"-rows", "400", "-queries", "20", "-dim", "16", "-rounds", "2", "-ef", "8,16", "-k", "4",
		"-python", os.Args[0], "-script", "-", "-libraries", "hnswlib",
	}, more...)
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	jsonName := filepath.Join(dir, "out.json")
	profiles := []string{filepath.Join(dir, "cpu.prof"), filepath.Join(dir, "build.prof")}
	var out strings.Builder
	args := peerArgs(t, "-json", jsonName, "-cpuprofile", profiles[0], "-buildprofile", profiles[1], "-cache", filepath.Join(dir, "cache"))
	require.NoError(t, run(t.Context(), args, &out))
	require.Contains(t, out.String(), "generated 400×16: 400 rows × 16, 20 queries, l2, recall@4")
	require.Regexp(t, `built hnswlib +4\.0 CPU-s +2\.0 s  \(by an earlier run\)`, out.String())
	require.Regexp(t, `0\.99 +│ hnswlib +│ not reached`, out.String())

	text, err := os.ReadFile(jsonName)
	require.NoError(t, err)
	var found outcome
	require.NoError(t, json.Unmarshal(text, &found))
	require.Len(t, found.Libraries, 2)
	for _, r := range found.Libraries {
		require.Len(t, r.Points, 2)
		require.Len(t, r.Points[0].QPS, 2)
		require.Len(t, r.Points[0].PerCPU, 2)
	}
	require.InDelta(t, 1, found.Libraries[0].Points[0].Recall, 0, "few rows are searched exactly")
	theirs := found.Libraries[1]
	require.Equal(t, "1.2.3", theirs.Version)
	require.Equal(t, point{setting{Ef: 16}, theirs.Points[1].Recall, []float64{80, 80}, []float64{40, 40}}, theirs.Points[1])
	require.Less(t, theirs.Points[1].Recall, 0.5)
	for _, profile := range profiles {
		written, err := os.Stat(profile)
		require.NoError(t, err)
		require.Positive(t, written.Size())
	}
}

func TestRunOnAFile(t *testing.T) {
	set := dataset.Generate(dataset.Clustered(300, 20, 16))
	name := filepath.Join(t.TempDir(), "rows.fvecs")
	require.NoError(t, dataset.WriteMatrix(name, set.Base))
	var out strings.Builder
	args := peerArgs(t, "-base", name, "-metric", "cosine", "-libraries", "", "-passing", "0.1,0.5")
	require.NoError(t, run(t.Context(), args, &out))
	require.Regexp(t, `10 % +│ scan_passing +│ 1\.0000`, out.String())
	require.Regexp(t, `50 % +│ scan_passing +│ 1\.0000`, out.String())
	require.Contains(t, out.String(), "rows.fvecs: 280 rows × 16, 20 queries, cosine, recall@4")

	other := filepath.Join(t.TempDir(), "queries.fvecs")
	require.NoError(t, dataset.WriteMatrix(other, dataset.Matrix{Dim: 3, Data: []float32{1, 2, 3}}))
	require.ErrorContains(t, run(t.Context(), append(args, "-query", other), &out), "has dimension 3, ")
}

func TestPeersThatFail(t *testing.T) {
	f := func(want string, more ...string) {
		t.Helper()
		require.ErrorContains(t, run(context.Background(), peerArgs(t, more...), io.Discard), want)
	}
	f("search hnswlib at ef 13: hnswlib: search: ValueError: unlucky", "-ef", "13")
	f("start hnswlib: ", "-python", filepath.Join(t.TempDir(), "nowhere"))
	f("hnswlib ended at load: ", "-python", "true")
	f("hnswlib: answer to search: invalid character", "-k", "13")
}

func TestCacheKey(t *testing.T) {
	name := filepath.Join(t.TempDir(), "base")
	key := func(o options, data, library string) string {
		t.Helper()
		require.NoError(t, os.WriteFile(name, []byte(data), 0o600))
		k, err := (&peer{library: library, release: "1.0", metric: "l2", files: peerFiles{base: name}}).cacheKey(o)
		require.NoError(t, err)
		return k
	}
	seen := make(map[string]bool)
	for _, k := range []string{
		key(options{m: 16}, "a", "x"), key(options{m: 32}, "a", "x"), key(options{m: 16, efc: 1}, "a", "x"),
		key(options{m: 16, threads: 1}, "a", "x"), key(options{m: 16}, "b", "x"), key(options{m: 16}, "a", "y"),
	} {
		require.False(t, seen[k], k)
		seen[k] = true
	}
	require.True(t, seen[key(options{m: 16, rounds: 9}, "a", "x")])
}
