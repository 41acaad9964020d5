package process

import (
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
)

// register adds the controllers.
func register(mgr ctrl.Manager, _ Options) error {
	for _, c := range []struct {
		name string
		add  func() error
	}{} {
		if err := c.add(); err != nil {
			return fmt.Errorf("add the controller %s: %w", c.name, err)
		}
	}
	_ = mgr
	return nil
}
