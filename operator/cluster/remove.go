package cluster

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	dataprotectionv1alpha1 "github.com/sextantdb/sextant/operator/api/dataprotection/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
)

// retainBackup is the deletionPolicy of a backup whose data outlives it.
const retainBackup = "Retain"

// Removal is what goes next of a cluster that was deleted.
type Removal struct {
	// Retarget are Components that still have another termination policy than the cluster.
	Retarget []appsv1.Component
	// Components, Services and Backups are to be deleted.
	Components []appsv1.Component
	Services   []corev1.Service
	Backups    []dataprotectionv1alpha1.Backup
	// Awaits names what must be gone before the cluster itself goes.
	Awaits []string
}

// Remove says what goes next: services and components, then backups, then the cluster itself.
// Volumes, Secrets and the like go with their Component.
func Remove(t *Tree) *Removal {
	r := &Removal{}
	terminate := orders(t).Terminate
	for i := range t.Components {
		c := &t.Components[i]
		r.Awaits = append(r.Awaits, "Component/"+c.Name)
		if c.Spec.TerminationPolicy != t.Cluster.Spec.TerminationPolicy {
			r.Retarget = append(r.Retarget, *c)
		}
		if c.DeletionTimestamp == nil && allGone(t, before(terminate, c.Labels[naming.LabelComponentName])) {
			r.Components = append(r.Components, *c)
		}
	}
	for i := range t.Services {
		s := &t.Services[i]
		r.Awaits = append(r.Awaits, "Service/"+s.Name)
		if s.DeletionTimestamp == nil {
			r.Services = append(r.Services, *s)
		}
	}
	if len(r.Awaits) > 0 {
		return r
	}
	for i := range t.Backups {
		if b := &t.Backups[i]; b.DeletionTimestamp == nil && ofCluster(t.Cluster, b) && goesWith(t.Cluster, b) {
			r.Backups = append(r.Backups, *b)
		}
	}
	return r
}

func allGone(t *Tree, components []string) bool {
	for _, name := range components {
		if t.component(name) != nil {
			return false
		}
	}
	return true
}

// ofCluster tells whether a backup was made of this cluster, and not of another one that had its name
// before. One that nobody has labelled yet is known by its policy.
func ofCluster(c *appsv1.Cluster, b *dataprotectionv1alpha1.Backup) bool {
	if uid, ok := b.Labels[naming.LabelClusterUID]; ok {
		return uid == string(c.UID)
	}
	for i := range c.Spec.ComponentSpecs {
		if b.Spec.BackupPolicyName == naming.BackupPolicy(c.Name, c.Spec.ComponentSpecs[i].Name) {
			return true
		}
	}
	return false
}

// goesWith tells whether a backup goes with its cluster: failed ones always, others when all is
// wiped out; none that is to be retained.
func goesWith(c *appsv1.Cluster, b *dataprotectionv1alpha1.Backup) bool {
	if b.Spec.DeletionPolicy == retainBackup {
		return false
	}
	return b.Status.Phase == dataprotectionv1alpha1.BackupFailed || c.Spec.TerminationPolicy == appsv1.WipeOut
}

// removing is the status of a cluster that is being removed.
func removing(t *Tree, r *Removal) appsv1.ClusterStatus {
	s := *t.Cluster.Status.DeepCopy()
	s.ObservedGeneration = t.Cluster.Generation
	s.Phase = appsv1.ClusterDeleting
	var texts []string
	if len(r.Awaits) > 0 {
		texts = append(texts, "waiting until these are gone: "+strings.Join(r.Awaits, ", "))
	}
	for i := range t.Components {
		c := &t.Components[i]
		texts = append(texts, said(c.Status.Message)...)
		name := c.Labels[naming.LabelComponentName]
		if of, ok := s.Components[name]; ok {
			of.Phase = appsv1.ComponentDeleting
			of.Message = c.Status.Message
			s.Components[name] = of
		}
	}
	s.Message = strings.Join(texts, "; ")
	return s
}
