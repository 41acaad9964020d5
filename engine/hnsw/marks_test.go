package hnsw

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set of marks against a map: gather returns what is new once, in order, and a
// reset leaves nothing, whether it clears single words or all.
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.IntRange(1, 300).Draw(t, "bound")
		number := rapid.Custom(func(t *rapid.T) uint32 { return uint32(rapid.IntRange(0, bound-1).Draw(t, "number")) })
		m, want := newMarks(bound), map[uint32]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"gather": func(t *rapid.T) {
				links := rapid.SliceOfN(number, 0, 20).Draw(t, "links")
				var fresh []uint32
				for _, id := range links {
					if !want[id] {
						fresh = append(fresh, id)
					}
					want[id] = true
				}
				list := append(slices.Clone(links), none, 0)
				if got := m.gather(list); !slices.Equal(got, fresh) {
					t.Fatalf("gathered %v of %v, want %v", got, links, fresh)
				}
			},
			"add": func(t *rapid.T) {
				if id := number.Draw(t, "id"); !want[id] {
					m.add(id)
					want[id] = true
				}
			},
			"reset": func(*rapid.T) {
				m.reset()
				clear(want)
			},
			"": func(t *rapid.T) {
				for id := range uint32(bound) {
					word, bit := place(id, m.words, m.high)
					if has := *word&bit != 0; has != want[id] {
						t.Fatalf("mark of %d is %v", id, has)
					}
				}
			},
		})
	})
}
