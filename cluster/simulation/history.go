package simulation

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// step is what happens to a point: a change, or a read of what it is.
type step struct {
	change *change // nil for a read
	got    value
}

// pointModel is one point, whose changes and reads happen in some order.
var pointModel = porcupine.Model{
	Init: func() any { return value{} },
	Step: func(state, input, _ any) (bool, any) {
		v, s := state.(value), input.(step)
		if s.change == nil {
			return s.got == v, v
		}
		return true, s.change.after(v)
	},
	Equal: func(a, b any) bool { return a == b },
}

// checkHistories checks what clients saw: everything acknowledged is there (unless copies with
// everything were lost), nothing refused is, and the changes and linearizable reads of each
// point have one order in which they happen one after another.
func (w *world) checkHistories() {
	for _, s := range w.shards {
		t := s.now()
		var at [pointIDs][]porcupine.Operation
		for _, x := range w.writes {
			if x.shard != s {
				continue
			}
			_, happened := t.ops[x.op]
			switch {
			case x.acked && !happened && !s.hurt:
				w.violate("write %v of shard %d was acknowledged and is lost", x.op, s.name.Shard)
			case x.over && !x.acked && !x.unknown && happened && !s.hurt:
				w.violate("write %v of shard %d was refused and is there", x.op, s.name.Shard)
			}
			if !happened {
				continue // Nobody can have seen it.
			}
			end := x.ended
			if !x.acked {
				end = math.MaxInt64
			}
			for _, id := range x.change.ids {
				at[id] = append(at[id], operation(x.begun, end, step{change: &x.change}))
			}
		}
		for _, x := range w.reads {
			if x.shard == s && x.linearizable && x.answered {
				at[x.id] = append(at[x.id], operation(x.begun, x.ended, step{got: x.got}))
			}
		}
		if s.hurt {
			continue
		}
		for id, ops := range at {
			w.checkPoint(s, id, ops)
		}
	}
}

func operation(begun, ended time.Duration, s step) porcupine.Operation {
	return porcupine.Operation{Input: s, Call: int64(begun), Return: int64(ended)}
}

func (w *world) checkPoint(s *shardTruth, id int, ops []porcupine.Operation) {
	slices.SortStableFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for i := range ops {
		ops[i].ClientId = i // Clients don't wait for each other.
	}
	w.tally["checked operations"] += len(ops)
	if !porcupine.CheckOperations(pointModel, ops) {
		w.violate("what clients did with point %d of shard %d has no order", id, s.name.Shard)
	}
}
