// Command kernels compares the assembly of package distance with the same kernels
// in C, compiled for this machine. The two take turns in short rounds, so that both
// see the same noise; the best round of each counts.
//
//	go run ./bench/kernels [-tier avx2] [-rounds 200]
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"
	"unsafe"

	"github.com/sextantdb/sextant/engine/vector/distance"
	"github.com/sextantdb/sextant/internal/arena"
)

const (
	batch   = 32
	hotRows = 64
	// coldBytes are more than any cache has.
	coldBytes = 512 << 20
	// heapQuery is the mode of hot rows and a query that lies where the Go heap
	// happens to put it, not at a cache line: C keeps its own aligned.
	heapQuery = "hot, heap"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	tier := flag.String("tier", "", "tier of kernels, the best when empty")
	rounds := flag.Int("rounds", 200, "rounds of each measurement")
	source := flag.String("c", "bench/kernels/reference/kernels.c", "the kernels in C")
	flag.Parse()
	k, err := distance.FromEnv(func(string) string { return *tier })
	if err != nil {
		return err
	}
	c, err := startReference(*source)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	write := func(format string, a ...any) { _, _ = fmt.Fprintf(table, format, a...) } // an error stays until Flush
	write("%s, ns per row, 4 rows at a time\n", k.Tier())
	for _, mode := range []string{"hot", heapQuery, "cold"} {
		write("\nrows\tkernel\td\tassembly\tC\tspeed relative to C\n")
		for _, kernel := range []string{"dot_f32", "l2_f32", "l2_u7", "dot_u7"} {
			for _, dim := range []int{128, 768, 1536} {
				ours, theirs, err := compare(k, c, measurement{kernel, dim, mode}, *rounds)
				if err != nil {
					return err
				}
				write("%s\t%s\t%d\t%.2f\t%.2f\t%.2f\n", mode, kernel, dim, ours, theirs, theirs/ours)
			}
		}
	}
	return errors.Join(table.Flush(), c.stop())
}

// measurement is a kernel on rows of a dimension. Hot rows are few and scanned in
// order, with an aligned query or one on the heap; cold rows are far apart and scored in random order, as in a graph, where
// the assembly asks for them ahead and C doesn't.
type measurement struct {
	kernel string
	dim    int
	mode   string
}

func (m measurement) rows() int {
	if m.mode == "cold" {
		return coldBytes / m.stride()
	}
	return hotRows
}

func (m measurement) stride() int {
	if m.kernel == "dot_f32" || m.kernel == "l2_f32" {
		return 4 * m.dim
	}
	return m.dim
}

// compare returns the best ns per row of both.
func compare(k *distance.Kernels, c *reference, m measurement, rounds int) (ours, theirs float64, err error) {
	repeats := max(8, 2_000_000/m.dim/batch)
	score, free, err := m.prepare(k)
	if err != nil {
		return 0, 0, err
	}
	ours, theirs = 1e9, 1e9
	for range rounds {
		x, err := c.measure(m, repeats)
		if err != nil {
			return 0, 0, err
		}
		theirs = min(theirs, x)
		for range repeats/4 + 1 {
			score()
		}
		start := time.Now()
		for range repeats {
			score()
		}
		ours = min(ours, float64(time.Since(start).Nanoseconds())/float64(repeats)/batch)
	}
	return ours, theirs, free()
}

// prepare returns one batch of a kernel.
func (m measurement) prepare(k *distance.Kernels) (score func(), free func() error, err error) {
	rows, stride := m.rows(), m.stride()
	memory, err := arena.New(arena.Options{Reserve: int64(rows)*int64(stride) + 1<<20})
	if err != nil {
		return nil, nil, err
	}
	base := memory.Base()
	for i := 0; i < rows*stride; i += 4096 {
		memory.Bytes()[i] = 0
	}
	// The query lies beside the rows: in small pages of the Go heap its place, which
	// is random, makes up to 20 % at 1536 dimensions.
	query := memory.Bytes()[rows*stride+1024:]
	if m.mode == heapQuery {
		query = unaligned(4 * m.dim)
	}
	q, code, signed := arena.View[float32](query)[:m.dim], query[:m.dim], arena.View[int8](query)[:m.dim]
	ids, out := make([]uint32, batch), make([]float32, batch)
	seed := uint32(1)
	next := func() {
		for i := range ids {
			seed = seed*1664525 + 1013904223
			ids[i] = uint32(uint64(seed) * uint64(rows) >> 32)
		}
	}
	hot := m.mode != "cold"
	switch m.kernel {
	case "dot_f32":
		score = func() { next(); k.DotIDs(q, base, stride, ids, out) }
		if hot {
			score = func() { k.DotRange(q, base, stride, 0, out) }
		}
	case "l2_f32":
		score = func() { next(); k.L2IDs(q, base, stride, ids, out) }
		if hot {
			score = func() { k.L2Range(q, base, stride, 0, out) }
		}
	case "l2_u7":
		score = func() { next(); k.L2U7IDs(code, base, stride, ids, 1, out) }
		if hot {
			score = func() { k.L2U7Range(code, base, stride, 0, 1, out) }
		}
	case "dot_u7":
		score = func() { next(); k.DotU7IDs(signed, base, stride, ids, 1, 0, out) }
		if hot {
			score = func() { k.DotU7Range(signed, base, stride, 0, 1, 0, out) }
		}
	default:
		return nil, nil, fmt.Errorf("measure %q: no such kernel", m.kernel)
	}
	return score, memory.Free, nil
}

// unaligned returns n bytes of the Go heap that start four bytes behind a cache
// line: a float32 may lie there.
func unaligned(n int) []byte {
	b := make([]byte, n+64+4)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))&63) + 4
	return b[skip : skip+n]
}

// reference is the process that runs the kernels in C.
type reference struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	dir     string
}

func startReference(source string) (*reference, error) {
	dir, err := os.MkdirTemp("", "kernels")
	if err != nil {
		return nil, fmt.Errorf("compile reference: %w", err)
	}
	binary := filepath.Join(dir, "reference")
	compile := exec.Command("gcc", "-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-o", binary, source)
	if text, err := compile.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile reference: %w: %s", err, text)
	}
	c := &reference{command: exec.Command(binary), dir: dir}
	if c.in, err = c.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start reference: %w", err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start reference: %w", err)
	}
	c.out = bufio.NewReader(out)
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("start reference: %w", err)
	}
	return c, nil
}

func (c *reference) measure(m measurement, repeats int) (float64, error) {
	if _, err := fmt.Fprintln(c.in, m.kernel, m.dim, m.rows(), repeats); err != nil {
		return 0, fmt.Errorf("measure reference: %w", err)
	}
	var ns float64
	if _, err := fmt.Fscan(c.out, &ns); err != nil {
		return 0, fmt.Errorf("measure reference: %w", err)
	}
	return ns, nil
}

func (c *reference) stop() error {
	return errors.Join(c.in.Close(), c.command.Wait(), os.RemoveAll(c.dir))
}
