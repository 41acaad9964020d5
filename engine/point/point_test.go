package point_test

import (
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/engine/point"
)

// TestPutProto writes IDs of both kinds into memory of the caller, also where
// another one was.
func TestPutProto(t *testing.T) {
	var p pb.PointId
	var number pb.PointId_Num
	for _, id := range []*pb.PointId{
		pb.NewIDNum(0), pb.NewIDNum(1<<64 - 1), pb.NewID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), pb.NewIDNum(7),
	} {
		parsed, err := point.FromProto(id)
		require.NoError(t, err)
		parsed.PutProto(&p, &number)
		require.True(t, proto.Equal(id, &p), "%v instead of %v", &p, id)
		require.True(t, proto.Equal(id, parsed.Proto()))
	}
	id := point.Num(5)
	require.Zero(t, testing.AllocsPerRun(10, func() { id.PutProto(&p, &number) }))
}
