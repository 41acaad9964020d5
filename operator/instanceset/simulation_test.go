package instanceset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/operator/naming"
)

// sim is a world in which things go wrong, and what must hold of the plan all the same.
type sim struct {
	*world

	t *rapid.T
	// losses are the Kubernetes nodes that are gone for good.
	losses int
}

// TestSimulation lets users change their minds and hardware fail at random while the plan is carried out,
// and checks that the plan never makes it worse, and that it gets everything right in the end.
func TestSimulation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sim{world: newWorld(), t: t}
		*s.set.Spec.Replicas = rapid.Int32Range(1, 4).Draw(t, "replicas")
		s.calm("at first")
		for i := range rapid.IntRange(1, 4).Draw(t, "shards") {
			s.makeShard(i)
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			s.fault()
			s.step()
		}
		s.repair()
		s.calm("in the end")
	})
}

// makeShard makes a shard with some copies on nodes that are there.
func (s *sim) makeShard(n int) {
	living := s.living()
	factor := rapid.IntRange(1, 3).Draw(s.t, "factor")
	one := &shard{name: fmt.Sprintf("s%d", n), factor: factor, copies: map[uint64]bool{}}
	for _, id := range rapid.Permutation(living).Draw(s.t, "on")[:min(factor, len(living))] {
		one.copies[id] = true
	}
	s.shards = append(s.shards, one)
}

// step is one round.
func (s *sim) step() {
	d, asked, err := s.plan()
	require.NoError(s.t, err)
	s.t.Logf("%s", say(&d, asked))
	s.check(&d)
	s.apply(&d)
	s.tick()
}

// fault is something that a user or the hardware does, or nothing.
func (s *sim) fault() {
	pods := sortedKeys(s.pods)
	switch what := rapid.SampledFrom([]string{
		"", "", "", "", "replicas", "image", "restart", "label", "offline", "kill", "evict", "silent", "back", "gone", "deaf", "storage",
		"rebuild", "shard", "bad", "drop", "stop",
	}).Draw(s.t, "fault"); what {
	case "replicas":
		*s.set.Spec.Replicas = rapid.Int32Range(1, 5).Draw(s.t, "replicas")
	case "image", "bad":
		for i := range s.set.Spec.Template.Spec.Containers {
			s.set.Spec.Template.Spec.Containers[i].Image = rapid.SampledFrom([]string{"v1", "v2", "bad"}).Draw(s.t, "image")
		}
	case "restart":
		s.set.Spec.Template.Annotations[naming.AnnotationRestart] = rapid.StringN(1, 3, 3).Draw(s.t, "restart")
	case "label":
		s.set.Spec.Template.Labels["team"] = rapid.SampledFrom([]string{"a", "b"}).Draw(s.t, "label")
	case "offline":
		s.set.Spec.OfflineInstances = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"c-0", "c-1", "c-2", "c-3"}), 0, 2, rapid.ID).Draw(s.t, "offline")
	case "kill":
		if name := s.victim(pods); name != "" {
			delete(s.pods, name)
		}
	case "evict":
		if name := s.victim(pods); name != "" {
			s.pods[name].Status.Phase = corev1.PodFailed
		}
	case "silent":
		s.setNode(rapid.SampledFrom(sortedKeys(s.knodes)).Draw(s.t, "node"), false)
	case "back":
		for _, name := range sortedKeys(s.knodes) {
			s.setNode(name, true)
		}
	case "gone":
		s.lose()
	case "deaf":
		s.deaf = !s.deaf
	case "stop":
		s.set.Spec.Stop = new(rapid.Bool().Draw(s.t, "stop") && !s.claimsGo())
	case "storage":
		s.set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(
			rapid.SampledFrom([]string{"20Gi", "30Gi", "40Gi"}).Draw(s.t, "size"))
	case "rebuild":
		pod := fmt.Sprintf("c-%d", rapid.IntRange(0, 4).Draw(s.t, "ordinal"))
		machine := rapid.SampledFrom([]string{"", "n0", "n1", "n4", "unknown"}).Draw(s.t, "machine")
		token := naming.RebuildToken(rapid.StringMatching(`[a-z]{3}`).Draw(s.t, "token"), machine)
		s.annotate(naming.AnnotationRebuild, fmt.Sprintf(`{%q:%q}`, pod, token))
	case "drop":
		if claims := sortedKeys(s.claims); len(claims) > 0 {
			s.dropClaim(rapid.SampledFrom(claims).Draw(s.t, "claim"))
		}
	case "shard":
		if len(s.living()) > 0 && len(s.shards) < 6 && !s.claimsGo() {
			s.makeShard(len(s.shards))
		}
	}
	s.set.Generation++
}

// claimsGo tells whether a claim is deleted and still used.
func (s *sim) claimsGo() bool {
	return slices.ContainsFunc(sortedKeys(s.claims), func(name string) bool { return s.claims[name].DeletionTimestamp != nil })
}

// victim is a pod that something happens to. Not one whose claim was deleted: that would take its data, too.
func (s *sim) victim(pods []string) string {
	pods = slices.DeleteFunc(pods, func(name string) bool { c := s.claims["data-"+name]; return c == nil || c.DeletionTimestamp != nil })
	if len(pods) == 0 {
		return ""
	}
	return rapid.SampledFrom(pods).Draw(s.t, "pod")
}

// lose takes a Kubernetes node away for good, with its disks, when no data is lost with them: what the
// plan does then is what is looked at, not what nobody could do.
func (s *sim) lose() {
	name := rapid.SampledFrom(sortedKeys(s.knodes)).Draw(s.t, "node")
	if len(s.knodes) < 4 {
		return
	}
	disks := 0
	for _, c := range s.claims {
		if s.homes[c.Spec.VolumeName] != name {
			continue
		}
		if disks++; disks > 1 || !s.bearable(s.disks[c.UID]) {
			return
		}
	}
	delete(s.knodes, name)
	s.addNode(fmt.Sprintf("m%d", s.losses))
	s.losses++
}

// dropClaim has a user delete a claim, if that loses nothing: it stays as long as a pod uses it.
func (s *sim) dropClaim(name string) {
	if c := s.claims[name]; c.DeletionTimestamp == nil && s.pods[c.Labels[naming.LabelPodName]] != nil && s.bearable(s.disks[c.UID]) {
		c.DeletionTimestamp = &metav1.Time{Time: s.now}
	}
}

// bearable tells whether the loss of a disk can be made good: no data goes with it, nor the majority.
func (s *sim) bearable(id uint64) bool {
	left := s.disksLeft()
	delete(left, id)
	voters, votes := 0, 0
	for peer, m := range s.peers {
		if m.voter {
			voters++
			if left[peer] {
				votes++
			}
		}
	}
	return s.spare(id) && 2*len(left) > len(s.peers) && 2*votes > voters
}

// disksLeft are the members whose disks are there and stay.
func (s *sim) disksLeft() map[uint64]bool {
	have := map[uint64]bool{}
	for _, c := range s.claims {
		if id := s.disks[c.UID]; c.DeletionTimestamp == nil && s.knodes[s.homes[c.Spec.VolumeName]] != nil && s.peers[id] != nil {
			have[id] = true
		}
	}
	return have
}

// spare tells whether the disk of a peer may vanish: for each of its shards another disk that is there has
// all data.
func (s *sim) spare(id uint64) bool {
	if s.peers[id] == nil {
		return true
	}
	have := s.disksLeft()
	for _, one := range s.shards {
		if in, has := one.copies[id]; !has || !in {
			continue // others have what it lacks
		}
		others := 0
		for other, in := range one.copies {
			if other != id && in && have[other] {
				others++
			}
		}
		if others == 0 {
			return false
		}
	}
	return true
}

// check is what must hold of every decision.
func (s *sim) check(d *Decision) {
	if s.set.Spec.Stop != nil && *s.set.Spec.Stop {
		require.Empty(s.t, d.DeleteClaims, "stopping keeps claims")
		return
	}
	down := map[string]bool{}
	for _, one := range d.DeletePods {
		down[one.Pod.Name] = true
	}
	for i := range d.PatchPods {
		if len(d.PatchPods[i].Images) > 0 {
			down[d.PatchPods[i].Pod.Name] = true
		}
	}
	s.checkDown(down)
	for _, one := range d.DeletePods { // where only containers are replaced the claim is still in use
		if c := s.claims["data-"+one.Pod.Name]; c != nil && c.DeletionTimestamp != nil {
			require.True(s.t, s.spare(s.disks[c.UID]), "pod %s goes, and its claim and data with it", one.Pod.Name)
		}
	}
	for _, one := range d.DeleteClaims {
		c := s.claims[one.Claim.Name]
		require.True(s.t, s.spare(s.disks[c.UID]), "claim %s goes, and data with it (%s)", c.Name, one.Why)
	}
}

// checkDown: of those that serve at most one is taken down, and only when all others serve; no shard
// loses the last copy in sync that runs, unless there is no other to wait for.
func (s *sim) checkDown(down map[string]bool) {
	serving := map[string]bool{}
	for name, p := range s.pods {
		_, runs := s.process(name)
		serving[name] = runs && podReady(p, s.now) && s.up(p.Spec.NodeName)
	}
	taken := 0
	for name := range down {
		id, runs := s.process(name)
		if !runs || !serving[name] {
			continue // it serves nobody, or is no member any more
		}
		taken++
		for _, one := range s.shards {
			if !one.copies[id] {
				continue
			}
			running := 0
			for other, in := range one.copies {
				if m := s.peers[other]; other != id && in && slices.Contains(s.living(), other) && !down[m.pod] {
					running++
				}
			}
			require.True(s.t, running > 0 || len(one.copies) == 1, "%s goes, the last copy in sync of %s", name, one.name)
		}
		require.Equal(s.t, 1, taken, "two are taken down at once")
		for n := range *s.set.Spec.Replicas {
			if other := fmt.Sprintf("c-%d", n); other != name && !slices.Contains(s.set.Spec.OfflineInstances, other) && s.desired(other) {
				require.True(s.t, serving[other], "%s goes while %s doesn't serve", name, other)
			}
		}
	}
}

func (s *sim) desired(name string) bool {
	for i := range s.set.Status.InstanceStatus {
		if one := &s.set.Status.InstanceStatus[i]; one.PodName == name {
			return one.DesiredState == "Active"
		}
	}
	return false
}

// repair ends all faults that can end, and gives up no data.
func (s *sim) repair() {
	s.deaf = false
	s.set.Spec.Stop = nil
	for _, name := range sortedKeys(s.knodes) {
		s.setNode(name, true)
	}
	for i := range s.set.Spec.Template.Spec.Containers {
		s.set.Spec.Template.Spec.Containers[i].Image = "v3"
	}
	s.annotate(naming.AnnotationRebuild, "")
	s.set.Generation++
}

// calm runs until nothing changes any more, and checks that everything is as it should be.
func (s *sim) calm(when string) {
	const rest = int(replacedAfter/tickTime) + 10 // some things are waited for without a sign of it
	quiet := 0
	for range 300 {
		d, asked, err := s.plan()
		require.NoError(s.t, err)
		s.t.Logf("%s", say(&d, asked))
		s.check(&d)
		if d.Idle() && equality.Semantic.DeepEqual(d.Status, &s.set.Status) {
			quiet++
		} else {
			quiet = 0
		}
		s.apply(&d)
		s.tick()
		if quiet >= rest {
			s.right(when)
			return
		}
	}
	s.t.Fatalf("%s: doesn't come to rest:\n%s", when, s.statusText())
}

// right checks that everything is as it should be.
func (s *sim) right(when string) {
	for i := range s.set.Status.InstanceStatus {
		// A user deleted a claim, and then a copy moved onto its disk that nobody else has: it is for the
		// user to say what comes next.
		if one := &s.set.Status.InstanceStatus[i]; one.Failed && strings.Contains(one.Message, "was deleted, and no other node has all data of") {
			return
		}
	}
	require.Len(s.t, sortedKeys(s.pods), int(*s.set.Spec.Replicas), "%s:\n%s\n%+v", when, s.statusText(), s.view().Cluster)
	require.Len(s.t, sortedKeys(s.claims), int(*s.set.Spec.Replicas), "%s: %v\n%s", when, sortedKeys(s.claims), s.statusText())
	var members []string
	for _, m := range s.peers {
		members = append(members, m.pod)
		require.False(s.t, m.draining, "%s: %s is still drained", when, m.pod)
	}
	slices.Sort(members)
	require.Equal(s.t, sortedKeys(s.pods), members, when)
	leaders := 0
	for name, p := range s.pods {
		require.True(s.t, podAvailable(p, 10, s.now), "%s: %s isn't available:\n%s\n%s", when, name, s.statusText(), s.shardText())
		require.NotContains(s.t, s.set.Spec.OfflineInstances, name, when)
		if p.Labels[naming.LabelRole] == "leader" {
			leaders++
		}
		for i := range p.Spec.Containers {
			require.Equal(s.t, s.set.Spec.Template.Spec.Containers[i].Image, p.Spec.Containers[i].Image, when)
		}
		size := s.claims["data-"+name].Spec.Resources.Requests[corev1.ResourceStorage]
		want := s.set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]
		require.GreaterOrEqual(s.t, size.Cmp(want), 0, when)
	}
	require.Equal(s.t, 1, leaders, when)
	for _, one := range s.shards {
		in := 0
		for _, synced := range one.copies {
			if synced {
				in++
			}
		}
		require.GreaterOrEqual(s.t, in, min(one.factor, len(s.peers)), "%s: copies of %s: %v", when, one.name, maps.Collect(maps.All(one.copies)))
	}
	require.Equal(s.t, *s.set.Spec.Replicas, s.set.Status.AvailableReplicas, when)
	require.Equal(s.t, *s.set.Spec.Replicas, s.set.Status.UpdatedReplicas, when)
}

// shardText says where copies are; a name with ! is not in sync.
func (s *sim) shardText() string {
	var text strings.Builder
	for _, one := range s.shards {
		fmt.Fprintf(&text, "%s:", one.name)
		for _, id := range ids(one.copies) {
			mark := "!"
			if one.copies[id] {
				mark = ""
			}
			fmt.Fprintf(&text, " %d%s", id, mark)
		}
		text.WriteString("\n")
	}
	for _, id := range ids(s.peers) {
		fmt.Fprintf(&text, "%d is %+v\n", id, *s.peers[id])
	}
	return text.String()
}
