package ops

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
)

// queueLimit is how many operations of a cluster may wait or be under way.
const queueLimit = 20

// entry is an operation in the annotation of a cluster (naming.AnnotationOpsQueue). The
// annotation holds the order in which operations arrived; all else is in them.
type entry struct {
	Name string        `json:"name"`
	Type opsv1.OpsType `json:"type"`
	// InQueue says that it waits for others.
	InQueue bool `json:"inQueue,omitempty"`
}

// parseQueue reads the annotation. One that can't be read counts as empty: the order of arrival can
// be told from the operations, too, only less exactly.
func parseQueue(annotation string) []entry {
	var entries []entry
	if json.Unmarshal([]byte(annotation), &entries) != nil {
		return nil
	}
	return entries
}

// formatQueue is the annotation for those in line, empty for none.
func formatQueue(line []*operation) (string, error) {
	if len(line) == 0 {
		return "", nil
	}
	entries := make([]entry, len(line))
	for i, op := range line {
		entries[i] = entry{Name: op.now.Name, Type: op.now.Spec.Type, InQueue: op.waits() && !op.forced()}
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return "", fmt.Errorf("write the queue of operations: %w", err)
	}
	return string(text), nil
}

// inLine puts operations that have not come to their end in order: as the queue has them, then those
// that aren't in it yet, the oldest first.
func inLine(queue []entry, ops []*operation) []*operation {
	place := map[string]int{}
	for i, e := range queue {
		place[e.Name] = i
	}
	var line []*operation
	for _, op := range ops {
		if op.unfinished() && !op.deleted() {
			line = append(line, op)
		}
	}
	at := func(op *operation) int {
		if i, ok := place[op.now.Name]; ok {
			return i
		}
		return len(queue)
	}
	slices.SortStableFunc(line, func(a, b *operation) int {
		return cmp.Or(cmp.Compare(at(a), at(b)),
			a.now.CreationTimestamp.Compare(b.now.CreationTimestamp.Time), cmp.Compare(a.now.Name, b.now.Name))
	})
	return line
}

// cancelBehindFailed cancels those that were in the queue behind an operation that failed: they were
// written for a cluster on which it had succeeded. The queue is the one that was read; the failed
// operation stays in it until this is done.
func (r *round) cancelBehindFailed(queue []entry) {
	failed := ""
	for _, e := range queue {
		op := r.byName(e.Name)
		switch {
		case op == nil || op.deleted() && op.unfinished():
		case op.failed() && !op.forced():
			failed = op.now.Name
		case failed != "" && op.waits() && !op.forced():
			r.end(op, opsv1.OpsCancelled, reasonAheadFailed, failed+", which was before it in the queue, failed")
		}
	}
}

// writeQueue puts the operations that are still in line into the annotation of the cluster.
func (r *round) writeQueue(line []*operation) error {
	line = slices.DeleteFunc(slices.Clone(line), func(op *operation) bool { return !op.unfinished() })
	text, err := formatQueue(line)
	if err != nil || text == r.cluster.Annotations[naming.AnnotationOpsQueue] {
		return err
	}
	if text == "" {
		delete(r.cluster.Annotations, naming.AnnotationOpsQueue)
		return nil
	}
	if r.cluster.Annotations == nil {
		r.cluster.Annotations = map[string]string{}
	}
	r.cluster.Annotations[naming.AnnotationOpsQueue] = text
	return nil
}
