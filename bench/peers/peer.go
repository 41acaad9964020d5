package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// peer is a library in a Python process, driven by peer.py's line protocol.
type peer struct {
	library string
	release string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	files   peerFiles
	metric  string
}

// peerFiles are what is handed to a peer and back.
type peerFiles struct{ base, queries, ids string }

func startPeer(ctx context.Context, o options, library string, files peerFiles) (*peer, error) {
	cmd := exec.CommandContext(ctx, o.python, o.script, library)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", library, err)
	}
	p := &peer{library: library, cmd: cmd, in: in, out: bufio.NewReader(out), files: files, metric: o.metric}
	var answer struct{ Version string }
	load := map[string]any{"base": files.base, "queries": files.queries, "ids": files.ids, "metric": o.metric}
	if err := p.ask("load", load, &answer); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.release = answer.Version
	return p, nil
}

func (p *peer) name() string    { return p.library }
func (p *peer) version() string { return p.release }

// ask sends a command and reads its answer.
func (p *peer) ask(command string, args map[string]any, answer any) error {
	line, err := json.Marshal(map[string]any{command: args})
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s ended at %s: %w", p.library, command, err)
	}
	reply, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended at %s: %w", p.library, command, err)
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(reply, &failed); err != nil {
		return fmt.Errorf("%s: answer to %s: %w", p.library, command, err)
	}
	if failed.Error != "" {
		return fmt.Errorf("%s: %s: %s", p.library, command, failed.Error)
	}
	return json.Unmarshal(reply, answer)
}

func (p *peer) build(_ context.Context, o options) (cost, error) {
	args := map[string]any{"m": o.m, "efc": o.efc, "threads": o.threads}
	if o.cache != "" {
		if err := os.MkdirAll(o.cache, 0o755); err != nil {
			return cost{}, err
		}
		key, err := p.cacheKey(o)
		if err != nil {
			return cost{}, err
		}
		args["cache"] = filepath.Join(o.cache, key)
	}
	var c cost
	err := p.ask("build", args, &c)
	return c, err
}

// cacheKey names an index after all that it depends on. The number of threads is
// part of it because it changes the graph and the time that was measured.
func (p *peer) cacheKey(o options) (string, error) {
	f, err := os.Open(p.files.base)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("hash the rows: %w", err)
	}
	return fmt.Sprintf("%s-%s-%s-m%d-efc%d-t%d-%x", p.library, p.release, p.metric, o.m, o.efc, o.threads, h.Sum(nil)[:8]), nil
}

// settings of a library that compares candidates again with the raw rows are a
// sweep over how many; more than ef candidates there never are. A search narrower than
// its answer is ours alone: all others take k for a smaller ef.
func (p *peer) settings(ef, k int) []setting {
	if ef < k {
		return nil
	}
	switch p.library {
	case "faiss-hnswsq", "usearch-i8":
		all := []setting{{Ef: ef, Refine: 1}}
		for refine := 2; refine <= 8 && refine*k <= ef; refine *= 2 {
			all = append(all, setting{Ef: ef, Refine: refine})
		}
		return all
	default:
		return []setting{{Ef: ef}}
	}
}

func (p *peer) search(_ context.Context, s setting, k int) (answers, error) {
	var took struct{ Wall, CPU float64 }
	if err := p.ask("search", map[string]any{"ef": s.Ef, "refine": max(1, s.Refine), "k": k}, &took); err != nil {
		return answers{}, err
	}
	raw, err := os.ReadFile(p.files.ids)
	if err != nil {
		return answers{}, err
	}
	found := make([][]uint32, len(raw)/4/k)
	for q := range found {
		found[q] = make([]uint32, k)
		for i := range found[q] {
			found[q][i] = binary.LittleEndian.Uint32(raw[(q*k+i)*4:])
		}
	}
	return answers{found: found, wall: took.Wall, cpu: took.CPU}, nil
}

// close lets the process end: it does when it has no more to read.
func (p *peer) close() error {
	err := p.in.Close()
	if ended := p.cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", p.library, ended))
	}
	return err
}
