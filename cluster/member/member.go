package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/cluster/consensus"
	"github.com/sextantdb/sextant/cluster/controller"
	"github.com/sextantdb/sextant/cluster/feed"
	"github.com/sextantdb/sextant/cluster/layout"
	"github.com/sextantdb/sextant/cluster/peer"
	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/cluster/transfer"
	"github.com/sextantdb/sextant/engine/oplog"
	"github.com/sextantdb/sextant/engine/shard"
	"github.com/sextantdb/sextant/internal/fsx"
)

// Version is the cluster protocol that this node speaks.
const Version = 1

// Options says what a member is made of. The zero value of a field is its default, unless it says
// otherwise.
type Options struct {
	// FS is the file system and StoragePath the directory of all data. Required.
	FS          fsx.FS
	StoragePath string
	// URI is where other nodes reach this one. Required.
	URI string
	// Bootstrap is where a node of the cluster is that this one is to join at its first start.
	// Without it the node founds a cluster.
	Bootstrap string
	// Reinit begins the consensus anew from what this node knows, when the majority of its voters is
	// lost for good; with Bootstrap it leaves the old consensus for that of a node which did so.
	Reinit bool
	// PeerID is who a new node becomes; 0 is a random one.
	PeerID topology.PeerID
	// Release is the version of the program, for operators.
	Release string
	// Zone is where replicas of a shard should not all be.
	Zone string
	// OpenShard opens the data of a copy. The options have its place, log and life filled in.
	// Required.
	OpenShard func(context.Context, *topology.Collection, shard.Options) (*shard.Shard, error)
	// Pool are the connections to other nodes; who this one is, and news of others, are filled in.
	Pool peer.PoolOptions
	// Tick is how long a tick of the consensus takes, 100 ms by default.
	Tick time.Duration
	// SnapshotEntries is after how many entries the consensus's log is cut.
	SnapshotEntries uint64
	// LogFileSize is the length of a file of the operation log, 64 MiB by default.
	LogFileSize int64
	// Heartbeat is how often this node says that it lives, 300 ms by default.
	Heartbeat time.Duration
	// VerifyEvery is the pause before the copies of all shards are compared again, 1 hour by default.
	VerifyEvery time.Duration
	// Controller are the times and habits of the controller.
	Controller controller.Options
	// Logger hears what no caller hears; nil is silent.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 300 * time.Millisecond
	}
	if o.VerifyEvery <= 0 {
		o.VerifyEvery = time.Hour
	}
}

// consensusReserve is the room on the disk that is kept for the consensus: what a full disk makes necessary
// (handing over, leaving sets) takes some hundred bytes for each shard.
const consensusReserve = 4 << 20

// Member is one node's part in a cluster. Its methods are safe for concurrent use.
type Member struct {
	o     Options
	log   *slog.Logger
	self  identity
	begun time.Time

	disk    *fsx.Watch // where the logs are
	data    *oplog.Log // of all shards
	machine *machine
	group   *consensus.Group
	pool    *peer.Pool
	// linked says that there is a pool: the consensus, which begins before, has nobody to send to
	// until then.
	linked atomic.Bool
	// known are the nodes that were named when this one joined.
	known   []peer.Member
	boss    *boss
	exports *transfer.Exports
	fetcher *transfer.Fetcher
	alters  chan replication.Alter
	// extraReads has room for reads that ask another copy because one is slow.
	extraReads chan struct{}
	links      *links
	slow       slowPeers

	ctx    context.Context //nolint:containedctx // the member's life
	stop   context.CancelFunc
	work   sync.WaitGroup
	timers *timers

	// registered is the index of the topology from which on this process takes part (R1).
	registered atomic.Uint64

	part chan struct{} // closed when registered is set
	// newcomer says that the node had no state of its cluster when it started.
	newcomer bool
	// leaving says that the node is about to stop, and is not to register again.
	leaving atomic.Bool
	// stalled says that the disk stalls.
	stalled atomic.Bool
	// short says that the disk is so full that the consensus needs what is left.
	short atomic.Bool
	// turnedAway says that the node has found out that it was removed from the cluster.
	turnedAway atomic.Bool

	// swept says that the disk was compared with the topology, unopened are copies that couldn't be
	// opened: follow's.
	swept    bool
	unopened map[topology.ShardName]struct{}

	mu       sync.Mutex
	replicas map[topology.ShardName]*replica
	// ops count the writes that this process takes for each shard: their IDs.
	ops map[topology.ShardName]*atomic.Uint64
}

// opsOf returns the counter of a shard's writes. It goes on when the shard is opened again.
func (m *Member) opsOf(name topology.ShardName) *atomic.Uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ops[name] == nil {
		m.ops[name] = &atomic.Uint64{}
	}
	return m.ops[name]
}

// New makes a member: it finds out who the node is, and at the first start asks a node of the
// cluster to take it in. It takes part in nothing before Open; Serve may be put behind the p2p door
// meanwhile.
func New(ctx context.Context, o Options) (_ *Member, err error) {
	o.setDefaults()
	m := &Member{
		o: o, log: o.Logger, begun: time.Now(), timers: newTimers(),
		alters: make(chan replication.Alter, 4096), extraReads: make(chan struct{}, extraReads), part: make(chan struct{}),
		replicas: map[topology.ShardName]*replica{}, ops: map[topology.ShardName]*atomic.Uint64{}, links: newLinks(),
	}
	m.machine = newMachine(m.tell)
	m.ctx, m.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if err := o.FS.MkdirAll(layout.Collections(o.StoragePath)); err != nil {
		return nil, fmt.Errorf("create storage directory: %w", err)
	}
	file := m.file()
	if m.self, err = file.next(o.PeerID); err != nil {
		return nil, err
	}
	m.boss = newBoss(m)
	m.disk = fsx.NewWatch(o.FS)
	expect, err := m.leftAlone()
	if err != nil {
		return nil, err
	}
	if m.data, err = oplog.Open(oplog.Options{
		FS: m.disk, Dir: path.Join(o.StoragePath, "oplog"), FileSize: o.LogFileSize, Salvage: true, Expect: expect,
		Hold: m.short.Load,
	}); err != nil {
		return nil, fmt.Errorf("open operation log: %w", err)
	}
	if err := m.data.Lost(); err != nil {
		m.log.ErrorContext(ctx, "a part of the operation log is lost: copies that may have had entries there are made anew", "error", err)
	}
	if m.known, err = m.prepare(ctx, file); err != nil {
		return nil, err
	}
	m.exports = transfer.NewExports(transfer.ExportsOptions{Open: m.openExport, Logger: o.Logger})
	m.fetcher = transfer.NewFetcher(transfer.FetcherOptions{FS: o.FS, Logger: o.Logger})
	if m.group, err = consensus.Open(ctx, consensus.Options{
		ID: m.self.Peer, FS: m.disk, Dir: layout.Consensus(o.StoragePath), Machine: m.machine, Send: m.sendRaft,
		Reserve: consensusReserve, OnShort: m.short.Store,
		Gone:     func(p topology.PeerID) bool { return m.State().Removed(p) },
		OnLeader: m.boss.leaderChanged, TickInterval: o.Tick, SnapshotEntries: o.SnapshotEntries, Logger: o.Logger,
	}); err != nil {
		if errors.Is(err, oplog.ErrCorrupted) || errors.Is(err, consensus.ErrCorrupted) {
			err = fmt.Errorf("%w. What this node has promised to the consensus is lost, so it can't be peer %d any more: remove that peer "+
				"(DELETE /cluster/peer/%d?force=true, asked of another node), then start this one with an empty directory and --bootstrap",
				err, m.self.Peer, m.self.Peer)
		}
		return nil, fmt.Errorf("open consensus: %w", err)
	}
	m.newcomer = !m.group.HasState()
	if err := m.settleName(ctx, file); err != nil {
		return nil, err
	}
	m.pool = peer.NewPool(m.poolOptions())
	m.linked.Store(true)
	for _, p := range m.known {
		m.meet(peer.Target{Peer: p.Peer, Addr: p.URI})
	}
	for _, p := range m.State().Peers() {
		m.meetPeer(p)
	}
	return m, nil
}

// tell logs what people should know about. What happened before this process took part is in the logs
// of others, and of the processes before.
func (m *Member) tell(e topology.Event) {
	if m.registered.Load() > 0 {
		m.log.Warn("cluster", "event", e.Text)
	}
}

// Open begins to take part: it founds the cluster if the node is the first one, and goes on to
// register, which takes a majority of the voters: Registered tells when that is done. Until then
// nothing here is read or written. A founder takes over what it had when it ran without a cluster.
func (m *Member) Open(ctx context.Context) error {
	switch {
	case m.beginsAnew():
		if err := m.beginAnew(ctx); err != nil {
			return fmt.Errorf("begin the consensus anew: %w", err)
		}
		if err := m.file().store(m.self); err != nil {
			return err
		}
	case !m.group.HasState() && !m.joins():
		if err := m.found(ctx); err != nil {
			return fmt.Errorf("found a cluster: %w", err)
		}
	}
	if err := m.finishTakeOver(ctx); err != nil {
		return fmt.Errorf("take over the data of a node without a cluster: %w", err)
	}
	for _, part := range []func(context.Context){m.stayRegistered, m.follow, m.beat, m.rule, m.proposeAlters, m.tidy, m.verify, m.tellLinks} {
		m.work.Go(func() { part(m.ctx) })
	}
	m.work.Go(func() { m.timers.run(m.ctx, m.now) })
	m.work.Go(func() { m.mind(m.ctx, m.disk) })
	return nil
}

// Status is the state of the consensus as this node sees it.
func (m *Member) Status() consensus.Status { return m.group.Status() }

// Registered returns a channel that is closed when the topology knows this process.
func (m *Member) Registered() <-chan struct{} { return m.part }

// Failed returns a channel that is closed when the consensus has ended, and can't go on.
func (m *Member) Failed() <-chan struct{} { return m.group.Done() }

// file is where the node keeps who it is.
func (m *Member) file() identityFile {
	return identityFile{m.o.FS, path.Join(m.o.StoragePath, "peer.json")}
}

// joins tells whether the node is to join a cluster rather than found one.
func (m *Member) joins() bool { return m.o.Bootstrap != "" && m.o.Bootstrap != m.o.URI }

// Close hands nothing over: see Leave. It stops everything and closes all copies after a last
// checkpoint.
func (m *Member) Close() error {
	m.stop()
	m.work.Wait()
	m.mu.Lock()
	open := m.replicas
	m.replicas = map[topology.ShardName]*replica{}
	m.mu.Unlock()
	var errs []error
	for _, r := range open {
		errs = append(errs, r.close())
	}
	if m.group != nil {
		errs = append(errs, m.group.Close())
	}
	if m.exports != nil {
		m.exports.Close()
	}
	if m.pool != nil {
		m.pool.Close()
	}
	if m.data != nil {
		errs = append(errs, m.data.Close())
	}
	return errors.Join(errs...)
}

// now implements surroundings.
func (m *Member) now() replication.Now { return time.Since(m.begun) }

// State returns the newest topology that this node knows. It is never changed.
func (m *Member) State() *topology.State { return m.machine.Now().State }

// Behind tells whether this node hasn't heard yet of all that was agreed on when it came to its cluster: who
// joins is registered by others before the first of it arrives. One that comes back knows what it knew.
func (m *Member) Behind() bool {
	if at := m.registered.Load(); at > 0 {
		return m.machine.Now().Index < at
	}
	return m.newcomer
}

// Follow returns a reader of what changes in it.
func (m *Member) Follow() *feed.Reader { return m.machine.Follow() }

// Change has a command applied by the consensus, and waits until it is applied here; not for ever,
// also when ctx has no end: without a majority nobody agrees to anything.
func (m *Member) Change(ctx context.Context, cmd topology.Command) (changed bool, err error) {
	if m.turnedAway.Load() {
		return false, m.removed()
	}
	data, err := topology.EncodeCommand(cmd)
	if err != nil {
		return false, err
	}
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = within(ctx, changeTime)
		defer cancel()
	}
	result, _, err := m.group.Propose(ctx, data)
	if err != nil {
		return false, err
	}
	out, ok := result.(outcome)
	if !ok {
		return false, fmt.Errorf("the consensus answered %T to a command", result)
	}
	return out.changed, out.err
}
