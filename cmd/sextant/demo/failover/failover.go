// Package failover shows a cluster lose a node and take it back while clients write and search: who
// leads which shard, whose copies are in sync, how fast requests are and how many fail. At the end it
// proves that every acknowledged write is there, on whichever node one asks.
//
// What the cluster looks like comes from its REST API, what clients do goes through the official Go
// client: the show knows nothing that a user couldn't know.
//
// Caller: the command "sextant demo", which has the nodes (cmd/sextant/demo/crew) and the collection
// (cmd/sextant/demo).
package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/cmd/sextant/demo/crew"
)

// Nodes are what can be done to nodes; they count from 0. *crew.Crew is one. Methods are safe for
// concurrent use.
type Nodes interface {
	State(node int) crew.State
	Kill(node int) error
	Pause(node int) error
	Heal(ctx context.Context, node int) error
}

// Sight tells how the cluster is; *Eyes is one.
type Sight interface {
	Look(ctx context.Context) (*Picture, error)
}

// Options are what the show is given. All are needed but Live, Width and Pace.
type Options struct {
	// Out is what everything is printed to; Live says that it is a terminal.
	Out  io.Writer
	Live bool
	// Width returns how wide the terminal is, nil is wide enough.
	Width func() int
	// Nodes are the processes, Doors the ways in through each, Sight how to look at them.
	Nodes Nodes
	Doors []Door
	Sight Sight
	// Shards is the number of the collection's shards.
	Shards int
	// Queries are what is searched for, Vectors those of each note.
	Queries []*pb.QueryPoints
	Vectors func(note int) *pb.Vectors
	// Pace is how long each part of the script lasts at least; 0 is a pace for people.
	Pace time.Duration
}

// Show is the state of a show. Its methods are for one goroutine at a time.
type Show struct {
	Options
	ledger *Ledger
	load   *load
	view   *view
	begun  time.Time

	// mu guards the rest.
	mu      sync.Mutex
	picture *Picture
	blind   error
	changed chan struct{} // closed when there is a newer picture
	hint    string
	rates   rates
}

const (
	// pace is how long a part of the script lasts for people.
	pace = 4 * time.Second
	// glances is how often the cluster is looked at, limit how long anything may take.
	glances = 100 * time.Millisecond
	limit   = time.Minute
)

// New prepares a show.
func New(o Options) *Show {
	if o.Pace == 0 {
		o.Pace = pace
	}
	ledger := newLedger(o.Shards)
	return &Show{
		Options: o, ledger: ledger, load: newLoad(o.Doors, ledger, o.Queries, o.Vectors),
		view: &view{live: o.Live, width: o.Width, out: o.Out}, begun: time.Now(),
		picture: &Picture{Nodes: make([]Node, len(o.Doors))}, changed: make(chan struct{}),
	}
}

// underLoad looks at the cluster, shows it and loads it while act runs, and then waits for all
// answers.
func (s *Show) underLoad(ctx context.Context, act func(context.Context) error) error {
	inner, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.watch(inner) })
	wg.Go(func() { s.load.run(inner) })
	wg.Go(func() { s.draw(inner) })
	err := act(inner)
	stop()
	wg.Wait()
	s.view.leave()
	return err
}

// watch looks at the cluster until ctx ends.
func (s *Show) watch(ctx context.Context) {
	tick := time.NewTicker(glances)
	defer tick.Stop()
	for {
		p, err := s.Sight.Look(ctx)
		s.mu.Lock()
		if s.blind = err; err == nil {
			s.picture = p
		}
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// draw shows the cluster until ctx ends.
func (s *Show) draw(ctx context.Context) {
	every, sample := plain, 1
	if s.Live {
		every, sample = redraw, sampling
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var beat pulse
	s.sample(&beat)
	for i := 1; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if i%sample == 0 {
			s.sample(&beat)
		}
		s.view.show(s.frame())
	}
}

// sample takes the rates anew.
func (s *Show) sample(beat *pulse) {
	r := rates{}
	r.writes, r.reads = s.ledger.tallies(true)
	r.writeRate, r.searchRate = beat.take(time.Now(), r.writes.OK, r.reads.OK)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates = r
}

// frame returns what is known now.
func (s *Show) frame() *frame {
	s.mu.Lock()
	f := &frame{at: time.Since(s.begun), picture: s.picture, blind: s.blind, rates: s.rates, hint: s.hint}
	s.mu.Unlock()
	for i := range s.Doors {
		f.states = append(f.states, s.Nodes.State(i).String())
	}
	return f
}

// now returns the newest picture and a channel that is closed when there is a newer one.
func (s *Show) now() (*Picture, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.picture, s.changed
}

// until waits for a picture, or for anything else that is looked for whenever there is one.
func (s *Show) until(ctx context.Context, what string, ok func(*Picture) bool) error {
	timed, cancel := context.WithTimeoutCause(ctx, limit, errors.New("not within "+limit.String()))
	defer cancel()
	_, changed := s.now() // one that is being taken may be older than what was done just now
	for {
		select {
		case <-changed:
		case <-timed.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			return errors.Join(fmt.Errorf("wait until %s: %w", what, context.Cause(timed)), s.blind)
		}
		var p *Picture
		if p, changed = s.now(); ok(p) {
			return nil
		}
	}
}

// rest lets the load go on for a while.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Prove asks every node that is up for every acknowledged write, prints what each says, and fails if
// one lacks anything or counts otherwise. There must be no load.
func (s *Show) Prove(ctx context.Context) error {
	promised := s.ledger.promised()
	var verdicts []Verdict
	for i, d := range s.Doors {
		if s.Nodes.State(i) != crew.Up {
			s.view.say("Node %d is %s and isn't asked.", i+1, s.Nodes.State(i))
			continue
		}
		v, err := prove(ctx, i, d, promised)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, v)
	}
	t := newTable("asked of", "acknowledged", "found", "lost", "older version", "notes", "all points")
	for _, v := range verdicts {
		t.AppendRow([]any{fmt.Sprintf("node %d", v.Node+1), len(promised), v.Found, v.Lost, v.Stale, v.Notes, v.Points})
	}
	s.view.say("\nThe proof: every acknowledged write, asked for by ID\n%s", t.Render())
	if len(verdicts) == 0 {
		return errors.New("no node is up to be asked")
	}
	return judge(verdicts)
}
