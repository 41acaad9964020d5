// Package component is the controller of Components: from one it makes the InstanceSet and all
// beside it, sees to it that its nodes become one cluster and stay that, and says how it is.
//
// Build (plan.go) and Status are pure: what was observed goes in, what is to be done and how the component is
// comes out. The rest loads, asks nodes, applies. DESIGN.md says what holds.
//
// Callers: manager.
package component
