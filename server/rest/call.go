package rest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/server/rest/dialect"
)

// response is what all answers of the front desk have.
type response interface {
	GetTime() float64
}

// do makes a route of three steps: read a request, call the front desk, render
// its answer.
func do[Req proto.Message, Resp response](
	s *server,
	read func(*exchange) (Req, error),
	call func(context.Context, Req) (Resp, error),
	render func(Resp) dialect.Answer,
) func(*exchange) error {
	return func(x *exchange) error {
		req, err := read(x)
		if err != nil {
			return err
		}
		if err := addressed(x, req); err != nil {
			return err
		}
		resp, err := call(x.r.Context(), req)
		if err != nil {
			return err
		}
		s.answerOK(x, render(resp), resp)
		return nil
	}
}

// answerOK answers with a result, in a buffer that is used again.
func (s *server) answerOK(x *exchange, result dialect.Answer, resp response) {
	seconds := resp.GetTime()
	if seconds == 0 {
		seconds = x.seconds()
	}
	var usage *pb.Usage
	if u, ok := resp.(interface{ GetUsage() *pb.Usage }); ok {
		usage = u.GetUsage()
	}
	buf := getBuffer()
	text := dialect.OK(buf.AvailableBuffer(), result, seconds, usage)
	s.answer(x, http.StatusOK, text)
	*buf = *bytes.NewBuffer(text[:0]) // the text may have outgrown it
	putBuffer(buf)
}

// pathOnly makes a request that has no more than what path and query say.
func pathOnly[T any, P interface {
	*T
	proto.Message
}](*exchange) (P, error) {
	return new(T), nil
}

// body makes a request from the body.
func body[Req any](s *server, decode func([]byte) (Req, error)) func(*exchange) (Req, error) {
	return func(x *exchange) (req Req, err error) {
		buf, err := s.body(x)
		if err != nil {
			return req, err
		}
		defer putBuffer(buf)
		return decode(buf.Bytes())
	}
}

func deleteIndex(x *exchange) (*pb.DeleteFieldIndexCollection, error) {
	return &pb.DeleteFieldIndexCollection{FieldName: x.r.PathValue("field_name")}, nil
}

func createVector(s *server) func(*exchange) (*pb.CreateVectorNameRequest, error) {
	decode := body(s, dialect.CreateVectorName)
	return func(x *exchange) (*pb.CreateVectorNameRequest, error) {
		req, err := decode(x)
		if err != nil {
			return nil, err
		}
		req.VectorName = x.r.PathValue("vector_name")
		return req, nil
	}
}

func deleteVector(x *exchange) (*pb.DeleteVectorNameRequest, error) {
	return &pb.DeleteVectorNameRequest{VectorName: x.r.PathValue("vector_name")}, nil
}

func deleteSnapshot(x *exchange) (*pb.DeleteSnapshotRequest, error) {
	return &pb.DeleteSnapshotRequest{SnapshotName: x.r.PathValue("snapshot_name")}, nil
}

func deleteFullSnapshot(x *exchange) (*pb.DeleteFullSnapshotRequest, error) {
	return &pb.DeleteFullSnapshotRequest{SnapshotName: x.r.PathValue("snapshot_name")}, nil
}

// getPoint answers with one point, or that there is none.
func (s *server) getPoint(x *exchange) error {
	id, err := dialect.PointID(x.r.PathValue("id"))
	if err != nil {
		return err
	}
	req := dialect.GetPoint(id)
	if err := addressed(x, req); err != nil {
		return err
	}
	resp, err := s.Points.Get(x.r.Context(), req)
	if err != nil {
		return err
	}
	if len(resp.GetResult()) == 0 {
		return apierror.New(apierror.NotFound, "Point with id %s does not exists!", x.r.PathValue("id"))
	}
	s.answerOK(x, dialect.Record(resp.GetResult()[0]), resp)
	return nil
}

// addressed puts what path and query say into a request: the collection's name,
// and wait, ordering, timeout and consistency where the message has them.
func addressed(x *exchange, req proto.Message) error {
	m := req.ProtoReflect()
	fields := m.Descriptor().Fields()
	set := func(name protoreflect.Name, v protoreflect.Value) {
		if fd := fields.ByName(name); fd != nil {
			m.Set(fd, v)
		}
	}
	if x.collection != "" {
		set("collection_name", protoreflect.ValueOfString(x.collection))
		nameAll(req, x.collection)
	}
	if x.r.URL.RawQuery == "" {
		return nil
	}
	p, err := readParams(x.r.URL)
	if err != nil {
		return err
	}
	if p.wait != nil {
		set("wait", protoreflect.ValueOfBool(*p.wait))
	}
	if p.timeout != nil {
		set("timeout", protoreflect.ValueOfUint64(*p.timeout))
	}
	if p.ordering != nil {
		set("ordering", protoreflect.ValueOfMessage(p.ordering.ProtoReflect()))
	}
	if p.consistency != nil {
		set("read_consistency", protoreflect.ValueOfMessage(p.consistency.ProtoReflect()))
	}
	return nil
}

// nameAll names the collection in the parts of a batch of searches.
func nameAll(req proto.Message, name string) {
	switch m := req.(type) {
	case *pb.QueryBatchPoints:
		for _, q := range m.QueryPoints {
			q.CollectionName = name
		}
	case *pb.SearchBatchPoints:
		for _, q := range m.SearchPoints {
			q.CollectionName = name
		}
	case *pb.RecommendBatchPoints:
		for _, q := range m.RecommendPoints {
			q.CollectionName = name
		}
	case *pb.DiscoverBatchPoints:
		for _, q := range m.DiscoverPoints {
			q.CollectionName = name
		}
	}
}

// params are what the query string may say.
type params struct {
	wait        *bool
	timeout     *uint64
	ordering    *pb.WriteOrdering
	consistency *pb.ReadConsistency
}

func readParams(u *url.URL) (p params, err error) {
	q := u.Query()
	if v := q.Get("wait"); v != "" {
		wait, err := strconv.ParseBool(v)
		if err != nil {
			return p, badQuery("wait", v)
		}
		p.wait = &wait
	}
	if p.timeout, err = timeoutParam(u); err != nil {
		return p, err
	}
	if v := q.Get("ordering"); v != "" {
		if p.ordering = dialect.Ordering(v); p.ordering == nil {
			return p, badQuery("ordering", v)
		}
	}
	if v := q.Get("consistency"); v != "" {
		if p.consistency = dialect.Consistency(v); p.consistency == nil {
			return p, badQuery("consistency", v)
		}
	}
	return p, nil
}

// timeoutParam returns the parameter "timeout" in seconds, nil without one.
func timeoutParam(u *url.URL) (*uint64, error) {
	if u.RawQuery == "" {
		return nil, nil //nolint:nilnil // both absent and valid
	}
	v := u.Query().Get("timeout")
	if v == "" {
		return nil, nil //nolint:nilnil // both absent and valid
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return nil, badQuery("timeout", v)
	}
	if n == 0 {
		return nil, &plainError{
			http.StatusUnprocessableEntity,
			"Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]",
		}
	}
	return &n, nil
}

func badQuery(name, value string) error {
	return &plainError{http.StatusBadRequest, fmt.Sprintf("Format error in query parameters: invalid value %q for %s", value, name)}
}
