package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// act is what a client does to a point: a change, or a read of what it is.
type act struct {
	change *change // nil for a read
	got    value
	// turn numbers the changes of the point in the order of the log.
	turn int
	seq  uint64
}

// pointState is a point after so many changes.
type pointState struct {
	value
	turn int
}

// pointModel is one point. Its changes happen in the order of the log: that is what a client
// is told (the operation's number), and it saves the search for any other.
var pointModel = porcupine.Model{
	Init: func() any { return pointState{} },
	Step: func(state, input, _ any) (bool, any) {
		p, a := state.(pointState), input.(*act)
		if a.change == nil {
			return a.got == p.value, p
		}
		return a.turn == p.turn, pointState{a.change.after(p.value), p.turn + 1}
	},
	Equal: func(a, b any) bool { return a == b },
}

// checkHistories checks what clients saw: everything acknowledged is there (unless copies with
// everything were lost), nothing refused is, and the changes and linearizable reads of each
// point could have happened one after another, each while its client waited.
func (w *world) checkHistories() {
	for _, s := range w.shards {
		var at [pointIDs][]porcupine.Operation
		for _, x := range w.writes {
			if x.shard == s {
				w.checkWrite(x, &at)
			}
		}
		for _, x := range w.reads {
			if x.shard == s && x.linearizable && x.answered {
				at[x.id] = append(at[x.id], operation(x.begun, x.ended, act{got: x.got}))
			}
		}
		for id, ops := range at {
			if !s.hurt {
				w.checkPoint(s, id, ops)
			}
		}
	}
}

func (w *world) checkWrite(x *write, at *[pointIDs][]porcupine.Operation) {
	s, t := x.shard, x.shard.now()
	seq, happened := t.ops[x.op]
	switch {
	case x.acked && !happened && !s.hurt:
		w.violate("write %v of shard %d was acknowledged and is lost", x.op, s.name.Shard)
	case x.over && !x.acked && !x.unknown && happened && !s.hurt:
		w.violate("write %v of shard %d was refused and is there", x.op, s.name.Shard)
	case !happened:
		return // Nobody can have seen it.
	}
	ended := x.ended
	if !x.acked {
		ended = max(t.times[seq], x.begun) // What is committed can be read.
	}
	for _, id := range x.change.ids {
		at[id] = append(at[id], operation(x.begun, ended, act{change: &x.change, seq: seq}))
	}
}

func operation(begun, ended time.Duration, a act) porcupine.Operation {
	return porcupine.Operation{Input: &a, Call: int64(begun), Return: int64(ended)}
}

func (w *world) checkPoint(s *shardTruth, id int, ops []porcupine.Operation) {
	bySeq := func(a, b porcupine.Operation) int { return cmp.Compare(a.Input.(*act).seq, b.Input.(*act).seq) }
	slices.SortStableFunc(ops, bySeq)
	turn := 0
	for i := range ops {
		ops[i].ClientId = i // Clients don't wait for each other.
		if a := ops[i].Input.(*act); a.change != nil {
			a.turn = turn
			turn++
		}
	}
	w.tally["checked operations"] += len(ops)
	if !porcupine.CheckOperations(pointModel, ops) {
		w.violate("what clients did with point %d of shard %d has no order", id, s.name.Shard)
	}
}
