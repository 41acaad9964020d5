package replication

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/sextantdb/sextant/cluster/topology"
)

const (
	// opWindow is how many of a process's last counters are remembered.
	opWindow = 4096
	opWords  = opWindow / 64
	// maxOpProcesses is how many processes are remembered.
	maxOpProcesses = 1024
)

// Seen is what is known of an operation.
type Seen uint8

// The answers.
const (
	// NotSeen: it wasn't done.
	NotSeen Seen = iota
	// Done: it was done.
	Done
	// Forgotten: so many later ones of its process were done that nobody knows.
	Forgotten
)

// OpTable remembers which operations were applied: for each process that took writes, its
// last 4,096. Processes that haven't written for longest are dropped. It depends on
// nothing but the operations that were added, in order: it is part of the state that all
// copies share. The zero value is empty. It isn't safe for concurrent use.
type OpTable struct {
	processes map[opProcess]*opRecord
}

type opProcess struct {
	peer        topology.PeerID
	incarnation uint64
}

func (a opProcess) compare(b opProcess) int {
	return cmp.Or(cmp.Compare(a.peer, b.peer), cmp.Compare(a.incarnation, b.incarnation))
}

// opRecord is what is known of one process.
type opRecord struct {
	// highest is the highest counter that was added, used the last entry that did.
	highest, used uint64
	// bits tell which counters of the window that ends at highest were added: counter
	// c is bit c mod 4,096.
	bits [opWords]uint64
}

func (r *opRecord) has(c uint64) bool { return r.bits[c%opWindow/64]>>(c%64)&1 != 0 }
func (r *opRecord) set(c uint64)      { r.bits[c%opWindow/64] |= 1 << (c % 64) }
func (r *opRecord) clear(c uint64)    { r.bits[c%opWindow/64] &^= 1 << (c % 64) }

// Seen tells what is known of an operation.
func (t *OpTable) Seen(op OpID) Seen {
	r := t.processes[opProcess{op.Peer, op.Incarnation}]
	switch {
	case r == nil || op.Counter > r.highest:
		return NotSeen
	case r.highest-op.Counter >= opWindow:
		return Forgotten
	case r.has(op.Counter):
		return Done
	}
	return NotSeen
}

// Add notes that an operation was applied by the entry seq. The zero ID is none.
func (t *OpTable) Add(op OpID, seq uint64) {
	if op == (OpID{}) {
		return
	}
	p := opProcess{op.Peer, op.Incarnation}
	r := t.processes[p]
	if r == nil {
		if t.processes == nil {
			t.processes = map[opProcess]*opRecord{}
		}
		if len(t.processes) >= maxOpProcesses {
			t.drop()
		}
		r = &opRecord{}
		t.processes[p] = r
	}
	r.used = seq
	switch {
	case op.Counter > r.highest:
		if op.Counter-r.highest >= opWindow {
			r.bits = [opWords]uint64{}
		} else {
			for c := r.highest + 1; c < op.Counter; c++ {
				r.clear(c)
			}
		}
		r.highest = op.Counter
		r.set(op.Counter)
	case r.highest-op.Counter < opWindow:
		r.set(op.Counter)
	}
}

// drop forgets the process that hasn't written for longest.
func (t *OpTable) drop() {
	var oldest opProcess
	used, found := uint64(0), false
	for p, r := range t.processes { // The least of all: the order doesn't matter.
		if !found || r.used < used || r.used == used && p.compare(oldest) < 0 {
			oldest, used, found = p, r.used, true
		}
	}
	delete(t.processes, oldest)
}

// Clone returns a copy.
func (t *OpTable) Clone() *OpTable {
	c := &OpTable{processes: make(map[opProcess]*opRecord, len(t.processes))}
	for p, r := range t.processes { // Into a map.
		r := *r
		c.processes[p] = &r
	}
	return c
}

var errOpTable = errors.New("table of operations: malformed")

// opTableVersion is the first byte of an encoded table.
const opTableVersion = 1

// AppendTo appends the table's encoding to b: a version, the number of processes, and
// each with its numbers as varints and the words of its bits that aren't 0, with a mask
// in front that says which. Equal tables have equal encodings.
func (t *OpTable) AppendTo(b []byte) []byte {
	ps := make([]opProcess, 0, len(t.processes))
	for p := range t.processes {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, opProcess.compare)
	b = append(b, opTableVersion)
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, p := range ps {
		r := t.processes[p]
		for _, v := range [...]uint64{uint64(p.peer), p.incarnation, r.highest, r.used} {
			b = binary.AppendUvarint(b, v)
		}
		mask := uint64(0)
		for i, w := range r.bits {
			if w != 0 {
				mask |= 1 << i
			}
		}
		b = binary.LittleEndian.AppendUint64(b, mask)
		for _, w := range r.bits {
			if w != 0 {
				b = binary.LittleEndian.AppendUint64(b, w)
			}
		}
	}
	return b
}

// DecodeOpTable reads what AppendTo wrote, all of b.
func DecodeOpTable(b []byte) (*OpTable, error) {
	d := opDecoder{b: b}
	if d.byte() != opTableVersion {
		return nil, errOpTable
	}
	n := d.uvarint()
	if d.bad || n > maxOpProcesses {
		return nil, errOpTable
	}
	t := &OpTable{processes: make(map[opProcess]*opRecord, n)}
	var last opProcess
	for i := range n {
		p := opProcess{topology.PeerID(d.uvarint()), d.uvarint()}
		r := &opRecord{highest: d.uvarint(), used: d.uvarint()}
		mask := d.word()
		for w := range r.bits {
			if mask>>w&1 != 0 {
				r.bits[w] = d.word()
				d.bad = d.bad || r.bits[w] == 0
			}
		}
		if d.bad || i > 0 && last.compare(p) >= 0 || !r.plausible() {
			return nil, errOpTable
		}
		t.processes[p], last = r, p
	}
	if len(d.b) > 0 {
		return nil, errOpTable
	}
	return t, nil
}

// plausible tells whether Add could have made the record: the highest counter is set, and
// none that would be less than 0.
func (r *opRecord) plausible() bool {
	if !r.has(r.highest) {
		return false
	}
	for c := r.highest + 1; c < opWindow; c++ {
		if r.has(c) {
			return false
		}
	}
	return true
}

// opDecoder reads numbers until something is wrong.
type opDecoder struct {
	b   []byte
	bad bool
}

func (d *opDecoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// uvarint reads a number in its shortest form.
func (d *opDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *opDecoder) word() uint64 {
	if len(d.b) < 8 {
		d.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}
