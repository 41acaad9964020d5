package ops

import (
	"time"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
	"github.com/sextantdb/sextant/operator/naming"
)

// restart replaces the pods of components: those that carry another time of restart are old.
type restart struct{ base }

func (k restart) components() []string { return named(k.op.Spec.Restart, componentName) }

func (restart) check(*Observed) error { return nil }

func (k restart) record(o *Observed) opsv1.LastConfiguration {
	return recordReplicas(o, k.components())
}

// edit sets the time at which the operation began. A later restart is one, too.
func (k restart) edit(_ *Observed, c *appsv1.Cluster) {
	if k.op.Status.StartTimestamp == nil {
		return
	}
	began := k.op.Status.StartTimestamp.UTC()
	for _, name := range k.components() {
		component := spec(c, name)
		if have, err := time.Parse(time.RFC3339, component.Annotations[naming.AnnotationRestart]); err == nil && !have.Before(began) {
			continue
		}
		if component.Annotations == nil {
			component.Annotations = map[string]string{}
		}
		component.Annotations[naming.AnnotationRestart] = began.Format(time.RFC3339)
	}
}

func (k restart) progress(o *Observed, component string) work { return whole(o, component) }
