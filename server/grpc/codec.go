package grpc

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec reads and writes messages. It differs from the stock codec in that it
// drops unknown fields of requests: inside the house an unknown field carries a
// payload (engine/payload.Attach), which no client may plant.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("unmarshal %T: not a message", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(buf.ReadOnlyData(), m)
}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := asAnswer(v); ok {
		return encoded(a.bound(), a.encode)
	}
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("marshal %T: not a message", v)
	}
	opts := proto.MarshalOptions{UseCachedSize: true}
	return encoded(proto.Size(m), func(b []byte) ([]byte, error) { return opts.MarshalAppend(b, m) })
}

// encoded lets encode append at most size bytes to a buffer. Large messages go
// through the buffer pool, small ones are cheaper without it.
func encoded(size int, encode func([]byte) ([]byte, error)) (mem.BufferSlice, error) {
	if mem.IsBelowBufferPoolingThreshold(size) {
		b, err := encode(make([]byte, 0, size))
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	pool := mem.DefaultBufferPool()
	b := pool.Get(size)
	out, err := encode((*b)[:0])
	if err != nil {
		pool.Put(b)
		return nil, err
	}
	*b = out
	return mem.BufferSlice{mem.NewBuffer(b, pool)}, nil
}
