package auth

import (
	"maps"
	"slices"
)

// Methods lists the procedures that have an entry.
func Methods() []string { return slices.Collect(maps.Keys(methods)) }
