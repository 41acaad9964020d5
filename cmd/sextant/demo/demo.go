// Package demo shows a running node at its main job: it reads the documentation
// of the Go standard library, uploads it with dense and sparse vectors, and
// prints what semantic, keyword, hybrid and filtered searches find and how long
// they take. It talks to the node through the official Go client, as any program
// would.
//
// Caller: the command "sextant demo", which starts the node.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/cmd/sextant/demo/corpus"
	"github.com/sextantdb/sextant/cmd/sextant/demo/lsa"
)

// Options say which node to use. GRPCAddr, RESTURL and Out are needed.
type Options struct {
	// GRPCAddr is the node's gRPC address, "host:port".
	GRPCAddr string
	// RESTURL is where its REST API is, for the commands to try next.
	RESTURL string
	// APIKey may be empty.
	APIKey string
	// Out is what everything is printed to.
	Out io.Writer
	// Live draws progress bars; without it each step prints a line, as suits a file.
	Live bool
	// Collection is the name of the collection, which is made anew; "" is Collection.
	Collection string
	// GoRoot is where Go is installed; "" means to look for it.
	GoRoot string
	// Packages are the import paths to load; empty means the whole library.
	Packages []string
	// Shards and Copies cut the collection up; 0 leaves either to the node.
	Shards, Copies uint32
	// Then, if there is one, goes on with what was loaded before it is said what to try next.
	Then func(context.Context, *Loaded) error
}

// Loaded is what a demonstration has loaded, to go on with.
type Loaded struct {
	demo *demo
}

// Queries returns the searches of the demonstration.
func (l *Loaded) Queries() []*pb.QueryPoints {
	var all []*pb.QueryPoints
	for _, e := range examples() {
		all = append(all, e.query(l.demo))
	}
	return all
}

// Vectors returns the dense vector of an entry as those of another point; entries come round.
func (l *Loaded) Vectors(i int) *pb.Vectors {
	vectors := l.demo.vectors
	return pb.NewVectorsMap(map[string]*pb.Vector{denseName: pb.NewVectorDense(vectors[i%len(vectors)])})
}

// Collection is what the collection is called unless the options say otherwise.
const Collection = "go-docs"

// batchSize is the number of points of an upload request.
const batchSize = 256

// Run does the demonstration and returns when the last line is printed. The node
// must be ready; it keeps the collection.
func Run(ctx context.Context, o Options) error {
	if o.Collection == "" {
		o.Collection = Collection
	}
	client, err := connect(o)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // every answer has been read
	d := &demo{Options: o, client: client}
	for _, step := range []func(context.Context) error{d.read, d.learn, d.create, d.upload, d.waitGreen, d.search} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if o.Then != nil {
		if err := o.Then(ctx, &Loaded{d}); err != nil {
			return err
		}
	}
	d.tryNext()
	return nil
}

// WriteVectors reads the documentation and learns its dense vectors as Run does,
// and writes those to a .fvecs file, a row an entry: real vectors to measure on.
// It needs no node; of the options it uses Out, Live, GoRoot and Packages.
func WriteVectors(ctx context.Context, o Options, name string) error {
	d := &demo{Options: o}
	if err := d.read(ctx); err != nil {
		return err
	}
	if err := d.learn(ctx); err != nil {
		return err
	}
	m := dataset.Matrix{Dim: d.model.Dim(), Data: slices.Concat(d.vectors...)}
	if err := dataset.WriteMatrix(name, m); err != nil {
		return fmt.Errorf("write dense vectors: %w", err)
	}
	d.printf("Wrote %d rows of %d dimensions to %s\n", m.Rows(), m.Dim, name)
	return nil
}

// demo is the state of one demonstration.
type demo struct {
	Options
	client *pb.Client

	entries []corpus.Entry
	model   *lsa.Model
	vectors [][]float32
}

func connect(o Options) (*pb.Client, error) {
	host, portText, err := net.SplitHostPort(o.GRPCAddr)
	if err != nil {
		return nil, fmt.Errorf("gRPC address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("gRPC address: port %q is not a number", portText)
	}
	if _, err := url.Parse(o.RESTURL); err != nil {
		return nil, fmt.Errorf("REST address: %w", err)
	}
	client, err := pb.NewClient(&pb.Config{
		Host: host, Port: port, APIKey: o.APIKey, PoolSize: 2, SkipCompatibilityCheck: true,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.GRPCAddr, err)
	}
	return client, nil
}

// read reads the documentation.
func (d *demo) read(ctx context.Context) error {
	root := d.GoRoot
	if root == "" {
		var err error
		if root, err = corpus.FindRoot(ctx); err != nil {
			return err
		}
	}
	bar := d.bar("Reading the Go documentation in " + root)
	entries, err := corpus.Read(ctx, root, corpus.Options{Only: d.Packages, Progress: bar.to})
	if err != nil {
		return fmt.Errorf("read the Go documentation: %w", err)
	}
	if len(entries) == 0 {
		return errors.New("read the Go documentation: none found in " + root)
	}
	d.entries = entries
	bar.done("%d entries", len(entries))
	return nil
}

// learn fits the dense vectors and computes them.
func (d *demo) learn(ctx context.Context) error {
	texts := make([]string, len(d.entries))
	for i, e := range d.entries {
		texts[i] = e.Searchable() + "\n" + e.Synopsis
	}
	bar := d.bar("Learning dense vectors from it (latent semantic analysis)")
	model, err := lsa.Fit(ctx, texts, lsa.Options{Seed: 1, Progress: bar.to})
	if err != nil {
		return fmt.Errorf("learn dense vectors: %w", err)
	}
	vectors, err := model.EmbedAll(ctx, texts)
	if err != nil {
		return fmt.Errorf("learn dense vectors: %w", err)
	}
	d.model, d.vectors = model, vectors
	bar.done("%d terms, %d dimensions", model.Terms(), model.Dim())
	return nil
}

// waitGreen waits until everything is indexed.
func (d *demo) waitGreen(ctx context.Context) error {
	bar := d.bar("Indexing")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := d.client.GetCollectionInfo(ctx, d.Collection)
		if err != nil {
			return fmt.Errorf("wait for the index: %w", err)
		}
		total := len(d.entries)
		bar.to(min(int(info.GetIndexedVectorsCount()), total), total)
		switch info.GetStatus() {
		case pb.CollectionStatus_Green:
			bar.done("%d points, status green", info.GetPointsCount())
			return nil
		case pb.CollectionStatus_Red:
			return fmt.Errorf("wait for the index: %s", info.GetOptimizerStatus().GetError())
		default: // still at work
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// oneLine cuts a text to its first sentence, at most n characters.
func oneLine(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if head, _, ok := strings.Cut(s, ". "); ok {
		s = head + "."
	}
	if runes := []rune(s); len(runes) > n {
		s = strings.TrimSpace(string(runes[:n-1])) + "…"
	}
	return s
}
