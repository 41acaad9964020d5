package failover

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// The view is drawn anew so often, every few times with new rates; without a terminal it is a line at
// longer intervals.
const (
	redraw   = 250 * time.Millisecond
	sampling = 4
	plain    = 2 * time.Second
)

// wide is enough for everything.
const wide = 120

// nobody stands for a leader that there isn't.
const nobody = "–"

// frame is what the view shows at one moment.
type frame struct {
	at time.Duration
	// picture is the last one; blind says why there is no newer one.
	picture *Picture
	blind   error
	// states are what was done to the nodes.
	states []string
	rates  rates
	hint   string
}

// rates are all requests so far, and those per second.
type rates struct {
	writes, reads         Tally
	writeRate, searchRate float64
}

// health tells how a node is: what was done to it, else what the cluster says.
func (f *frame) health(node int) string {
	n := f.picture.Nodes[node]
	switch {
	case f.states[node] != "up":
		return f.states[node]
	case !n.Answers:
		return "silent"
	case n.InSync < n.Copies:
		return "syncing"
	default:
		return "up"
	}
}

// names are nodes as people count them.
func names(nodes []int) string {
	words := make([]string, len(nodes))
	for i, n := range nodes {
		words[i] = name(n)
	}
	return strings.Join(words, " ")
}

func name(node int) string {
	if node < 0 {
		return nobody
	}
	return strconv.Itoa(node + 1)
}

// lag is how many entries a node's copies lack, in words.
func (n *Node) lag() string {
	switch {
	case !n.Unclear:
		return strconv.FormatUint(n.Lag, 10)
	case n.Lag == 0:
		return "?"
	default:
		return strconv.FormatUint(n.Lag, 10) + "+"
	}
}

// lags tells which copies of a shard lack how many entries: those that lack some, or are out of sync.
func (s *Shard) lags() string {
	var words []string
	for _, c := range s.Copies {
		lag, known := s.Lag[c]
		switch {
		case !known:
			words = append(words, name(c)+": ?")
		case lag > 0 || !slices.Contains(s.InSync, c):
			words = append(words, fmt.Sprintf("%s: %d", name(c), lag))
		}
	}
	return strings.Join(words, ", ")
}

// line is the frame in one line.
func (f *frame) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6.1f s", f.at.Seconds())
	for i, n := range f.picture.Nodes {
		fmt.Fprintf(&b, " | node %d %s, leads %d, in sync %d/%d, lag %s", i+1, f.health(i), n.Leads, n.InSync, n.Copies, n.lag())
	}
	fmt.Fprintf(&b, " | %s", &f.rates)
	if f.blind != nil {
		fmt.Fprintf(&b, "  %s", oneLine(f.blind))
	}
	return b.String()
}

// String is the load in words.
func (r *rates) String() string {
	return fmt.Sprintf("%.0f writes/s, %.0f searches/s; %d acknowledged, failed %d + %d, slowest %d + %d ms",
		r.writeRate, r.searchRate, r.writes.OK, r.writes.Failed, r.reads.Failed,
		r.writes.Slowest.Milliseconds(), r.reads.Slowest.Milliseconds())
}

// screen is the frame as tables, side by side where there is room.
func (f *frame) screen(width int) string {
	nodes := newTable("node", "state", "leads", "copies in sync", "lag", "vote")
	for i, n := range f.picture.Nodes {
		vote := ""
		if n.Voter {
			vote = "yes"
		}
		nodes.AppendRow(table.Row{i + 1, painted(f.health(i)), n.Leads, fmt.Sprintf("%d of %d", n.InSync, n.Copies), n.lag(), vote})
	}
	shards := newTable("shard", "leader", "epoch", "in sync", "lag")
	for i := range f.picture.Shards {
		s := &f.picture.Shards[i]
		shards.AppendRow(table.Row{s.ID, name(s.Leader), s.Epoch, names(s.InSync), s.lags()})
	}
	tables := sideBySide(nodes.Render(), shards.Render())
	if text.LongestLineLen(tables) > width {
		tables = nodes.Render() + "\n" + shards.Render() + "\n"
	}
	return tables + text.Trim(f.rates.String(), width) + "\n" + text.Trim(f.notice(), width) + "\n"
}

func (f *frame) notice() string {
	if f.blind != nil {
		return text.FgRed.Sprint(oneLine(f.blind))
	}
	return f.hint
}

// painted gives a state its colour.
func painted(state string) string {
	switch state {
	case "up":
		return text.FgGreen.Sprint(state)
	case "syncing", "starting":
		return text.FgYellow.Sprint(state)
	default:
		return text.FgRed.Sprint(state)
	}
}

func newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(columns)
	return t
}

// sideBySide joins two blocks of lines.
func sideBySide(left, right string) string {
	l, r := strings.Split(left, "\n"), strings.Split(right, "\n")
	width := text.LongestLineLen(left)
	var b strings.Builder
	for i := range max(len(l), len(r)) {
		var a, c string
		if i < len(l) {
			a = l[i]
		}
		if i < len(r) {
			c = r[i]
		}
		b.WriteString(strings.TrimRight(text.Pad(a, width, ' ')+"  "+c, " ") + "\n")
	}
	return b.String()
}

// oneLine cuts an error to what fits.
func oneLine(err error) string {
	return text.Trim(strings.Join(strings.Fields(err.Error()), " "), 100)
}

// view prints what happens, and below it, on a terminal, the frame, redrawn in place.
type view struct {
	live  bool
	width func() int // nil is wide enough

	// mu guards the rest.
	mu    sync.Mutex
	out   io.Writer
	drawn int // lines of the frame on the screen
}

// say prints text that stays.
func (v *view) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.print(v.erased() + fmt.Sprintf(format, args...) + "\n")
	v.drawn = 0
}

// show draws a frame.
func (v *view) show(f *frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.live {
		v.print(f.line() + "\n")
		return
	}
	screen := f.screen(v.columns())
	v.print(v.erased() + screen)
	v.drawn = strings.Count(screen, "\n")
}

// columns returns how wide a frame may be.
func (v *view) columns() int {
	if v.width == nil {
		return wide
	}
	return v.width()
}

// leave has the last frame stay where it is.
func (v *view) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drawn = 0
}

// erased moves the cursor to where the frame begins and clears what is below.
func (v *view) erased() string {
	if v.drawn == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", v.drawn)
}

// print writes in one go, so that nothing flickers. Raw terminals need the carriage returns, others
// don't mind.
func (v *view) print(s string) {
	b := []byte(s)
	if v.live {
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}
	_, _ = v.out.Write(b) // whoever reads it may have gone
}

// pulse turns tallies into rates.
type pulse struct {
	last          time.Time
	writes, reads int
}

// take returns the rates since the last call.
func (p *pulse) take(now time.Time, writes, reads int) (writeRate, readRate float64) {
	if seconds := now.Sub(p.last).Seconds(); seconds > 0 && !p.last.IsZero() {
		writeRate, readRate = float64(writes-p.writes)/seconds, float64(reads-p.reads)/seconds
	}
	p.last, p.writes, p.reads = now, writes, reads
	return writeRate, readRate
}
