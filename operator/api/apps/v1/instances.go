package v1

import "slices"

// MaxOrdinal is the greatest ordinal that an instance can have, as the schema says.
const MaxOrdinal = 9999

// Allows says whether an instance may have the ordinal. No ordinals at all allow every one.
func (o *Ordinals) Allows(ordinal int32) bool {
	if o == nil || len(o.Ranges) == 0 && len(o.Discrete) == 0 {
		return true
	}
	return slices.Contains(o.Discrete, ordinal) ||
		slices.ContainsFunc(o.Ranges, func(r OrdinalRange) bool { return r.Start <= ordinal && ordinal <= r.End })
}

// Count returns how many instances are made from the template: one where it doesn't say.
func (t *InstanceTemplate) Count() int32 {
	if t.Replicas == nil {
		return 1
	}
	return *t.Replicas
}
