package topology_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/apierror"
	"github.com/sextantdb/sextant/internal/fsx"
)

func collection(tb testing.TB, name, incarnation string) *topology.Collection {
	tb.Helper()
	config, err := topology.NewConfig(&pb.CreateCollection{
		CollectionName: name,
		VectorsConfig:  pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot}),
		Metadata:       map[string]*pb.Value{"owner": pb.NewValueString("me")},
	}, topology.Defaults{})
	require.NoError(tb, err)
	return &topology.Collection{Name: name, Incarnation: incarnation, Config: config, Shards: []*topology.Shard{{ID: 0}}}
}

func apply(tb testing.TB, s *topology.State, c topology.Command) {
	tb.Helper()
	_, err := s.Apply(c)
	require.NoError(tb, err)
}

func refuse(t *testing.T, s *topology.State, c topology.Command, kind apierror.Kind) {
	t.Helper()
	changed, err := s.Apply(c)
	require.Error(t, err)
	require.Equal(t, kind, apierror.KindOf(err), "%v", err)
	require.False(t, changed)
}

func alias(name, collection string) *pb.AliasOperations {
	return &pb.AliasOperations{Action: &pb.AliasOperations_CreateAlias{
		CreateAlias: &pb.CreateAlias{AliasName: name, CollectionName: collection},
	}}
}

func TestNamesOfCollectionsAndAliasesExcludeEachOther(t *testing.T) {
	var s topology.State
	apply(t, &s, topology.CreateCollection{Collection: collection(t, "a", "1")})
	refuse(t, &s, topology.CreateCollection{Collection: collection(t, "a", "2")}, apierror.AlreadyExists)
	apply(t, &s, topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("x", "a")}})
	refuse(t, &s, topology.CreateCollection{Collection: collection(t, "x", "3")}, apierror.BadInput)
	refuse(t, &s, topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("a", "a")}}, apierror.AlreadyExists)

	got, err := s.Collection("x")
	require.NoError(t, err)
	require.Equal(t, "1", got.Incarnation)
}

func TestAliasOperationsAreAllOrNone(t *testing.T) {
	var s topology.State
	apply(t, &s, topology.CreateCollection{Collection: collection(t, "a", "1")})
	refuse(t, &s, topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("x", "a"), alias("y", "missing")}}, apierror.NotFound)
	require.Empty(t, s.Aliases(""))
}

func TestDeletionTakesAliasesAndRemembersTheData(t *testing.T) {
	var s topology.State
	apply(t, &s, topology.CreateCollection{Collection: collection(t, "a", "1")})
	apply(t, &s, topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("x", "a")}})
	apply(t, &s, topology.DeleteCollection{Name: "a"})
	require.Empty(t, s.Aliases(""))
	require.Equal(t, map[string]string{"1": "a"}, s.Dropped())
	apply(t, &s, topology.ForgetDropped{Incarnation: "1"})
	require.Empty(t, s.Dropped())
}

// A refused command must leave no trace, and a clone must not share changes.
func TestRefusedCommandsAndClonesChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s topology.State
		names := []string{"a", "b", "c"}
		for i := range rapid.IntRange(1, 20).Draw(rt, "steps") {
			before := picture(&s)
			next := s.Clone()
			_, err := next.Apply(drawCommand(t, rt, names, strconv.Itoa(i)))
			require.Empty(t, cmp.Diff(before, picture(&s), protocmp.Transform(), cmpopts.EquateEmpty()), "the original changed")
			if err != nil {
				require.Empty(t, cmp.Diff(before, picture(next), protocmp.Transform(), cmpopts.EquateEmpty()), "a refused command changed the state")
			}
			s = *next
		}
	})
}

func drawCommand(t *testing.T, rt *rapid.T, names []string, incarnation string) topology.Command {
	t.Helper()
	name := rapid.SampledFrom(names).Draw(rt, "name")
	other := rapid.SampledFrom(names).Draw(rt, "other")
	switch rapid.IntRange(0, 4).Draw(rt, "command") {
	case 0:
		return topology.CreateCollection{Collection: collection(t, name, incarnation)}
	case 1:
		return topology.DeleteCollection{Name: name}
	case 2:
		return topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("x"+name, other), alias(name, other)}}
	case 3:
		return topology.SetField{Name: name, Field: other, Schema: &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType_Keyword}}
	default:
		config := collection(t, name, "").Config
		config.HnswConfig.M = new(rapid.Uint64Range(1, 64).Draw(rt, "m"))
		return topology.ReplaceConfig{Name: name, Config: config}
	}
}

// picture is everything that a State shows.
func picture(s *topology.State) any {
	return []any{s.Collections(), s.Aliases(""), s.Dropped()}
}

// A power cut at any moment leaves the old or the new state, and what Save
// returned for is there.
func TestStoreSurvivesPowerCuts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		fs := fsx.NewMem()
		require.NoError(t, fs.MkdirAll("/data"))
		store := topology.Store{FS: fs, Path: "/data/topology"}
		var s topology.State
		for i := range 3 {
			apply(t, &s, topology.CreateCollection{Collection: collection(t, fmt.Sprint("c", i), strconv.Itoa(i))})
			require.NoError(t, store.Save(&s))
		}
		apply(t, &s, topology.ChangeAliases{Actions: []*pb.AliasOperations{alias("x", "c1")}})
		apply(t, &s, topology.SetField{Name: "c1", Field: "f", Schema: &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType_Uuid}})
		apply(t, &s, topology.DeleteCollection{Name: "c0"})
		require.NoError(t, store.Save(&s))

		after := topology.Store{FS: fs.CrashClone(rng), Path: store.Path}
		got, found, err := after.Load()
		require.NoError(t, err)
		require.True(t, found)
		require.Empty(t, cmp.Diff(picture(&s), picture(got), protocmp.Transform(), cmpopts.EquateEmpty()))
	}
}

func TestStoreDetectsFlippedBytes(t *testing.T) {
	fs := fsx.NewMem()
	require.NoError(t, fs.MkdirAll("/data"))
	store := topology.Store{FS: fs, Path: "/data/topology"}
	_, found, err := store.Load()
	require.NoError(t, err)
	require.False(t, found)

	var s topology.State
	apply(t, &s, topology.CreateCollection{Collection: collection(t, "a", "1")})
	require.NoError(t, store.Save(&s))
	info, err := fs.Stat(store.Path)
	require.NoError(t, err)
	for at := range info.Size() {
		require.NoError(t, fsx.FlipBits(fs, store.Path, at, 0x10))
		_, _, err := store.Load()
		require.ErrorIs(t, err, topology.ErrCorrupted, "byte %d", at)
		require.NoError(t, fsx.FlipBits(fs, store.Path, at, 0x10))
	}
}
