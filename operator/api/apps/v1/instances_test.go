package v1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	appsv1 "github.com/sextantdb/sextant/operator/api/apps/v1"
)

func TestOrdinalsThatInstancesMayHave(t *testing.T) {
	var none *appsv1.Ordinals
	require.True(t, none.Allows(7))
	require.True(t, (&appsv1.Ordinals{}).Allows(7))
	some := &appsv1.Ordinals{Ranges: []appsv1.OrdinalRange{{Start: 2, End: 4}}, Discrete: []int32{9}}
	for ordinal, allowed := range map[int32]bool{1: false, 2: true, 4: true, 5: false, 9: true, 10: false} {
		require.Equal(t, allowed, some.Allows(ordinal), ordinal)
	}
}

func TestInstancesOfATemplate(t *testing.T) {
	require.EqualValues(t, 1, (&appsv1.InstanceTemplate{}).Count())
	require.EqualValues(t, 0, (&appsv1.InstanceTemplate{Replicas: new(int32(0))}).Count())
	require.EqualValues(t, 3, (&appsv1.InstanceTemplate{Replicas: new(int32(3))}).Count())
}
