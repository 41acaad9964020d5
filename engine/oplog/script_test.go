package oplog_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestScripts runs the plays in testdata. Their expected output is what the log
// does to the disk, in order, so that a sync that gets lost shows as a difference.
//
//	open [file-size=n]     append stream=s n=3      truncate stream=s after=n
//	close                  read stream=s from=n     release stream=s to=n
//	files                  flip file=n at=n         drop stream=s
//	holders                cut file=n to=n          extend file=n by=n
//	reset stream=s to=n
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		t.Helper()
		if strings.Contains(file, "fuzz") {
			return
		}
		p := newPlay(t)
		datadriven.RunTest(t, file, p.command)
		p.end()
	})
}

// play is a log and the operations that it asked of the disk.
type play struct {
	t      *testing.T
	mem    *fsx.Mem
	system *fsx.Fault
	log    *oplog.Log

	// mu guards ops, which the log's goroutine writes.
	mu  sync.Mutex
	ops []string
	// marks gets a message when the log is about to write the last that it has to.
	marks chan mark
}

// mark is a write that was begun: when it has ended, the file has this size.
type mark struct {
	path string
	size int64
}

func newPlay(t *testing.T) *play {
	t.Helper()
	p := &play{t: t, mem: fsx.NewMem(), marks: make(chan mark, 1000)}
	p.system = fsx.NewFault(p.mem, p.observe)
	return p
}

// observe notes what changes the disk. A mark is a write of a bare header after a
// sync; it is the last thing that a commit does.
func (p *play) observe(op fsx.Op) error {
	if !op.Kind.Changes() || op.Kind == fsx.OpLock || op.Kind == fsx.OpMkdirAll {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf("  %s %s", op.Kind, strings.TrimLeft(path.Base(op.Path), "0"))
	if op.Kind == fsx.OpWrite || op.Kind == fsx.OpTruncate {
		line += fmt.Sprintf(" %d", op.Size)
	}
	if op.Kind == fsx.OpWrite && op.Size == 36 && len(p.ops) > 0 && strings.HasPrefix(p.ops[len(p.ops)-1], "  sync ") {
		line += " (mark)"
		st, err := p.mem.Stat(op.Path)
		if err != nil {
			return err
		}
		p.marks <- mark{op.Path, st.Size() + op.Size}
	}
	p.ops = append(p.ops, line)
	return nil
}

func (p *play) takeOps() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := strings.Join(p.ops, "\n")
	p.ops = nil
	if out != "" {
		out += "\n"
	}
	return out
}

func (p *play) end() {
	if p.log != nil {
		require.NoError(p.t, p.log.Close())
	}
}

func (p *play) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	num := func(key string) (n int64) {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &n)
		}
		return n
	}
	var id string
	if d.HasArg("stream") {
		d.ScanArgs(t, "stream", &id)
	}
	file := fmt.Sprintf("/log/%016x.log", num("file"))
	out, err := "", error(nil)
	switch d.Cmd {
	case "open":
		return p.open(num("file-size"))
	case "close":
		err = p.log.Close()
		p.log = nil
	case "append":
		err = p.append(id, max(1, num("n")))
	case "truncate":
		if err = p.log.Stream(id).TruncateAfter(t.Context(), uint64(num("after"))); err == nil {
			p.idle()
		}
	case "reset":
		if err = p.log.Stream(id).Reset(t.Context(), oplog.Position{Epoch: 1, Seq: uint64(num("to")), Chain: 7}); err == nil {
			p.idle()
		}
	case "drop":
		if err = p.log.Stream(id).Drop(t.Context()); err == nil {
			p.idle()
		}
	case "release":
		err = p.log.Stream(id).Release(uint64(num("to")))
	case "read":
		err = p.log.Stream(id).Read(t.Context(), uint64(num("from")), func(r oplog.Record) error {
			out += fmt.Sprintf("%d/%d %s\n", r.Epoch, r.Seq, r.Data)
			return nil
		})
	case "files":
		return p.files()
	case "holders":
		out = p.holders()
	case "flip":
		err = fsx.FlipBits(p.mem, file, num("at"), 1)
	case "cut", "extend":
		err = p.resize(file, num("to"), num("by"))
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	if err != nil {
		out += err.Error() + "\n"
	}
	return out + p.takeOps()
}

func (p *play) open(fileSize int64) string {
	l, err := oplog.Open(oplog.Options{FS: p.system, Dir: "/log", FileSize: fileSize})
	if err != nil {
		return err.Error() + "\n" + p.takeOps()
	}
	p.log = l
	var out strings.Builder
	for _, id := range l.Streams() {
		s := l.Stream(id)
		fmt.Fprintf(&out, "%s: %d to %d\n", id, s.First(), s.Durable().Seq)
	}
	return out.String() + p.takeOps()
}

// idle waits until the log has nothing more to write.
func (p *play) idle() {
	m := <-p.marks
	require.Eventually(p.t, func() bool {
		st, err := p.mem.Stat(m.path)
		return err == nil && st.Size() >= m.size
	}, 10*time.Second, 10*time.Microsecond)
}

func (p *play) append(id string, n int64) error {
	s := p.log.Stream(id)
	for range n {
		seq := s.Last().Seq + 1
		if err := s.Append(1, seq, fmt.Appendf(nil, "%s-%d", id, seq)).Wait(p.t.Context()); err != nil {
			return err
		}
		p.idle()
	}
	return nil
}

func (p *play) holders() string {
	var out strings.Builder
	for _, h := range p.log.Holders() {
		fmt.Fprintf(&out, "%s up to %d holds %d bytes\n", h.Stream, h.Seq, h.Bytes)
	}
	return out.String()
}

func (p *play) files() string {
	var out strings.Builder
	for _, name := range logFiles(p.t, p.mem) {
		st, err := p.mem.Stat(name)
		require.NoError(p.t, err)
		fmt.Fprintf(&out, "%s %d\n", strings.TrimLeft(path.Base(name), "0"), st.Size())
	}
	return out.String()
}

// resize cuts a file, or extends it with zeros as a power cut may do.
func (p *play) resize(name string, to, by int64) error {
	f, err := p.mem.OpenWrite(name)
	if err != nil {
		return err
	}
	if by > 0 {
		if to, err = f.Size(); err != nil {
			return err
		}
	}
	return errors.Join(f.Truncate(to+by), f.Sync(), f.Close())
}
