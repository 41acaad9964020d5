package segment_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sextantdb/sextant/engine/segment"
	"github.com/sextantdb/sextant/internal/fsx"
)

// TestScripts runs the plays in testdata. Their expected output is what happens on
// the disk, in order, so that a sync that gets lost shows as a difference.
//
//	write name bytes=n    store seq=n files=(a,b)    remove-dead
//	load                  discard name               fail op=kind | fail
//	list
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		t.Helper()
		if strings.Contains(file, "fuzz") {
			return
		}
		p := &play{dir: newDir(t), written: map[string]segment.FileInfo{}}
		p.under, p.dir.FS = p.dir.FS, fsx.NewFault(p.dir.FS, p.observe)
		datadriven.RunTest(t, file, p.command)
	})
}

// play is a shard's directory and the operations that it asked of the disk.
type play struct {
	dir     *segment.Dir
	under   fsx.FS
	written map[string]segment.FileInfo
	ops     []string
	failing string
}

func (p *play) observe(op fsx.Op) error {
	if !op.Kind.Changes() {
		return nil
	}
	line := fmt.Sprintf("  %s %s", op.Kind, path.Base(op.Path))
	switch op.Kind {
	case fsx.OpWrite:
		line += fmt.Sprint(" ", op.Size)
	case fsx.OpRename:
		line += " " + path.Base(op.NewPath)
	default:
	}
	var err error
	if op.Kind.String() == p.failing {
		line, err = line+" fails", errors.New("input/output error")
	}
	p.ops = append(p.ops, line)
	return err
}

func (p *play) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	out, err := "", error(nil)
	switch d.Cmd {
	case "write":
		var n int
		d.ScanArgs(t, "bytes", &n)
		err = p.write(d.CmdArgs[0].Key, n)
	case "store":
		m := &segment.Manifest{Files: map[string][]segment.FileInfo{}}
		d.ScanArgs(t, "seq", &m.Seq)
		for _, a := range d.CmdArgs {
			if a.Key == "files" {
				for _, name := range a.Vals {
					m.Files["part"] = append(m.Files["part"], p.written[name])
				}
			}
		}
		err = p.dir.Store(m)
	case "remove-dead":
		err = p.dir.RemoveDead()
	case "discard":
		err = p.dir.Discard(p.written[d.CmdArgs[0].Key])
	case "load":
		var m *segment.Manifest
		p.dir = &segment.Dir{FS: p.dir.FS, Path: p.dir.Path}
		if m, err = p.dir.Load(); err == nil {
			out = fmt.Sprintln("seq", m.Seq, m.Files["part"])
		}
	case "fail":
		p.failing = ""
		if d.HasArg("op") {
			d.ScanArgs(t, "op", &p.failing)
		}
	case "list":
		return strings.Join(list(t, &segment.Dir{FS: p.under, Path: p.dir.Path}), "\n") + "\n"
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	if err != nil {
		out += err.Error() + "\n"
	}
	ops := p.ops
	p.ops = nil
	return out + strings.Join(append(ops, ""), "\n")
}

func (p *play) write(name string, n int) error {
	w, err := p.dir.Create(name, "test", 1)
	if err != nil {
		return err
	}
	if _, err := w.Section(1).Write(make([]byte, n)); err != nil {
		return err
	}
	p.written[name], err = w.Finish()
	return err
}
