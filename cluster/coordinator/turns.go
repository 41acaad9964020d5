package coordinator

import "sync"

// turns let those who change the same thing do so one after the other. Nobody waits for
// somebody who changes something else: a collection that can't follow a change at the
// moment must not hold up the others.
type turns struct {
	// changing is held for reading by changes under way, and for good when the front desk
	// closes.
	changing sync.RWMutex

	// mu guards taken.
	mu    sync.Mutex
	taken map[string]*turn
}

type turn struct {
	sync.Mutex
	users int // who have or want it
}

// take waits for the turn of a name. The caller calls end.
func (t *turns) take(name string) (end func()) {
	t.changing.RLock()
	t.mu.Lock()
	if t.taken == nil {
		t.taken = map[string]*turn{}
	}
	one := t.taken[name]
	if one == nil {
		one = &turn{}
		t.taken[name] = one
	}
	one.users++
	t.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.taken, name)
		}
		t.changing.RUnlock()
	}
}
