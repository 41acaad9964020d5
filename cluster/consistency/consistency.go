// Package consistency says how much of what was written a read must have seen.
//
// A door or the front desk puts a level into the context of a request; whoever chooses
// the copies of a shard to ask looks for it there.
//
// Callers: server/rest, server/grpc, cluster/coordinator and the handles of shards.
package consistency

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Mode is a kind of level.
type Mode uint8

// The modes. With all but Any and Linearizable the answers of several copies are merged.
const (
	// Any asks one copy that may be read, the nearest.
	Any Mode = iota
	// Factor asks as many copies as the level says.
	Factor
	// Majority, Quorum and All are the API's names of more than half of the copies and of
	// all of them.
	Majority
	Quorum
	All
	// Linearizable asks the leader, which makes sure that it still is one.
	Linearizable
)

// Level is how much a read must have seen. The zero value is Any.
type Level struct {
	// Mode is the kind.
	Mode Mode
	// Copies is how many are asked with Factor, at least 1.
	Copies uint64
}

// Header is the header of a REST request, and MetadataKey that of a gRPC request's
// metadata, whose value "linearizable" asks for the strongest level. The API's own
// messages have no word for it.
const (
	Header      = "X-Read-Consistency"
	MetadataKey = "x-read-consistency"
)

// FromHeader reads the value of the header; "" is Any.
func FromHeader(value string) (Level, error) {
	switch value {
	case "":
		return Level{}, nil
	case "linearizable":
		return Level{Mode: Linearizable}, nil
	default:
		return Level{}, apierror.New(apierror.BadRequest, "%s: unknown value `%s`, there is `linearizable`", Header, value)
	}
}

// FromProto reads the level of a message; nil is Any.
func FromProto(m *pb.ReadConsistency) (Level, error) {
	if m == nil {
		return Level{}, nil
	}
	switch v := m.GetValue().(type) {
	case *pb.ReadConsistency_Factor:
		if v.Factor == 0 {
			return Level{}, apierror.New(apierror.BadInput, "Read consistency factor can't be less than 1")
		}
		if v.Factor == 1 {
			return Level{}, nil
		}
		return Level{Mode: Factor, Copies: v.Factor}, nil
	case *pb.ReadConsistency_Type:
		switch v.Type {
		case pb.ReadConsistencyType_All:
			return Level{Mode: All}, nil
		case pb.ReadConsistencyType_Majority:
			return Level{Mode: Majority}, nil
		case pb.ReadConsistencyType_Quorum:
			return Level{Mode: Quorum}, nil
		}
		return Level{}, apierror.New(apierror.BadInput, "Unknown read consistency %d", v.Type)
	default:
		return Level{}, apierror.New(apierror.BadInput, "Read consistency without a value")
	}
}

type key struct{}

// With returns a context whose reads have at least this level. Any changes nothing, and
// Linearizable stays.
func With(ctx context.Context, l Level) context.Context {
	if l.Mode == Any || Of(ctx).Mode == Linearizable {
		return ctx
	}
	return context.WithValue(ctx, key{}, l)
}

// Of returns the level of a context's reads.
func Of(ctx context.Context) Level {
	l, _ := ctx.Value(key{}).(Level)
	return l
}
