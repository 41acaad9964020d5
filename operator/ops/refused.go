package ops

import (
	"errors"
	"fmt"

	opsv1 "github.com/sextantdb/sextant/operator/api/operations/v1alpha1"
)

// refused are the types that can't be carried out.
type refused struct{ base }

func (refused) components() []string { return nil }

func (k refused) check(*Observed) error { return k.why() }

func (refused) progress(*Observed, string) work { return work{} }

// why says what to do instead.
func (k refused) why() error {
	switch k.op.Spec.Type {
	case opsv1.Backup, opsv1.Restore:
		return fmt.Errorf("operations of type %s aren't carried out yet: this release has no data protection; snapshots can be made over the API of the nodes",
			k.op.Spec.Type)
	case opsv1.Reconfiguring:
		return errors.New("parameters can't be changed by an operation: set the variables default_replication_factor, service_api_key or " +
			"telemetry_disabled in componentSpecs[].configs[].variables of the Cluster, or any other setting as a variable QDRANT__… in componentSpecs[].env")
	default:
		return fmt.Errorf("operations of type %s aren't carried out", k.op.Spec.Type)
	}
}
