// Package peerpb is generated from the protos beside it: what nodes of a cluster send
// to each other. Only cluster/peer uses it; everybody else sees Go values.
package peerpb
