// Package vectorindex is the dense index of one vector name: raw rows, codes
// and the graph over them.
package vectorindex
