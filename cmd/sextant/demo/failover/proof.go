package failover

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// proofBatch is how many notes are asked for at once, proofTime how long a question may take.
const (
	proofBatch = 1000
	proofTime  = 20 * time.Second
)

// Verdict is what one node has of what was promised.
type Verdict struct {
	// Node counts from 0.
	Node int
	// Found are the notes that are there in the acknowledged version or a later one, Lost those that
	// aren't, Stale those that are only there in an earlier version.
	Found, Lost, Stale int
	// Notes and Points are the exact counts of the collection.
	Notes, Points uint64
}

// prove asks a node for everything that was promised.
func prove(ctx context.Context, node int, d Door, promised map[uint64]int64) (Verdict, error) {
	v := Verdict{Node: node}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(promised)), proofBatch) {
		timed, cancel := context.WithTimeout(ctx, proofTime)
		versions, err := d.Versions(timed, ids)
		cancel()
		if err != nil {
			return v, fmt.Errorf("look for the notes on node %d: %w", node+1, err)
		}
		for _, id := range ids {
			switch got, ok := versions[id]; {
			case !ok:
				v.Lost++
			case got < promised[id]:
				v.Stale++
			default:
				v.Found++
			}
		}
	}
	timed, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	var err error
	if v.Notes, v.Points, err = d.Count(timed); err != nil {
		return v, fmt.Errorf("count the points on node %d: %w", node+1, err)
	}
	return v, nil
}

// judge returns what is wrong with the verdicts of all nodes, nil if nothing is.
func judge(verdicts []Verdict) error {
	for _, v := range verdicts {
		if v.Lost+v.Stale > 0 {
			return fmt.Errorf("node %d lacks %d acknowledged writes", v.Node+1, v.Lost+v.Stale)
		}
		if first := verdicts[0]; v.Notes != first.Notes || v.Points != first.Points {
			return fmt.Errorf("node %d counts %d notes of %d points, node %d counts %d of %d",
				v.Node+1, v.Notes, v.Points, first.Node+1, first.Notes, first.Points)
		}
	}
	return nil
}
