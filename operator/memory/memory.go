// Package memory tells whether nodes can do with less memory than they may use now. It is pure.
//
// A node that is given less than it needs is killed again and again, and its update takes one node after
// another with it. So a lower limit is only followed when it is above the estimated need of every node, or when the
// user says so all the same. Of nodes that don't tell what they need nothing is known, and nothing is refused.
//
// Callers: cluster (edits), ops (operations).
package memory

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// What is kept free beside what a node can't do without: for requests, for the heap between two collections, for
// graphs that are built, and for pages of files that are read again and again.
const (
	// roomShare is the part of the need that comes on top, leastRoom what comes on top at least.
	roomShare = 4
	leastRoom = 64 << 20
)

// ReasonBelowNeed is the reason of the condition of a Cluster whose change gives nodes too little memory.
const ReasonBelowNeed = "MemoryBelowNeed"

// Least is the lowest limit for a node that can't do without so many bytes.
func Least(needs uint64) *resource.Quantity {
	needs = min(needs, 1<<60)
	return rounded(needs + max(needs/roomShare, leastRoom))
}

// rounded is a number of bytes rounded up by a sixteenth at most: what is told isn't another figure every minute.
func rounded(bytes uint64) *resource.Quantity {
	step := max(uint64(1)<<bits.Len64(bytes)>>5, 1<<20)
	return resource.NewQuantity(int64((bytes+step-1)/step*step), resource.BinarySI)
}

// Instance is one that runs, with what its node says that it needs.
type Instance struct {
	Pod string
	// Template is that of the instance, "" that of the component.
	Template string
	// Needs is in bytes; Known says that the node told it.
	Needs uint64
	Known bool
}

// limit returns how much memory the engine of an instance may use, false where there is no limit.
func limit(s *appsv1.Settings, template string) (resource.Quantity, bool) {
	resources := &s.Resources
	for i := range s.Instances {
		if own := s.Instances[i].Resources; s.Instances[i].Name == template && own != nil {
			resources = own
		}
	}
	q, ok := resources.Limits[corev1.ResourceMemory]
	return q, ok
}

// lowered returns the limit of an instance where it becomes lower.
func lowered(before, after *appsv1.Settings, template string) (resource.Quantity, bool) {
	now, limited := limit(after, template)
	was, wasLimited := limit(before, template)
	return now, limited && (!wasLimited || now.Cmp(was) < 0)
}

// Lowers tells whether a change lowers the limit of any instance below what the user accepted, so that it matters what
// nodes need. Accepted is nil where the user accepted nothing.
func Lowers(before, after *appsv1.Settings, accepted *resource.Quantity) bool {
	templates := []string{""}
	for i := range after.Instances {
		templates = append(templates, after.Instances[i].Name)
	}
	return slices.ContainsFunc(templates, func(template string) bool {
		now, yes := lowered(before, after, template)
		return yes && (accepted == nil || now.Cmp(*accepted) < 0)
	})
}

// Check says why a change gives instances too little memory, "" is that it doesn't. Unknown says why that can't
// be told of some of them, or of all.
func Check(before, after *appsv1.Settings, accepted *resource.Quantity, instances []Instance) (refusal, unknown string) {
	if !Lowers(before, after, accepted) {
		return "", ""
	}
	if len(instances) == 0 {
		return "", "no instance runs that could be asked"
	}
	var silent []string
	// The neediest one first: it is the one that is named.
	instances = slices.SortedFunc(slices.Values(instances), func(a, b Instance) int {
		return cmp.Or(cmp.Compare(b.Needs, a.Needs), cmp.Compare(a.Pod, b.Pod))
	})
	for _, i := range instances {
		now, yes := lowered(before, after, i.Template)
		switch {
		case !yes || accepted != nil && now.Cmp(*accepted) >= 0:
		case !i.Known:
			silent = append(silent, i.Pod)
		case refusal == "" && now.Cmp(*Least(i.Needs)) < 0:
			refusal = fmt.Sprintf("a memory limit of %s is too low for %s: it can't do without %s, and should have %s, with room for what comes and goes; "+
				"give it more, or, to do it all the same, make an operation with force: true, or set the annotation %s: %s of the Cluster",
				now.String(), i.Pod, rounded(i.Needs), Least(i.Needs), naming.AnnotationAcceptLowMemory, now.String())
		}
	}
	if len(silent) > 0 {
		unknown = "no answer from " + naming.List(silent)
	}
	return refusal, unknown
}

// Accepted reads the annotation of a Cluster by which its user accepts limits below the need: the lowest limit. What
// can't be read accepts nothing.
func Accepted(annotations map[string]string) *resource.Quantity {
	q, err := resource.ParseQuantity(annotations[naming.AnnotationAcceptLowMemory])
	if err != nil {
		return nil
	}
	return &q
}

// Lowest is the lowest limit of the instances of a component after a change that is forced, nil where there is
// none. It is what the user accepts.
func Lowest(after *appsv1.Settings) *resource.Quantity {
	var lowest *resource.Quantity
	consider := func(template string) {
		if q, ok := limit(after, template); ok && (lowest == nil || q.Cmp(*lowest) < 0) {
			lowest = &q
		}
	}
	consider("")
	for i := range after.Instances {
		consider(after.Instances[i].Name)
	}
	return lowest
}
