package ordinals_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/ordinals"
)

func names(slots []ordinals.Slot) (out []string) {
	for _, s := range slots {
		out = append(out, s.Name)
	}
	return out
}

// TestWhoIsThereStays: whatever changes, an instance goes only when it has to, and none is chosen twice or from outside of what
// is allowed.
func TestWhoIsThereStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &ordinals.Spec{Set: "c", Flat: rapid.Bool().Draw(t, "flat")}
		existing := map[string]ordinals.Known{}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			s.Replicas = rapid.Int32Range(0, 6).Draw(t, "replicas")
			s.Offline = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"c-0", "c-1", "c-2", "c-big-0"}), 0, 2, rapid.ID[string]).Draw(t, "offline")
			s.Templates = nil
			if rapid.Bool().Draw(t, "big") {
				s.Templates = append(s.Templates, appsv1.InstanceTemplate{Name: "big", Replicas: new(rapid.Int32Range(0, 3).Draw(t, "big ones"))})
			}
			if rapid.Bool().Draw(t, "first") {
				s.Templates = append(s.Templates, appsv1.InstanceTemplate{Name: "first", Ordinals: &appsv1.Ordinals{Discrete: []int32{0, 3}}})
			}
			chosen, missing := ordinals.Choose(s, existing)
			if missing == "" {
				require.Len(t, chosen, int(s.Replicas))
			} else {
				require.True(t, s.Flat, "only others that run can be in the way: %s", missing)
			}
			all := names(chosen)
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(all))), len(all), "none twice")
			for _, name := range s.Offline {
				require.NotContains(t, all, name)
			}
			next := map[string]ordinals.Known{}
			for _, one := range chosen {
				k := ordinals.Known{Runs: true}
				if one.Template != nil {
					k.Template = one.Template.Name
				}
				next[one.Name] = k
			}
			again, _ := ordinals.Choose(s, next)
			require.Equal(t, all, names(again), "what was chosen stays")
			existing = next
		}
	})
}

func TestTooFewOrdinals(t *testing.T) {
	chosen, missing := ordinals.Choose(&ordinals.Spec{Set: "c", Replicas: 3, Ordinals: &appsv1.Ordinals{Discrete: []int32{1, 7}}}, nil)
	require.Equal(t, []string{"c-1", "c-7"}, names(chosen))
	require.Equal(t, "the ordinals of the set are too few: 1 more are needed", missing)
}

// TestANewSetHasWhatIsPossible: whoever may be chosen first is among those that may join.
func TestANewSetHasWhatIsPossible(t *testing.T) {
	s := &ordinals.Spec{Set: "c", Replicas: 4, Flat: true, Offline: []string{"c-2"}, Templates: []appsv1.InstanceTemplate{
		{Name: "any"}, {Name: "first", Ordinals: &appsv1.Ordinals{Discrete: []int32{0}}},
	}}
	chosen, missing := ordinals.Choose(s, nil)
	require.Empty(t, missing, "who may have any ordinal takes what is left")
	require.Equal(t, []string{"c-3", "c-4", "c-1", "c-0"}, names(chosen))
	require.Subset(t, ordinals.Possible(s, 2), names(chosen))
}
