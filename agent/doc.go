// Package agent is what runs beside a node in its pod: it tells which role the node has in
// the consensus, and carries out actions on the cluster for whoever manages the pods:
//
//	GET  /v1.0/getrole   {"operation":"getRole","role":"leader"}
//	POST /v1.0/action    {"action":"memberLeave","parameters":{"KB_LEAVE_MEMBER_POD_NAME":"c-2"}}
//	GET  /healthz        the agent answers; the node need not
//
// Every action looks at the cluster as it is, does the next step, and looks again. So it can be
// ended at any moment, also by losing the agent, and called again, at this agent or another
// one: nothing but the cluster knows how far it is.
//
// Actions are functions of this program. There is no shell, and nothing of a request becomes a
// command.
//
// Caller: cmd/sextant.
package agent
