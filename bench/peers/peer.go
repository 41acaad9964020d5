package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// peer is a library in a Python process, driven by peer.py's line protocol.
type peer struct {
	library string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startPeer(python, script, library string) (*peer, error) {
	cmd := exec.Command(python, script, library)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &peer{library: library, cmd: cmd, in: in, out: bufio.NewReader(out)}, cmd.Start()
}

func (p *peer) name() string { return p.library }

// ask sends a command and reads its answer.
func (p *peer) ask(command, answer any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return err
	}
	reply, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended: %w", p.library, err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(reply, answer)
}

func (p *peer) build(_ context.Context, o options) (cost, error) {
	var c cost
	err := p.ask(map[string]any{"build": map[string]any{"m": o.m, "efc": o.efc, "threads": o.threads}}, &c)
	return c, err
}

func (p *peer) search(_ context.Context, ef, k int) ([][]uint32, float64, error) {
	var answer struct {
		Wall float64
		IDs  string
	}
	if err := p.ask(map[string]any{"search": map[string]any{"ef": ef, "k": k}}, &answer); err != nil {
		return nil, 0, err
	}
	raw, err := os.ReadFile(answer.IDs)
	if err != nil {
		return nil, 0, err
	}
	found := make([][]uint32, len(raw)/4/k)
	for q := range found {
		found[q] = make([]uint32, k)
		for i := range found[q] {
			found[q][i] = binary.LittleEndian.Uint32(raw[(q*k+i)*4:])
		}
	}
	return found, answer.Wall, nil
}

func (p *peer) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
