package model

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is what an action does.
type Kind uint8

// The kinds of actions. sentences tells each in words.
const (
	Fence Kind = iota
	Relieve
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
	kinds = iota
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
	return "n" + strconv.Itoa(int(n[i])+1)
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
		s += ": " + after.records[a.Number-1].words(n)
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

// sentences tell each kind of action: NODE, OTHER, SET, NUMBER and EPOCH are its fields.
func sentences() [kinds]string {
	return [kinds]string{
		Fence:        "the topology fences SET",
		Relieve:      "the topology relieves SET",
		Register:     "NODE registers",
		RegisterLate: "the registration of NODE's dead process arrives",
		Created:      "NODE has its new copy recorded as created",
		Drop:         "the topology drops NODE's copy, and wants another one there",
		Accept:       "the topology takes NODE's proposal",
		AcceptStray:  "the topology takes an old proposal of NODE",
		HandOver:     "the leadership is handed to NODE",
		Force:        "NODE is made leader, giving up data",
		Learn:        "NODE learns version NUMBER",
		MakeCopy:     "NODE makes an empty copy",
		Crash:        "NODE crashes",
		Restart:      "NODE starts again",
		Wipe:         "NODE starts again with an empty disk",
		SetAside:     "NODE sets its copy aside",
		Write:        "NODE takes operation NUMBER in epoch EPOCH",
		Store:        "NODE's disk has its log",
		Commit:       "NODE commits up to NUMBER in epoch EPOCH",
		ProposeLess:  "NODE proposes a set without OTHER",
		ProposeMore:  "NODE proposes a set with OTHER",
		ReadStart:    "NODE begins a linearizable read in epoch EPOCH",
		Confirm:      "OTHER confirms epoch EPOCH to NODE",
		ReadEnd:      "NODE answers the read",
		Sync:         "NODE syncs in epoch EPOCH and keeps NUMBER entries",
		SyncOlder:    "NODE syncs with the leader of epoch EPOCH and keeps NUMBER entries",
		WelcomeAgain: "NODE gets an old Welcome of epoch EPOCH and keeps NUMBER entries",
		TakeFiles:    "NODE takes files of epoch EPOCH with NUMBER entries",
		LateFiles:    "NODE puts files with NUMBER entries in place that it asked for earlier",
		Append:       "NODE appends entry NUMBER in epoch EPOCH",
		Apply:        "NODE hears that NUMBER is committed in epoch EPOCH",
	}
}

func (a Action) sentence(n *naming) string {
	return strings.NewReplacer(
		"NODE", n.of(a.Node), "OTHER", n.of(a.Other), "SET", n.set(a.Nodes),
		"NUMBER", strconv.Itoa(int(a.Number)), "EPOCH", strconv.Itoa(int(a.Epoch)),
	).Replace(sentences()[a.Kind])
}
