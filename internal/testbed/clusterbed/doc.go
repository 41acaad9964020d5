// Package clusterbed runs clusters of real node processes and treats them badly: it kills,
// pauses, stops and restarts nodes, wipes and fills their disks, and cuts the links between
// them, in both directions or in one.
//
// As root each node has a network namespace (internal/testbed/netns). Elsewhere the nodes
// are told addresses of TCP proxies (internal/testbed/faultproxy), one for each pair, and a
// front that finds out by the port which node is dialling.
//
// Callers: internal/testbed for tests below tests/, bench/failover.
package clusterbed
