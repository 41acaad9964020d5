// Package robustness treats the real process, and clusters of it, badly and checks that
// they keep their promises.
package robustness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed"
	"github.com/sextantdb/sextant/internal/testbed/load"
)

const (
	collection = "kills"
	dim        = load.Dim
	writers    = 8
	// pointsPerWriter is small, so that points are written again and again.
	pointsPerWriter = 40
)

// ledger is what one writer knows of its points: the last value that was
// acknowledged, and the last one that was sent.
type ledger struct {
	acked, sent [pointsPerWriter]int64
}

// TestKillUnderLoad kills the node again and again while clients write, and
// checks after each restart that every point holds the last acknowledged value
// or one that was sent after it.
func TestKillUnderLoad(t *testing.T) {
	n := testbed.Start(t, t.TempDir())
	c := connect(t, n)
	require.NoError(t, c.CreateCollection(t.Context(), &qdrant.CreateCollection{
		CollectionName: collection,
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: dim, Distance: qdrant.Distance_Dot}),
		ShardNumber:    new(uint32(2)),
	}))
	_, err := c.CreateFieldIndex(t.Context(), &qdrant.CreateFieldIndexCollection{
		CollectionName: collection, FieldName: "value", FieldType: qdrant.FieldType_FieldTypeInteger.Enum(), Wait: new(true),
	})
	require.NoError(t, err)
	ledgers := make([]ledger, writers)
	rng := rand.New(rand.NewPCG(seed(t), 0))
	for round := range testbed.EnvNumber(t, "ROBUSTNESS_ROUNDS", 6) {
		writeUntilKilled(t, n, ledgers, 50+rng.Int64N(400))
		n.Restart(t)
		check(t, connect(t, n), ledgers, round)
	}
}

func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if v := os.Getenv("ROBUSTNESS_SEED"); v != "" {
		var err error
		s, err = strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("ROBUSTNESS_SEED=%d", s)
	return s
}

func connect(t *testing.T, n *testbed.Node) *qdrant.Client {
	t.Helper()
	c, err := qdrant.NewClient(&qdrant.Config{Host: "127.0.0.1", Port: n.GRPC, SkipCompatibilityCheck: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// writeUntilKilled lets all writers write and kills the node at the given number
// of acknowledgements.
func writeUntilKilled(t *testing.T, n *testbed.Node, ledgers []ledger, kill int64) {
	t.Helper()
	var acks atomic.Int64
	var wg sync.WaitGroup
	enough := make(chan struct{})
	for w := range ledgers {
		c := connect(t, n)
		rng := rand.New(rand.NewPCG(uint64(w), uint64(kill)))
		wg.Go(func() {
			for {
				if err := ledgers[w].write(t.Context(), c, rng, w); err != nil {
					return // the node is dead
				}
				if acks.Add(1) == kill {
					close(enough)
				}
			}
		})
	}
	<-enough
	n.Kill(t)
	wg.Wait()
}

// write writes one point with its next value.
func (l *ledger) write(ctx context.Context, c *qdrant.Client, rng *rand.Rand, writer int) error {
	p := rng.IntN(pointsPerWriter)
	l.sent[p]++
	value := l.sent[p]
	id := qdrant.NewIDNum(uint64(writer*pointsPerWriter + p))
	payload := qdrant.NewValueMap(map[string]any{"value": value})
	wait := new(rng.IntN(2) == 0)
	var err error
	if l.acked[p] > 0 && rng.IntN(3) == 0 {
		_, err = c.SetPayload(ctx, &qdrant.SetPayloadPoints{
			CollectionName: collection, Wait: wait, Payload: payload, PointsSelector: qdrant.NewPointsSelector(id),
		})
	} else {
		_, err = c.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: collection, Wait: wait, Points: []*qdrant.PointStruct{
			{Id: id, Vectors: qdrant.NewVectors(vector(id)...), Payload: payload},
		}})
	}
	if err == nil {
		l.acked[p] = value
	}
	return err
}

// vector is a function of the point, so that it can be checked.
func vector(id *qdrant.PointId) []float32 { return load.Vector(id.GetNum()) }

func check(t *testing.T, c *qdrant.Client, ledgers []ledger, round int) {
	t.Helper()
	for w := range ledgers {
		l := &ledgers[w]
		ids := make([]*qdrant.PointId, pointsPerWriter)
		for p := range ids {
			ids[p] = qdrant.NewIDNum(uint64(w*pointsPerWriter + p))
		}
		points, err := c.Get(t.Context(), &qdrant.GetPoints{
			CollectionName: collection, Ids: ids, WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
		})
		require.NoError(t, err)
		found := map[uint64]int64{}
		for _, p := range points {
			value := p.GetPayload()["value"].GetIntegerValue()
			found[p.GetId().GetNum()] = value
			require.Equal(t, vector(p.GetId()), p.GetVectors().GetVector().GetDense().GetData())
			count, err := c.Count(t.Context(), &qdrant.CountPoints{CollectionName: collection, Filter: &qdrant.Filter{
				Must: []*qdrant.Condition{qdrant.NewMatchInt("value", value), qdrant.NewHasID(p.GetId())},
			}})
			require.NoError(t, err)
			require.EqualValues(t, 1, count, "the index disagrees with the payload of %v", p)
		}
		for p := range pointsPerWriter {
			got, where := found[uint64(w*pointsPerWriter+p)], fmt.Sprintf("round %d, writer %d, point %d", round, w, p)
			require.GreaterOrEqual(t, got, l.acked[p], "%s: an acknowledged write is lost", where)
			require.LessOrEqual(t, got, l.sent[p], "%s: a value nobody sent", where)
			l.acked[p] = got // what was read is there to stay
		}
	}
}

func TestSecondNodeOnTheSameStorageIsRefused(t *testing.T) {
	n := testbed.Start(t, t.TempDir())
	second := n.Command(t)
	second.Stdout, second.Stderr = nil, nil
	second.Env = append(second.Env,
		"QDRANT__SERVICE__HTTP_PORT="+strconv.Itoa(testbed.FreePort(t)),
		"QDRANT__SERVICE__GRPC_PORT="+strconv.Itoa(testbed.FreePort(t)))
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "storage", "the refusal names what is in use")
}

func TestTermStopsGracefully(t *testing.T) {
	n := testbed.Start(t, t.TempDir())
	require.NoError(t, n.Stop(t))
	n.Restart(t)
	require.NoError(t, n.Stop(t))
}
