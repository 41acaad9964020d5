package model

// Model is the protocol within bounds, with some rules broken or none.
type Model struct {
	bounds Bounds
	broken Break
	// forgets: what nobody can learn or hear any more may be dropped from states. Some
	// broken rules make such things heard.
	forgets bool
}

// New returns the model.
func New(b Bounds, broken Break) (*Model, error) {
	b = b.withDefaults()
	if err := b.validate(); err != nil {
		return nil, err
	}
	const remember = R1NoRegistration | R3OlderLeader | R4AnyEpoch
	return &Model{bounds: b, broken: broken, forgets: broken&remember == 0}, nil
}

func (m *Model) off(b Break) bool { return m.broken&b != 0 }

// step makes the successors of one state, one after the other, in place.
type step struct {
	*Model
	from *State
	to   State
	// broke is what the action under way violates.
	broke *Violation
	visit func(Action, *State, *Violation)
}

// begin starts an action: what it returns is changed and then given to end.
func (x *step) begin() *State {
	x.to = *x.from
	x.broke = nil
	return &x.to
}

func (x *step) end(a Action) { x.visit(a, &x.to, x.broke) }

// violate says that the action under way breaks an invariant.
func (x *step) violate(i Invariant, format string, args ...any) {
	if x.broke == nil {
		x.broke = newViolation(i, format, args...)
	}
}

// Each visits everything that can happen next in s, in an order that depends on s alone.
// The state it passes is valid during the visit.
func (m *Model) Each(s *State, visit func(Action, *State, *Violation)) {
	m.each(&step{}, s, visit)
}

// each is Each with a step that is used again.
func (m *Model) each(x *step, s *State, visit func(Action, *State, *Violation)) {
	x.Model, x.from, x.visit = m, s, visit
	x.fence()
	x.relieve()
	for i := range m.bounds.Nodes {
		x.topology(i)
		x.process(i)
		r := s.view(i)
		if r == nil || !s.nodes[i].up {
			continue
		}
		x.makeCopy(i, r)
		if !m.takesPart(s, i, r) {
			continue
		}
		switch {
		case s.nodes[i].active:
			x.lead(i, r)
		case r.leader != uint8(i) && r.leader != nobody:
			x.follow(i, r)
		}
	}
}

// takesPart tells whether node i has the copy that the record names, and may use it.
func (m *Model) takesPart(s *State, i int, r *record) bool {
	return s.nodes[i].disk.alloc == r.alloc[i] && (r.created&bit(i) != 0 || m.off(CreatedGate))
}
