// Package instanceset runs the pods and the claims of an InstanceSet: it makes them, updates them one
// after another in the order of their roles, lets members leave before their pods go, grows volumes, and
// replaces what is lost.
//
// Plan is the heart: a pure function from what is observed to what is to be done. What it wants to know
// of the nodes it asks for (Decision.Ask) instead of asking itself; the controller gets the answers and
// plans again. Nothing is remembered between two rounds but what stands in Kubernetes and in the nodes.
//
// DESIGN.md has the order of decisions.
//
// Callers: the operator's process.
package instanceset
