package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/cmd/sextant/demo/crew"
)

// Step is something to do to the cluster, as a flag names it.
type Step struct {
	verb string        // kill, pause, heal, status or wait
	node int           // -1 lets the verb choose
	wait time.Duration // only with wait
}

// ParseSteps reads steps: kill, pause and heal with or without a node ("kill:2"), status, and how
// long to wait ("5s").
func ParseSteps(words []string, nodes int) ([]Step, error) {
	steps := make([]Step, 0, len(words))
	for _, word := range words {
		step, err := parseStep(word, nodes)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func parseStep(word string, nodes int) (Step, error) {
	if d, err := time.ParseDuration(word); err == nil {
		if d < 0 {
			return Step{}, fmt.Errorf("step %q: nobody can wait a negative time", word)
		}
		return Step{verb: "wait", wait: d}, nil
	}
	step := Step{node: -1}
	var number string
	var named bool
	step.verb, number, named = strings.Cut(word, ":")
	switch step.verb {
	case "kill", "pause", "heal":
	case "status":
		if named {
			return Step{}, fmt.Errorf("step %q: status is of all nodes", word)
		}
	default:
		return Step{}, fmt.Errorf("step %q is none of kill, pause, heal, status and a duration", word)
	}
	if named {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > nodes {
			return Step{}, fmt.Errorf("step %q: the nodes are 1 to %d", word, nodes)
		}
		step.node = n - 1
	}
	return step, nil
}

// Do takes steps under load, then proves that nothing is lost.
func (s *Show) Do(ctx context.Context, steps []Step) error {
	err := s.underLoad(ctx, func(ctx context.Context) error {
		for _, step := range steps {
			if err := s.take(ctx, step); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.sum()
	return s.Prove(ctx)
}

// take takes a step.
func (s *Show) take(ctx context.Context, step Step) error {
	switch step.verb {
	case "wait":
		return rest(ctx, step.wait)
	case "status":
		s.status()
		return nil
	case "heal":
		return s.heal(ctx, step.node)
	}
	node := step.node
	if node < 0 {
		p, _ := s.now()
		var ok bool
		if node, ok = p.busiest(); !ok {
			return errors.New("no node leads a shard")
		}
	}
	if was := s.Nodes.State(node); was != crew.Up {
		return fmt.Errorf("node %d is %s", node+1, was)
	}
	if step.verb == "kill" {
		s.view.say(">> kill -9 node %d", node+1)
		return s.Nodes.Kill(node)
	}
	s.view.say(">> pause node %d (SIGSTOP)", node+1)
	return s.Nodes.Pause(node)
}

// heal brings back one node, or all that are not up.
func (s *Show) heal(ctx context.Context, node int) error {
	for i := range s.Doors {
		if state := s.Nodes.State(i); (node < 0 || node == i) && state != crew.Up {
			s.view.say(">> heal node %d, which is %s", i+1, state)
			if err := s.Nodes.Heal(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// status prints the cluster as it is now.
func (s *Show) status() {
	f := s.frame()
	f.hint = ""
	if s.Live {
		s.view.say("%s", strings.TrimRight(f.screen(s.view.columns()), "\n"))
		return
	}
	s.view.say("%s", f.line())
}

// Keys of Stay.
const (
	ctrlC = 3
	ctrlD = 4
	keys  = "k kill, p pause, h heal, s status, q quit"
)

// Stay keeps the cluster under load and does what the keys say until one says quit, keys end or ctx
// ends; then it proves that nothing is lost.
func (s *Show) Stay(ctx context.Context, keys io.Reader) error {
	s.choose(-1)
	err := s.underLoad(ctx, func(ctx context.Context) error { return s.obey(ctx, pressed(ctx, keys)) })
	if err != nil || ctx.Err() != nil {
		return err
	}
	s.sum()
	return s.Prove(ctx)
}

// choose says which node the next kill or pause is for, and what the keys are.
func (s *Show) choose(node int) {
	which := "the one that leads most"
	if node >= 0 {
		which = fmt.Sprintf("node %d", node+1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hint = fmt.Sprintf("keys: %s; 1 to %d choose a node, 0 %s; now: %s", keys, len(s.Doors), "none", which)
}

// pressed returns the keys as they come. Reading can't be interrupted: its goroutine ends with the
// reader, or waits for a last key that nobody gets.
func pressed(ctx context.Context, keys io.Reader) <-chan byte {
	c := make(chan byte)
	go func() {
		defer close(c)
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(keys, b); err != nil {
				return
			}
			select {
			case c <- b[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// obey does what keys say. What takes long doesn't keep the next key waiting.
func (s *Show) obey(ctx context.Context, keys <-chan byte) error {
	var acts errgroup.Group
	acts.SetLimit(len(s.Doors) + 1)
	chosen := -1
	for {
		var key byte
		var ok bool
		select {
		case key, ok = <-keys:
		case <-ctx.Done():
		}
		if !ok || key == 'q' || key == ctrlC || key == ctrlD {
			return acts.Wait()
		}
		step := Step{node: chosen}
		switch {
		case key == 'k':
			step.verb = "kill"
		case key == 'p':
			step.verb = "pause"
		case key == 'h':
			step.verb = "heal"
		case key == 's':
			step.verb = "status"
		case key >= '0' && int(key-'0') <= len(s.Doors):
			chosen = int(key-'0') - 1
			s.choose(chosen)
			continue
		default:
			continue
		}
		acts.TryGo(func() error {
			// A person sees what went wrong, and goes on.
			if err := s.take(ctx, step); err != nil && ctx.Err() == nil {
				s.view.say(">> %v", err)
			}
			return nil
		})
	}
}
