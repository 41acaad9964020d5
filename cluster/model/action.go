package model

import (
	"fmt"
	"strings"
)

// Kind is what an action does.
type Kind uint8

// The kinds of actions. Action.String tells each in words.
const (
	Fence Kind = iota
	Register
	RegisterLate
	Created
	Drop
	Accept
	AcceptStray
	HandOver
	Force
	Learn
	MakeCopy
	Crash
	Restart
	Wipe
	SetAside
	Write
	Store
	Commit
	ProposeLess
	ProposeMore
	ReadStart
	Confirm
	ReadEnd
	Sync
	SyncOlder
	WelcomeAgain
	TakeFiles
	LateFiles
	Append
	Apply
)

// Action is something that happens: what, to which node, and what else belongs to it.
type Action struct {
	Kind Kind
	// Node acts; Other is another node it is about.
	Node, Other uint8
	// Nodes is a set of nodes.
	Nodes uint8
	// Number is an operation, a version, or a position, as the kind has it. Epoch is one.
	Number, Epoch uint8
}

// naming says what nodes are called: states are stored with their nodes in any order.
type naming [maxNodes]uint8

func (n *naming) of(i uint8) string {
	if i == nobody {
		return "nobody"
	}
	return fmt.Sprintf("n%d", n[i]+1)
}

func (n *naming) set(nodes uint8) string {
	var s [maxNodes]string
	for i := range n {
		if nodes&bit(i) != 0 {
			s[n[i]] = n.of(uint8(i))
		}
	}
	var in []string
	for _, name := range s {
		if name != "" {
			in = append(in, name)
		}
	}
	return "{" + strings.Join(in, " ") + "}"
}

// words tells the action and, when it made a version of the record, what that says.
func (a Action) words(n *naming, before, after *State) string {
	s := a.sentence(n)
	if a.Kind == Learn {
		s += ": " + after.records[a.Number].words(n)
	}
	if after.versions > before.versions {
		s += fmt.Sprintf("; version %d: %s", after.versions, after.now().words(n))
	}
	return s
}

func (r *record) words(n *naming) string {
	s := fmt.Sprintf("epoch %d, %s leads, in sync %s", r.epoch, n.of(r.leader), n.set(r.inSync))
	if r.history > 1 {
		s += fmt.Sprintf(", history %d", r.history)
	}
	return s
}

func (a Action) sentence(n *naming) string {
	who, other := n.of(a.Node), n.of(a.Other)
	switch a.Kind {
	case Fence:
		return fmt.Sprintf("the topology fences %s", n.set(a.Nodes))
	case Register:
		return fmt.Sprintf("%s registers", who)
	case RegisterLate:
		return fmt.Sprintf("the registration of %s's dead process arrives", who)
	case Created:
		return fmt.Sprintf("%s has its new copy recorded as created", who)
	case Drop:
		return fmt.Sprintf("the topology drops %s's copy, and wants another one there", who)
	case Accept:
		return fmt.Sprintf("the topology takes %s's proposal", who)
	case AcceptStray:
		return fmt.Sprintf("the topology takes an old proposal of %s", who)
	case HandOver:
		return fmt.Sprintf("the leadership is handed to %s", who)
	case Force:
		return fmt.Sprintf("%s is made leader, giving up data", who)
	case Learn:
		return fmt.Sprintf("%s learns version %d", who, a.Number+1)
	case MakeCopy:
		return fmt.Sprintf("%s makes an empty copy", who)
	case Crash:
		return fmt.Sprintf("%s crashes", who)
	case Restart:
		return fmt.Sprintf("%s starts again", who)
	case Wipe:
		return fmt.Sprintf("%s starts again with an empty disk", who)
	case SetAside:
		return fmt.Sprintf("%s sets its copy aside", who)
	case Write:
		return fmt.Sprintf("%s takes operation %d in epoch %d", who, a.Number, a.Epoch)
	case Store:
		return fmt.Sprintf("%s's disk has its log", who)
	case Commit:
		return fmt.Sprintf("%s commits up to %d in epoch %d", who, a.Number, a.Epoch)
	case ProposeLess:
		return fmt.Sprintf("%s proposes a set without %s", who, other)
	case ProposeMore:
		return fmt.Sprintf("%s proposes a set with %s", who, other)
	case ReadStart:
		return fmt.Sprintf("%s begins a linearizable read in epoch %d", who, a.Epoch)
	case Confirm:
		return fmt.Sprintf("%s confirms epoch %d to %s", other, a.Epoch, who)
	case ReadEnd:
		return fmt.Sprintf("%s answers the read", who)
	case Sync:
		return fmt.Sprintf("%s syncs in epoch %d and keeps %d entries", who, a.Epoch, a.Number)
	case SyncOlder:
		return fmt.Sprintf("%s syncs with the leader of epoch %d and keeps %d entries", who, a.Epoch, a.Number)
	case WelcomeAgain:
		return fmt.Sprintf("%s gets an old Welcome of epoch %d and keeps %d entries", who, a.Epoch, a.Number)
	case TakeFiles:
		return fmt.Sprintf("%s takes files of epoch %d with %d entries", who, a.Epoch, a.Number)
	case LateFiles:
		return fmt.Sprintf("%s puts files with %d entries in place that it asked for earlier", who, a.Number)
	case Append:
		return fmt.Sprintf("%s appends entry %d in epoch %d", who, a.Number, a.Epoch)
	case Apply:
		return fmt.Sprintf("%s hears that %d is committed in epoch %d", who, a.Number, a.Epoch)
	default:
		return fmt.Sprintf("action %d", a.Kind)
	}
}
