package docstore

import "sync"

// pins delays the release of replaced parts until nobody can be reading them:
// readers pin the present, and what is retired now is released when all pins
// taken up to now are gone.
type pins struct {
	// mu guards oldest, current and all generations.
	mu              sync.Mutex
	oldest, current *generation
}

// generation is a stretch of time that ends with a retirement.
type generation struct {
	readers int
	release []func() // called when this and all older generations have no readers
	next    *generation
}

func newPins() *pins {
	g := &generation{}
	return &pins{oldest: g, current: g}
}

// Pin keeps the memory alive that the Store hands out until release is called,
// once.
type Pin struct {
	p *pins
	g *generation
}

func (p *pins) pin() Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.readers++
	return Pin{p, p.current}
}

// Release ends the pin. The zero Pin does nothing.
func (pin Pin) Release() {
	if pin.p == nil {
		return
	}
	pin.p.mu.Lock()
	pin.g.readers--
	due := pin.p.sweep()
	pin.p.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// retire calls f when every reader that has pinned so far is gone, perhaps at
// once. f must not pin.
func (p *pins) retire(f func()) {
	p.mu.Lock()
	p.current.release = append(p.current.release, f)
	p.current.next = &generation{}
	p.current = p.current.next
	due := p.sweep()
	p.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// sweep drops the generations that nobody reads, and returns what they were to
// release. The caller holds mu.
func (p *pins) sweep() (due []func()) {
	for p.oldest != p.current && p.oldest.readers == 0 {
		due = append(due, p.oldest.release...)
		p.oldest = p.oldest.next
	}
	return due
}
