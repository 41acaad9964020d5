package instanceset

import (
	"slices"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	"github.com/sextantdb/sextant/operator/naming"
)

// usualRoles are those of a set that names none.
var usualRoles = []appsv1.Role{
	{Name: "leader", UpdatePriority: 2, ParticipatesInQuorum: true, IsExclusive: true},
	{Name: "follower", UpdatePriority: 1, ParticipatesInQuorum: true},
}

func (p *planner) roleNamed(name string) appsv1.Role {
	roles := p.set.Spec.Roles
	if len(roles) == 0 {
		roles = usualRoles
	}
	if i := slices.IndexFunc(roles, func(r appsv1.Role) bool { return r.Name == name }); i >= 0 {
		return roles[i]
	}
	return appsv1.Role{Name: name}
}

// priority orders updates: the lower the sooner.
func (p *planner) priority(i *instance) int { return p.roleNamed(i.role).UpdatePriority }

// roles finds out which role each instance has, and has the labels of pods follow. A pod that doesn't
// answer keeps its role, but not one that only one instance can have when another has it.
func (p *planner) roles() {
	holders := p.holders()
	for _, i := range p.sorted() {
		if i.pod == nil {
			continue
		}
		before := i.pod.Labels[naming.LabelRole]
		i.role = before
		if said, ok := p.o.Roles[i.Name]; ok {
			i.role = said.Name
		}
		if holder := holders[i.role]; holder != "" && holder != i.Name {
			// Two say that they lead: the one with the older term doesn't know yet that it no longer does.
			i.role = ""
			if said, ok := p.o.Roles[i.Name]; ok {
				i.role = p.lesser(said.Name)
			}
		}
		if i.role != before && i.pod.DeletionTimestamp == nil {
			p.patchPod(PodPatch{Pod: i.pod, Labels: map[string]string{naming.LabelRole: i.role}})
		}
	}
}

// holders finds who has the roles that only one can have: of those who say so, the one with the highest
// term; where nobody says so, nobody is known to.
func (p *planner) holders() map[string]string {
	out := map[string]string{}
	for _, i := range p.sorted() {
		said, ok := p.o.Roles[i.Name]
		if !ok || !p.roleNamed(said.Name).IsExclusive {
			continue
		}
		if other, taken := out[said.Name]; !taken || p.o.Roles[other].Term < said.Term {
			out[said.Name] = i.Name
		}
	}
	return out
}

// lesser is the role of one who thinks that it has a role that another has: the first that many can have.
func (p *planner) lesser(name string) string {
	roles := p.set.Spec.Roles
	if len(roles) == 0 {
		roles = usualRoles
	}
	for _, r := range roles {
		if !r.IsExclusive && r.Name != name {
			return r.Name
		}
	}
	return ""
}

// sorted lists all instances by name.
func (p *planner) sorted() []*instance {
	out := make([]*instance, 0, len(p.all))
	for _, i := range p.all {
		out = append(out, i)
	}
	slices.SortFunc(out, byOrdinal)
	return out
}
