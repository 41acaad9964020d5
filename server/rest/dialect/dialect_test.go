package dialect

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sextantdb/sextant/engine/payload"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/jsonx"
)

// decoders are the bodies that can be read, by the names that scripts use.
func decoders() map[string]func([]byte) (proto.Message, error) {
	return map[string]func([]byte) (proto.Message, error){
		"upsert":          decoder(UpsertPoints),
		"delete":          decoder(DeletePoints),
		"clear-payload":   decoder(ClearPayload),
		"set-payload":     decoder(SetPayload),
		"delete-payload":  decoder(DeletePayload),
		"update-vectors":  decoder(UpdateVectors),
		"delete-vectors":  decoder(DeleteVectors),
		"batch":           decoder(UpdateBatch),
		"query":           decoder(QueryPoints),
		"query-batch":     decoder(QueryBatch),
		"query-groups":    decoder(QueryGroups),
		"get":             decoder(GetPoints),
		"scroll":          decoder(ScrollPoints),
		"count":           decoder(CountPoints),
		"facet":           decoder(Facet),
		"matrix":          decoder(SearchMatrix),
		"search":          decoder(SearchPoints),
		"search-batch":    decoder(SearchBatch),
		"search-groups":   decoder(SearchGroups),
		"recommend":       decoder(RecommendPoints),
		"recommend-batch": decoder(RecommendBatch),
		"recommend-group": decoder(RecommendGroups),
		"discover":        decoder(DiscoverPoints),
		"discover-batch":  decoder(DiscoverBatch),
		"create":          decoder(CreateCollection),
		"update":          decoder(UpdateCollection),
		"aliases":         decoder(ChangeAliases),
		"create-vector":   decoder(CreateVectorName),
		"create-index":    decoder(CreateFieldIndex),
		"create-key":      decoder(CreateShardKey),
		"delete-key":      decoder(DeleteShardKey),
		"cluster": func(body []byte) (proto.Message, error) {
			op, err := ReadClusterOperation(body)
			if err != nil || op.Setup == nil {
				return &pb.UpdateCollectionClusterSetupRequest{}, err
			}
			return op.Setup, nil
		},
	}
}

func decoder[M proto.Message](fn func([]byte) (M, error)) func([]byte) (proto.Message, error) {
	return func(body []byte) (proto.Message, error) { return fn(body) }
}

// answers are the results that can be written.
func answers() map[string]func(string) (Answer, error) {
	return map[string]func(string) (Answer, error){
		"collection":     answer(Collection),
		"collections":    answer(func(r *pb.ListCollectionsResponse) Answer { return Collections(r.Collections) }),
		"aliases":        answer(func(r *pb.ListAliasesResponse) Answer { return Aliases(r.Aliases) }),
		"update":         answer(Update),
		"updates":        answer(func(r *pb.UpdateBatchResponse) Answer { return Updates(r.Result) }),
		"points":         answer(func(r *pb.QueryResponse) Answer { return Points(r.Result) }),
		"points-batch":   answer(func(r *pb.QueryBatchResponse) Answer { return PointsBatch(r.Result) }),
		"hits":           answer(func(r *pb.SearchResponse) Answer { return Hits(r.Result) }),
		"hits-batch":     answer(func(r *pb.SearchBatchResponse) Answer { return HitsBatch(r.Result) }),
		"groups":         answer(Groups),
		"records":        answer(func(r *pb.GetResponse) Answer { return Records(r.Result) }),
		"scrolled":       answer(Scrolled),
		"facets":         answer(func(r *pb.FacetResponse) Answer { return Facets(r.Hits) }),
		"matrix-pairs":   answer(MatrixPairs),
		"matrix-offsets": answer(MatrixOffsets),
		"snapshots":      answer(func(r *pb.ListSnapshotsResponse) Answer { return Snapshots(r.SnapshotDescriptions) }),
	}
}

func answer[M proto.Message](fn func(M) Answer) func(string) (Answer, error) {
	return func(text string) (Answer, error) {
		var zero M
		m := zero.ProtoReflect().New().Interface().(M)
		if err := prototext.Unmarshal([]byte(text), m); err != nil {
			return nil, err
		}
		return fn(m), nil
	}
}

// TestScripts runs testdata/script: "decode <what>" reads a body and shows the
// message or the error, "encode <what>" writes an answer given as a message.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		t.Helper()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			what := d.CmdArgs[0].Key
			switch d.Cmd {
			case "decode":
				fn := decoders()[what]
				require.NotNil(t, fn, d.Pos)
				m, err := fn([]byte(d.Input))
				if err != nil {
					return fmt.Sprintf("%s: %v\n", kindName(err), err)
				}
				return show(m)
			case "encode":
				fn := answers()[what]
				require.NotNil(t, fn, d.Pos)
				a, err := fn(d.Input)
				require.NoError(t, err, d.Pos)
				w := jsonx.NewWriter(nil)
				a(w)
				return string(w.Bytes()) + "\n"
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
				return ""
			}
		})
	})
}

func kindName(err error) string {
	switch apierror.KindOf(err) {
	case apierror.Format:
		return "format"
	case apierror.Validation:
		return "validation"
	default:
		return fmt.Sprintf("kind %d", apierror.KindOf(err))
	}
}

// show renders a message, and the payloads attached to its parts below it.
func show(m proto.Message) string {
	var attached strings.Builder
	m = proto.Clone(m)
	detach(m.ProtoReflect(), "", &attached)
	text := prototext.MarshalOptions{}.Format(m)
	// The package puts in blanks at random, lest anybody compare its output.
	return strings.ReplaceAll(text, "  ", " ") + "\n" + attached.String()
}

func detach(m protoreflect.Message, path string, out *strings.Builder) {
	if o := payload.Attached(m.Interface()); o != nil {
		fmt.Fprintf(out, "payload of %s: %s\n", cmp.Or(strings.TrimPrefix(path, "."), "all"), payload.AppendJSON(nil, o))
		m.SetUnknown(nil)
	}
	for fd, v := range m.Range {
		if fd.Message() == nil || fd.IsMap() {
			continue
		}
		at := path + "." + string(fd.Name())
		if !fd.IsList() {
			detach(v.Message(), at, out)
			continue
		}
		for i := range v.List().Len() {
			detach(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", at, i), out)
		}
	}
}
