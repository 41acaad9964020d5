package memory_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/memory"
	"github.com/sextantdb/sextant/operator/naming"
)

const gib = 1 << 30

func settings(t *testing.T, text string) *appsv1.Settings {
	t.Helper()
	s := &appsv1.Settings{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), s))
	return s
}

func TestTheLowestLimit(t *testing.T) {
	require.Equal(t, "64Mi", memory.Least(0).String())
	require.Equal(t, "84Mi", memory.Least(20<<20).String())
	require.Equal(t, "1280Mi", memory.Least(gib).String())
	require.Equal(t, "1344Mi", memory.Least(gib+1).String())
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		require.LessOrEqual(t, memory.Least(min(a, b)).Cmp(*memory.Least(max(a, b))), 0, "who needs more gets no less")
	})
}

func TestWhatIsRefused(t *testing.T) {
	const plain, two = "resources: {limits: {memory: 4Gi}}", "resources: {limits: {memory: 4Gi}}\ninstances: [{name: big, resources: {limits: {memory: 8Gi}}}]"
	known := func(pod, template string, needs uint64) memory.Instance {
		return memory.Instance{Pod: pod, Template: template, Needs: needs, Known: true}
	}
	all := []memory.Instance{known("c-0", "", gib), known("c-1", "", 2*gib), {Pod: "c-2"}}
	for name, one := range map[string]struct {
		before, after, accepted string
		instances               []memory.Instance
		refused                 string
		unknown                 string
	}{
		"enough":                   {before: plain, after: "resources: {limits: {memory: 2560Mi}}", instances: all, unknown: "no answer from c-2"},
		"too little":               {before: plain, after: "resources: {limits: {memory: 2Gi}}", instances: all, refused: "a memory limit of 2Gi is too low for c-1: it can't do without 2Gi, and should have 2560Mi", unknown: "no answer from c-2"},
		"accepted":                 {before: plain, after: "resources: {limits: {memory: 2Gi}}", accepted: "2Gi", instances: all},
		"less than was accepted":   {before: plain, after: "resources: {limits: {memory: 1Gi}}", accepted: "2Gi", instances: all, refused: "a memory limit of 1Gi", unknown: "no answer from c-2"},
		"a limit where was none":   {before: "{}", after: "resources: {limits: {memory: 1Gi}}", instances: all, refused: "for c-1", unknown: "no answer from c-2"},
		"more, and still too low":  {before: "resources: {limits: {memory: 1Gi}}", after: "resources: {limits: {memory: 1500Mi}}", instances: all},
		"as before":                {before: plain, after: "resources: {limits: {memory: 4096Mi}}", instances: all},
		"no limit any more":        {before: plain, after: "resources: {requests: {memory: 1Mi}}", instances: all},
		"only requests":            {before: plain, after: "resources: {limits: {memory: 4Gi}, requests: {memory: 1Mi}}", instances: all},
		"nothing is known":         {before: plain, after: "resources: {limits: {memory: 1Mi}}", instances: []memory.Instance{{Pod: "c-0"}, {Pod: "c-1"}}, unknown: "no answer from c-0, c-1"},
		"no pods":                  {before: plain, after: "resources: {limits: {memory: 1Mi}}", unknown: "no instance runs"},
		"a template":               {before: two, after: "resources: {limits: {memory: 4Gi}}\ninstances: [{name: big, resources: {limits: {memory: 1Gi}}}]", instances: []memory.Instance{known("c-0", "", 3*gib), known("c-big-0", "big", 5*gib)}, refused: "for c-big-0"},
		"a template without its":   {before: two, after: "resources: {limits: {memory: 4Gi}}\ninstances: [{name: big}]", instances: []memory.Instance{known("c-big-0", "big", 5*gib)}, refused: "a memory limit of 4Gi is too low for c-big-0"},
		"all but the template":     {before: two, after: "resources: {limits: {memory: 1Gi}}\ninstances: [{name: big, resources: {limits: {memory: 8Gi}}}]", instances: []memory.Instance{known("c-big-0", "big", 9*gib)}},
		"a template without limit": {before: two, after: "resources: {limits: {memory: 4Gi}}\ninstances: [{name: big, resources: {requests: {cpu: 1}}}]", instances: []memory.Instance{known("c-big-0", "big", 9*gib)}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := settings(t, one.before), settings(t, one.after)
			accepted := memory.Accepted(map[string]string{naming.AnnotationAcceptLowMemory: one.accepted})
			refused, unknown := memory.Check(before, after, accepted, one.instances)
			require.Equal(t, one.refused != "", refused != "", refused)
			require.Contains(t, refused, one.refused)
			require.Equal(t, one.unknown == "", unknown == "", unknown)
			require.Contains(t, unknown, one.unknown)
		})
	}
}

func TestWhatIsAccepted(t *testing.T) {
	require.Nil(t, memory.Accepted(nil))
	require.Nil(t, memory.Accepted(map[string]string{naming.AnnotationAcceptLowMemory: "yes"}))
	require.Nil(t, memory.Lowest(settings(t, "{}")))
	q := memory.Lowest(settings(t, "resources: {limits: {memory: 4Gi}}\ninstances: [{name: a}, {name: b, resources: {limits: {memory: 1Gi}}}, {name: c, resources: {}}]"))
	require.Equal(t, resource.MustParse("1Gi"), *q)
}
