package simulation

import "time"

// event is something that happens at a time.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// events is a heap; those of one time happen in the order in which they were added.
type events struct {
	list []event
	seq  uint64
}

func (h *events) add(at time.Duration, do func()) {
	h.seq++
	h.list = append(h.list, event{at, h.seq, do})
	for i := len(h.list) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.list[i].before(&h.list[up]) {
			return
		}
		h.list[i], h.list[up] = h.list[up], h.list[i]
		i = up
	}
}

func (h *events) next() (event, bool) {
	n := len(h.list)
	if n == 0 {
		return event{}, false
	}
	first := h.list[0]
	h.list[0] = h.list[n-1]
	h.list[n-1] = event{}
	h.list = h.list[:n-1]
	for i := 0; ; {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < n-1 && h.list[c].before(&h.list[least]) {
				least = c
			}
		}
		if least == i {
			return first, true
		}
		h.list[i], h.list[least] = h.list[least], h.list[i]
		i = least
	}
}
