package shardcall

import (
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/engine/shard"
)

// submission is a write on its way.
type submission struct {
	op          []byte // 1: as in the log
	write       Write
	hasUntil    bool
	untilMicros uint64 // 4: microseconds until the wait ends, + 1
}

func newSubmission(op shard.Op, w Write) (*submission, error) {
	data, err := op.Encode()
	if err != nil {
		return nil, err
	}
	s := &submission{op: data, write: w}
	if !w.Until.IsZero() {
		s.hasUntil, s.untilMicros = true, uint64(max(time.Until(w.Until)/time.Microsecond, 0)) //nolint:gosec // not negative
	}
	return s, nil
}

func (s *submission) encode() []byte {
	b := make([]byte, 0, len(s.op)+48)
	b = putBytes(b, 1, s.op)
	if s.write.Wait {
		b = putNumber(b, 2, 1)
	}
	b = putNumber(b, 3, uint64(max(s.write.Ordering, 0))) //nolint:gosec // not negative
	if s.hasUntil {
		b = putNumber(b, 4, s.untilMicros+1)
	}
	b = putNumber(b, 5, uint64(s.write.ID.Peer))
	b = putNumber(b, 6, s.write.ID.Incarnation)
	return putNumber(b, 7, s.write.ID.Counter)
}

// decodeSubmission gives the write the time that it has left, by this process's clock.
func decodeSubmission(b []byte) (shard.Op, Write, error) {
	var data []byte
	var w Write
	err := eachField(b, func(num int, n uint64, field []byte) error {
		switch num {
		case 1:
			data = field
		case 2:
			w.Wait = n != 0
		case 3:
			w.Ordering = pb.WriteOrderingType(min(n, 1<<30)) //nolint:gosec // bounded
		case 4:
			if n > 0 {
				w.Until = time.Now().Add(time.Duration(min(n-1, 1<<50)) * time.Microsecond) //nolint:gosec // bounded
			}
		case 5:
			w.ID.Peer = topology.PeerID(n)
		case 6:
			w.ID.Incarnation = n
		case 7:
			w.ID.Counter = n
		}
		return nil
	})
	if err != nil {
		return shard.Op{}, Write{}, err
	}
	op, err := shard.DecodeOp(data)
	return op, w, err
}

// outcome is what a write came to.
type outcome struct {
	seq     uint64 // 1
	durable *fault // 2
	visible *fault // 3
}

func (o *outcome) encode() []byte {
	b := putNumber(nil, 1, o.seq)
	if o.durable != nil {
		b = putBytes(b, 2, o.durable.encode())
	}
	if o.visible != nil {
		b = putBytes(b, 3, o.visible.encode())
	}
	return b
}

func decodeOutcome(b []byte) (*outcome, error) {
	o := &outcome{}
	return o, eachField(b, func(num int, n uint64, data []byte) (err error) {
		switch num {
		case 1:
			o.seq = n
		case 2:
			o.durable, err = decodeFault(data)
		case 3:
			o.visible, err = decodeFault(data)
		}
		return err
	})
}

// encodeInfo writes a shard's description: what collections have, too, in their message
// (1), then the position (2) and how many points have each vector (3: name 1, number 2).
func encodeInfo(i shard.Info) ([]byte, error) {
	shared, err := proto.Marshal(&pb.CollectionInfo{
		Status: i.Status, OptimizerStatus: &pb.OptimizerStatus{Ok: i.OptimizerError == "", Error: i.OptimizerError},
		PointsCount: &i.Points, IndexedVectorsCount: &i.IndexedVectors, SegmentsCount: i.Segments,
		UpdateQueue: &pb.UpdateQueueInfo{Length: i.Queue}, Config: i.Config, PayloadSchema: i.Indexes,
	})
	if err != nil {
		return nil, err
	}
	b := putNumber(putBytes(nil, 1, shared), 2, i.Seq)
	for name, n := range i.Vectors {
		b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), putNumber(putBytes(nil, 1, []byte(name)), 2, n))
	}
	return b, nil
}

func decodeInfo(b []byte) (shard.Info, error) {
	var i shard.Info
	shared := &pb.CollectionInfo{}
	err := eachField(b, func(num int, n uint64, data []byte) error {
		switch num {
		case 1:
			return unmarshal(data, shared)
		case 2:
			i.Seq = n
		case 3:
			return addVectors(&i, data)
		}
		return nil
	})
	i.Status, i.OptimizerError = shared.GetStatus(), shared.GetOptimizerStatus().GetError()
	i.Points, i.IndexedVectors = shared.GetPointsCount(), shared.GetIndexedVectorsCount()
	i.Segments, i.Queue = shared.GetSegmentsCount(), shared.GetUpdateQueue().GetLength()
	i.Config, i.Indexes = shared.GetConfig(), shared.GetPayloadSchema()
	return i, err
}

func addVectors(i *shard.Info, b []byte) error {
	var name string
	var count uint64
	err := eachField(b, func(num int, n uint64, data []byte) error {
		switch num {
		case 1:
			name = string(data)
		case 2:
			count = n
		}
		return nil
	})
	if i.Vectors == nil {
		i.Vectors = map[string]uint64{}
	}
	i.Vectors[name] = count
	return err
}
