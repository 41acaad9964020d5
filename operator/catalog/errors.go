package catalog

import (
	"errors"
	"fmt"
)

// Why something can't be resolved, in one word: the reasons of conditions.
const (
	ReasonClusterDefinitionNotFound = "ClusterDefinitionNotFound"
	ReasonTopologyNotFound          = "TopologyNotFound"
	ReasonComponentNotInTopology    = "ComponentNotInTopology"
	ReasonInvalidPattern            = "InvalidPattern"
	ReasonDefinitionNotFound        = "ComponentDefinitionNotFound"
	ReasonDefinitionUnavailable     = "ComponentDefinitionUnavailable"
	ReasonServiceVersionNotFound    = "ServiceVersionNotFound"
	ReasonImageNotFound             = "ImageNotFound"
	ReasonUnknown                   = "Unknown"
)

// problem is an error for users: a sentence, and a word for it.
type problem struct {
	reason string
	err    error
}

func (p *problem) Error() string { return p.err.Error() }

func (p *problem) Unwrap() error { return p.err }

func failf(reason, format string, args ...any) error {
	return &problem{reason: reason, err: fmt.Errorf(format, args...)}
}

// ReasonOf returns the word for an error of this package.
func ReasonOf(err error) string {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.reason
	}
	return ReasonUnknown
}
