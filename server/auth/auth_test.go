package auth_test

import (
	"fmt"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/server/auth"
)

const allowed = apierror.Kind(-1)

func kind(err error) apierror.Kind {
	if err == nil {
		return allowed
	}
	return apierror.KindOf(err)
}

func TestMatrix(t *testing.T) {
	g := auth.New(auth.Options{APIKey: "one", AltAPIKey: "two", ReadOnlyAPIKey: "look"})
	f := func(key string, read, write, manage apierror.Kind) {
		t.Helper()
		require.NoError(t, g.Check(key, auth.Public), key)
		require.Equal(t, read, kind(g.Check(key, auth.Read)), key)
		require.Equal(t, write, kind(g.Check(key, auth.Write)), key)
		require.Equal(t, manage, kind(g.Check(key, auth.Manage)), key)
	}
	no, forbidden := apierror.Unauthorized, apierror.Forbidden
	f("one", allowed, allowed, allowed)
	f("two", allowed, allowed, allowed)
	f("look", allowed, forbidden, forbidden)
	f("", no, no, no)
	f("On", no, no, no)
	f("one ", no, no, no)
	f("ONE", no, no, no)
}

func TestWithoutKeysEverybodyMayDoEverything(t *testing.T) {
	g := auth.New(auth.Options{})
	require.False(t, g.Enabled())
	require.NoError(t, g.Check("", auth.Manage))
	require.NoError(t, g.Check("stale", auth.Manage))
}

func TestOnlyReadOnlyKeyConfigured(t *testing.T) {
	g := auth.New(auth.Options{ReadOnlyAPIKey: "look"})
	require.Equal(t, apierror.Unauthorized, kind(g.Check("", auth.Read)))
	require.Equal(t, allowed, kind(g.Check("look", auth.Read)))
	require.Equal(t, apierror.Forbidden, kind(g.Check("look", auth.Write)))
}

func TestKey(t *testing.T) {
	f := func(want string, headers ...string) {
		t.Helper()
		h := map[string]string{}
		for i := 0; i < len(headers); i += 2 {
			h[headers[i]] = headers[i+1]
		}
		require.Equal(t, want, auth.Key(func(name string) string { return h[name] }))
	}
	f("")
	f("a", "api-key", "a")
	f("b", "authorization", "Bearer b")
	f("b", "authorization", "bearer   b ")
	f("a", "api-key", "a", "authorization", "Bearer b")
	f("", "authorization", "Basic b")
	f("", "authorization", "b")
}

// TestEveryMethodHasAnEntry also fails for an entry that names no method.
func TestEveryMethodHasAnEntry(t *testing.T) {
	files := []protoreflect.FileDescriptor{
		pb.File_qdrant_proto, pb.File_collections_service_proto, pb.File_points_service_proto,
		pb.File_snapshots_service_proto, healthpb.File_grpc_health_v1_health_proto,
	}
	var all []string
	for _, f := range files {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				all = append(all, fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(j).Name()))
			}
		}
	}
	require.ElementsMatch(t, all, auth.Methods())
}

func TestOfMethod(t *testing.T) {
	require.Equal(t, auth.Manage, auth.OfMethod("/qdrant.Points/NotYetInvented"))
	require.Equal(t, auth.Manage, auth.OfMethod(""))
	require.Equal(t, auth.Read, auth.OfMethod("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"))
	require.Equal(t, auth.Public, auth.OfMethod("/grpc.health.v1.Health/Check"))
}

// TestOnlyTheConfiguredKeysPass: for any keys and any presented key.
func TestOnlyTheConfiguredKeysPass(t *testing.T) {
	key := rapid.StringMatching(`[ab]{0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		o := auth.Options{APIKey: key.Draw(t, "key"), AltAPIKey: key.Draw(t, "alt"), ReadOnlyAPIKey: key.Draw(t, "ro")}
		presented := key.Draw(t, "presented")
		need := rapid.SampledFrom([]auth.Access{auth.Read, auth.Write, auth.Manage}).Draw(t, "need")
		open := o == (auth.Options{})
		full := presented != "" && (presented == o.APIKey || presented == o.AltAPIKey)
		look := presented != "" && presented == o.ReadOnlyAPIKey && need == auth.Read
		if got := auth.New(o).Check(presented, need) == nil; got != (open || full || look) {
			t.Fatalf("%+v: %q for %v: %t", o, presented, need, got)
		}
	})
}
