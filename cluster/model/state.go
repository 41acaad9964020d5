package model

// A set of nodes is a bit each. Every field below is one byte, so that a State has no gaps
// and can be compared and hashed as bytes. Numbers of epochs, copies and histories begin
// at 1, as in cluster/topology.

// nobody leads.
const nobody = 0xff

// entry is an entry of a log: the epoch that wrote it in the high half, the operation in
// the low one. 0 is none.
type entry uint8

func newEntry(epoch, op uint8) entry { return entry(epoch<<4 | op) }

func (e entry) op() uint8 { return uint8(e) & 0x0f }

// entries is a log.
type entries struct {
	n uint8
	e [maxLog]entry
}

func (l *entries) append(e entry) {
	l.e[l.n] = e
	l.n++
}

func (l *entries) cut(n uint8) {
	for l.n > n {
		l.n--
		l.e[l.n] = 0
	}
}

// common is how many entries two logs have in common.
func (l *entries) common(o *entries) uint8 {
	var n uint8
	for n < l.n && n < o.n && l.e[n] == o.e[n] {
		n++
	}
	return n
}

// has tells whether an operation is among the entries from first on and before end.
func (l *entries) has(op, first, end uint8) bool {
	for i := first; i < end; i++ {
		if l.e[i].op() == op {
			return true
		}
	}
	return false
}

// record is one version of the topology's record of the shard.
type record struct {
	leader, epoch, history uint8
	// inSync and created are sets of nodes.
	inSync, created uint8
	// alloc is the copy that each node should have.
	alloc [maxNodes]uint8
}

// disk is what a node has on disk.
type disk struct {
	// alloc is the copy; 0 is none.
	alloc uint8
	// epoch is the highest one adopted (R2), history that of the log.
	epoch, history uint8
	log            entries
	// durable is how many entries a crash can't take.
	durable uint8
}

// node is a node with its process.
type node struct {
	disk disk
	// up: the process runs. registered: the topology has applied its registration; since
	// is the version that it was answered with. Incarnations enter the protocol only by
	// being the registered one or not, so they need no numbers.
	up, registered bool
	since          uint8
	// told is the copy that it told the topology to have made; 0 when it is no news.
	told uint8
	// late: the process died with its registration under way.
	late bool
	// known is the version that the process acts by, plus one; 0 is none.
	known uint8
	// active: it leads the epoch that it knows. synced: it follows, and was welcomed.
	active, synced bool
	// commit is how many entries it knows to be committed, and has applied.
	commit uint8
	// pending is the set that it proposed for the version that it knows; 0 is none.
	pending uint8
	// reading: a read is under way that must not end, because something was committed
	// before it began that it doesn't see. confirmed are who confirmed its epoch since.
	reading   bool
	confirmed uint8
}

// epoch is what is under way of a leadership: all that its leader ever said.
type epoch struct {
	// begun: its leader has taken it up, with a log of start entries.
	begun bool
	start uint8
	// log is the leader's, commit what it says to be committed.
	log    entries
	commit uint8
	// answers is how many entries each copy (the first one is number 1) said to have
	// stored, plus one; 0 is that it didn't answer.
	answers [maxNodes][maxAllocs]uint8
}

// strays are what only broken rules heed. They stay zero while all rules hold.
type strays struct {
	// progress is what leaders remember of earlier copies (R8).
	progress [maxNodes][maxNodes]uint8
	// welcomes are where followers were told to cut, plus one (R3, R4).
	welcomes [maxNodes][maxEpochs + 1]uint8
	// files are copies of a leader's files on their way, of filesHistory (R3).
	files        [maxNodes]entries
	filesHistory [maxNodes]uint8
	// A proposal whose proposer has given it up (R6).
	proposer, proposed, epoch uint8
	// lost are the numbers of copies that lost their disk, a bit each (R14).
	lost [maxNodes]uint8
}

// State is one state of everything.
type State struct {
	// records are the versions of the record up to now; versions is how many.
	versions uint8
	records  [maxVersions]record
	// fenced is a set of nodes.
	fenced uint8
	nodes  [maxNodes]node
	epochs [maxEpochs + 1]epoch
	strays strays
	// committed is what was ever committed, in each history. Nobody can see it.
	committed [maxHistories + 1]entries
	// What has happened, against the bounds.
	tries                  [maxOps + 1]uint8
	crashes, wipes, forces uint8
}

// now is the latest record.
func (s *State) now() *record { return &s.records[s.versions-1] }

// view is the record that a node acts by, nil when it knows none.
func (s *State) view(i int) *record {
	if s.nodes[i].known == 0 {
		return nil
	}
	return &s.records[s.nodes[i].known-1]
}

func bit(i int) uint8 { return 1 << i }

func (m *Model) initial() State {
	all := bit(m.bounds.Nodes) - 1
	fresh := all &^ (bit(m.bounds.Nodes-m.bounds.Fresh) - 1)
	s := State{versions: 1}
	r := &s.records[0]
	*r = record{epoch: 1, history: 1, inSync: all &^ fresh, created: all &^ fresh}
	for i := range m.bounds.Nodes {
		r.alloc[i] = 1
		n := &s.nodes[i]
		n.up, n.registered = true, true
		if fresh&bit(i) == 0 {
			n.disk.alloc, n.disk.history = 1, 1
		}
	}
	return s
}
