package sample

import (
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// DeletionRefused deletes an object of a cluster that its termination policy keeps, and expects that this is refused and why.
func DeletionRefused(t *testing.T, c client.Client, o client.Object, options ...client.DeleteOption) {
	t.Helper()
	err := c.Delete(t.Context(), o, options...)
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	require.ErrorContains(t, err, "terminationPolicy is DoNotTerminate")
}
