package consistency_test

import (
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/cluster/consistency"
	"github.com/sextantdb/sextant/internal/apierror"
)

func TestFromProto(t *testing.T) {
	named := func(n pb.ReadConsistencyType) *pb.ReadConsistency {
		return &pb.ReadConsistency{Value: &pb.ReadConsistency_Type{Type: n}}
	}
	factor := func(n uint64) *pb.ReadConsistency {
		return &pb.ReadConsistency{Value: &pb.ReadConsistency_Factor{Factor: n}}
	}
	for _, c := range []struct {
		message *pb.ReadConsistency
		want    consistency.Level
	}{
		{nil, consistency.Level{}},
		{factor(1), consistency.Level{}},
		{factor(3), consistency.Level{Mode: consistency.Factor, Copies: 3}},
		{named(pb.ReadConsistencyType_All), consistency.Level{Mode: consistency.All}},
		{named(pb.ReadConsistencyType_Majority), consistency.Level{Mode: consistency.Majority}},
		{named(pb.ReadConsistencyType_Quorum), consistency.Level{Mode: consistency.Quorum}},
	} {
		got, err := consistency.FromProto(c.message)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	for _, m := range []*pb.ReadConsistency{{}, factor(0), named(3)} {
		_, err := consistency.FromProto(m)
		require.Equal(t, apierror.BadInput, apierror.KindOf(err), "%v", m)
	}
}

func TestContext(t *testing.T) {
	ctx := t.Context()
	require.Equal(t, consistency.Level{}, consistency.Of(ctx))
	require.Same(t, ctx, consistency.With(ctx, consistency.Level{}))
	all := consistency.With(ctx, consistency.Level{Mode: consistency.All})
	require.Equal(t, consistency.All, consistency.Of(all).Mode)

	line, err := consistency.FromHeader("linearizable")
	require.NoError(t, err)
	strong := consistency.With(all, line)
	require.Equal(t, line, consistency.Of(strong))
	require.Equal(t, line, consistency.Of(consistency.With(strong, consistency.Level{Mode: consistency.All})), "a message can't weaken it")

	none, err := consistency.FromHeader("")
	require.NoError(t, err)
	require.Equal(t, consistency.Level{}, none)
	_, err = consistency.FromHeader("Linear")
	require.Equal(t, apierror.BadRequest, apierror.KindOf(err))
}
