// Package schedule says what a run of chaos does to a cluster on Kubernetes: a pure function of a seed. Which pod, machine or disk
// an entry hits depends on where they are at the moment, and what comes of it on more than that.
//
// Callers: tests/kubernetes.
package schedule

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Fault is a way to treat a cluster badly.
type Fault string

// The faults. None takes more than one node away.
const (
	NoFault Fault = ""
	// CrashNode kills the process of a node.
	CrashNode Fault = "crash a node"
	// DeletePod deletes a pod by force.
	DeletePod Fault = "delete a pod"
	// CutMachine cuts a machine off the network for a while.
	CutMachine Fault = "cut off a machine"
	// KillMachine takes the power from a machine for a while.
	KillMachine Fault = "kill a machine"
	// KillOperator kills the operator.
	KillOperator Fault = "kill the operator"
	// LoseDisk takes a disk away with all that is on it.
	LoseDisk Fault = "lose a disk"
)

// Operation is something that users do to a cluster that runs.
type Operation string

// The operations.
const (
	NoOperation Operation = ""
	Restart     Operation = "restart"
	Enlarge     Operation = "vertical scaling up"
	Shrink      Operation = "vertical scaling down"
	ScaleOut    Operation = "scale out"
	ScaleIn     Operation = "scale in"
	Upgrade     Operation = "upgrade"
	Downgrade   Operation = "downgrade"
	Switchover  Operation = "switchover"
)

// Step is what is done to a cluster at rest: an operation, a fault, or a fault while an operation is under way.
type Step struct {
	Number    int
	Operation Operation
	Fault     Fault
	// Pod chooses among the pods that there are: the first is 0, and behind the last comes the first again.
	Pod int
	// After is how long after the beginning of the operation the fault comes.
	After time.Duration
	// For is how long a machine stays away.
	For time.Duration
}

// String tells the step.
func (s Step) String() string {
	text := fmt.Sprintf("step %d", s.Number)
	if s.Operation != NoOperation {
		text += ": " + string(s.Operation)
	}
	if s.Fault != NoFault {
		text += ": " + string(s.Fault)
		if s.Operation != NoOperation {
			text += fmt.Sprintf(" after %s", s.After)
		}
		if s.Fault == CutMachine || s.Fault == KillMachine {
			text += fmt.Sprintf(" for %s", s.For)
		}
		text += fmt.Sprintf(" (pod %d)", s.Pod)
	}
	return text
}

// The times of a step.
const (
	// latest is the longest time between the beginning of an operation and a fault.
	latest = 40 * time.Second
	// shortest and short bound the time for which a machine is away before anybody starts its pods elsewhere, long and longest
	// that after which this has begun.
	shortest, short, long, longest = time.Second, 20 * time.Second, 60 * time.Second, 90 * time.Second
)

// Schedule is a series of steps without an end.
type Schedule struct {
	rng    *rand.Rand
	number int
	// faults and families are those that are left of a round: all come up before one does again.
	faults, families []int
	// out, large and newer are what the cluster is by now.
	out, large, newer bool
}

// New makes the schedule of a seed, for a cluster that has just been made from the example.
func New(seed uint64) *Schedule {
	return &Schedule{rng: rand.New(rand.NewPCG(seed, 3))} //nolint:gosec // a test that can be repeated
}

// Next is the next step.
func (s *Schedule) Next() Step {
	s.number++
	step := Step{Number: s.number}
	kind := s.rng.IntN(20)
	if kind >= 5 {
		step.Fault = s.fault()
	}
	// A disk is only lost while all others have everything: what only it has would be lost by all rights.
	if kind < 13 && step.Fault != LoseDisk {
		step.Operation = s.operation()
	}
	step.Pod = s.rng.IntN(12) // any number of pods up to 4 divides it
	if step.Operation != NoOperation {
		step.After = s.between(0, latest)
	}
	step.For = s.between(shortest, short)
	if step.Operation == NoOperation && s.rng.IntN(3) == 0 {
		step.For = s.between(long, longest)
	}
	return step
}

func (s *Schedule) fault() Fault {
	all := []Fault{CrashNode, DeletePod, CutMachine, KillMachine, KillOperator, LoseDisk}
	return all[s.draw(&s.faults, len(all))]
}

// operation is one that changes something, as the cluster is by now.
func (s *Schedule) operation() Operation {
	turn := func(is *bool, there, back Operation) Operation {
		if *is = !*is; *is {
			return there
		}
		return back
	}
	switch s.draw(&s.families, 5) {
	case 0:
		return turn(&s.large, Enlarge, Shrink)
	case 1:
		return turn(&s.out, ScaleOut, ScaleIn)
	case 2:
		return turn(&s.newer, Upgrade, Downgrade)
	case 3:
		return Switchover
	default:
		return Restart
	}
}

// draw takes a card from a deck of n, which is shuffled anew when it is empty.
func (s *Schedule) draw(deck *[]int, n int) int {
	if len(*deck) == 0 {
		*deck = s.rng.Perm(n)
	}
	card := (*deck)[0]
	*deck = (*deck)[1:]
	return card
}

// between is a time in whole seconds.
func (s *Schedule) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64((to-from)/time.Second)+1))*time.Second
}
