package demo_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/cluster/coordinator"
	"github.com/sextantdb/sextant/cmd/sextant/demo"
	"github.com/sextantdb/sextant/cmd/sextant/demo/corpus"
	"github.com/sextantdb/sextant/internal/fsx"
	"github.com/sextantdb/sextant/server/grpc"
)

// startNode serves an empty node in memory and returns its gRPC address.
func startNode(t *testing.T) string {
	t.Helper()
	desk, err := coordinator.Open(t.Context(), coordinator.Options{FS: fsx.NewMem(), StoragePath: "/storage"})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	door := grpc.New(grpc.Options{Points: desk.Points(), Collections: desk.Collections()})
	served := make(chan error, 1)
	go func() { served <- door.Serve(listener) }()
	t.Cleanup(func() {
		door.Shutdown(context.Background())
		require.NoError(t, <-served)
		require.NoError(t, desk.Close())
	})
	return listener.Addr().String()
}

func TestRun(t *testing.T) {
	addr := startNode(t)
	var out strings.Builder
	options := demo.Options{
		GRPCAddr: addr, RESTURL: "http://localhost:6333/", Out: &out,
		Packages: []string{"sync", "strings", "slices", "maps", "context", "crypto/x509"},
	}
	require.NoError(t, demo.Run(t.Context(), options), out.String())
	text := out.String()
	for _, want := range []string{
		"status green", "Semantic:", "sync.WaitGroup.Wait", "Keyword:", "x509.", "Hybrid:", "strings.Split",
		"Filtered:", "maps.", "deadline", " ms (median", "curl -s http://localhost:6333/collections/go-docs/points/query",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "nothing found")
	require.NotContains(t, text, "%!", "a wrong format")

	// A second demonstration replaces the collection.
	options.Packages = []string{"sync", "context"}
	options.Live = true
	require.NoError(t, demo.Run(t.Context(), options))
	client, err := pb.NewClient(config(t, addr))
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	n, err := client.Count(t.Context(), &pb.CountPoints{CollectionName: "go-docs", Exact: new(true)})
	require.NoError(t, err)
	require.Less(t, n, uint64(600))
}

func config(t *testing.T, addr string) *pb.Config {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	require.NoError(t, err)
	return &pb.Config{Host: tcp.IP.String(), Port: tcp.Port, SkipCompatibilityCheck: true}
}

func TestWriteVectors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lsa.fvecs")
	var out strings.Builder
	options := demo.Options{Out: &out, Packages: []string{"sync", "context"}}
	require.NoError(t, demo.WriteVectors(t.Context(), options, name))
	m, err := dataset.ReadMatrix(name, 0)
	require.NoError(t, err)
	require.Contains(t, out.String(), fmt.Sprintf("Wrote %d rows of %d dimensions to %s\n", m.Rows(), m.Dim, name))
	require.Greater(t, m.Rows(), 50)
	require.NotZero(t, m.Row(0)[0], "a vector, not zeros")

	again := name + ".again.fvecs"
	require.NoError(t, demo.WriteVectors(t.Context(), options, again))
	second, err := dataset.ReadMatrix(again, 0)
	require.NoError(t, err)
	require.Equal(t, m, second, "the same rows each time")

	err = demo.WriteVectors(t.Context(), options, filepath.Join(t.TempDir(), "nowhere", "lsa.fvecs"))
	require.ErrorContains(t, err, "write dense vectors")
}

func TestRunWithoutGo(t *testing.T) {
	err := demo.Run(t.Context(), demo.Options{GRPCAddr: "127.0.0.1:1", Out: &strings.Builder{}, GoRoot: t.TempDir()})
	require.ErrorContains(t, err, "read the Go documentation")
	require.NotErrorIs(t, err, corpus.ErrNoGo)
}

func TestBadAddresses(t *testing.T) {
	for want, o := range map[string]demo.Options{
		"gRPC address":       {GRPCAddr: "localhost"},
		"is not a number":    {GRPCAddr: "localhost:grpc"},
		"REST address: pars": {GRPCAddr: "localhost:1", RESTURL: "http://[::1"},
	} {
		o.Out = &strings.Builder{}
		require.ErrorContains(t, demo.Run(t.Context(), o), want)
	}
}
