package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/sextantdb/sextant/cluster/topology"
)

// copyState is how a copy stands at a pass.
type copyState struct {
	topology.Replica
	// at is the place of its node, -1 when that doesn't exist.
	at int
	// inSync says that it has all data, seated that its node is there, too.
	inSync, seated bool
	// gone says that its node isn't expected back; leaving that (or a drain); staying is
	// the opposite of leaving.
	gone, leaving, staying bool
	// filling says that a transfer goes to it.
	filling bool
}

// shardState is a shard as the repair sees it.
type shardState struct {
	*job
	want   int
	rule   Rule
	pinned bool
	copies []copyState
	// staying, leaving and seated count copies; seated only those that stay.
	staying, leaving, seated int
	// foreign says that copies of other kinds are there, which others care for.
	foreign bool
}

// look works out how the copies of a shard stand.
func (p *pass) look(j *job) shardState {
	s := shardState{job: j, copies: p.t.copies[:0]}
	s.want, s.rule = wanted(j.col, j.shard.ID)
	for _, r := range j.shard.Replicas {
		s.foreign = s.foreign || r.Kind == topology.Resharding
		c := copyState{Replica: r, at: p.t.find(r.Peer), inSync: j.shard.IsInSync(r.Peer)}
		c.filling = slices.ContainsFunc(j.transfers, func(t Transfer) bool { return t.To == r.Peer })
		if c.at < 0 {
			c.gone, c.leaving = true, true
		} else {
			n := &p.t.peers[c.at]
			c.seated = c.inSync && !n.fenced
			c.gone = n.dead || n.lost && !c.inSync && r.Kind == topology.Joining
			c.leaving = c.gone || n.draining
		}
		c.staying = !c.leaving
		s.copies = append(s.copies, c)
		if r.Kind == topology.Listener {
			continue
		}
		switch {
		case c.leaving:
			s.leaving++
		default:
			s.staying++
			if c.seated {
				s.seated++
			}
		}
	}
	p.t.copies = s.copies
	if s.pinned = p.view.Wall < s.rule.PinnedUntil; s.pinned {
		// As the user left it: what is gone is replaced, nothing else.
		if s.staying >= s.want {
			s.want = s.staying
		} else {
			s.want = min(s.want, s.staying+s.leaving)
		}
	}
	return s
}

// count returns the seated, staying copies without one of them.
func (s *shardState) seatedWithout(c *copyState) int {
	if c.seated && c.staying {
		return s.seated - 1
	}
	return s.seated
}

// repair does at most one thing about a shard.
func (p *pass) repair(j *job) {
	s := p.look(j)
	if s.seated < s.want {
		p.c.status.Short++
	}
	if j.shard.Leader == 0 {
		p.c.status.Leaderless++
	}
	if len(j.transfers) > 0 && !j.transfers[0].Move {
		p.c.hurt = p.c.now
	}
	if s.leaving > 0 {
		p.c.hurt = p.c.now
	}
	if _, busy := p.c.memory.underWay(p.c.now, j.name(), j.shard); busy || p.full() {
		return
	}
	if p.electFor(&s) || s.foreign || slices.ContainsFunc(j.transfers, func(t Transfer) bool { return t.Points }) {
		return
	}
	if p.abort(&s) || p.handAway(&s) || len(j.transfers) > 0 {
		return
	}
	if p.fillJoining(&s) {
		return
	}
	if s.staying < s.want && p.add(&s) {
		return
	}
	p.drop(&s, false)
}

// electFor asks for a leader, when the shard has none and could have one.
func (p *pass) electFor(s *shardState) bool {
	if s.shard.Leader != 0 {
		if i := p.t.find(s.shard.Leader); i >= 0 && !p.t.peers[i].fenced {
			return false
		}
	}
	for i := range s.copies {
		if c := &s.copies[i]; c.seated && c.Kind == topology.Voter {
			p.elect.Shards = append(p.elect.Shards, s.name())
			p.elect.Reason = "no leader, but a copy that can lead"
			p.remember(s.job, p.elect)
			return true
		}
	}
	p.blocked(s.job, "no leader: no copy with all data is there")
	return true
}

// abort ends a transfer that can't or needn't go on.
func (p *pass) abort(s *shardState) bool {
	for _, t := range s.transfers {
		if why := p.whyAbort(s, t); why != "" {
			p.do(s.job, Abort{Shard: s.name(), From: t.From, To: t.To, Reason: why})
			return true
		}
	}
	return false
}

func (p *pass) whyAbort(s *shardState, t Transfer) Reason {
	since := p.c.memory.moving(p.c.now, copyName{shard: s.name(), peer: t.To})
	from, to := p.t.find(t.From), p.t.find(t.To)
	switch {
	case from < 0 || p.t.peers[from].lost:
		return Reason(fmt.Sprintf("peer %d, which has the data, is gone", t.From))
	case to < 0 || p.t.peers[to].lost:
		return Reason(fmt.Sprintf("peer %d, which gets the data, is gone", t.To))
	case p.c.now >= since+p.c.opt.TransferStall:
		return Reason("no progress for " + p.c.opt.TransferStall.String())
	case t.ByUser:
		return ""
	case p.t.peers[to].draining:
		return Reason(fmt.Sprintf("peer %d is being drained", t.To))
	case !t.Move && s.seated >= s.want && !s.pinned:
		return "enough copies are in sync again"
	}
	p.c.passAt(since + p.c.opt.TransferStall)
	return ""
}

// handAway hands the leadership of a draining node over, before its copy goes.
func (p *pass) handAway(s *shardState) bool {
	i := p.t.find(s.shard.Leader)
	if i < 0 || !p.t.peers[i].draining {
		return false
	}
	return p.handOver(s, Reason(fmt.Sprintf("peer %d is being drained", s.shard.Leader)))
}

// handOver asks the leader to hand over to the best of the copies that stay. It is false
// when there is none, or it has been tried often enough.
func (p *pass) handOver(s *shardState, why Reason) bool {
	best := -1
	for i := range s.copies {
		c := &s.copies[i]
		if !c.seated || !c.staying || c.Kind != topology.Voter || c.Peer == s.shard.Leader || p.t.peers[c.at].slow {
			continue
		}
		k := copyName{shard: s.name(), peer: c.Peer, lead: true}
		if p.c.memory.attempts[k].n >= p.c.opt.Tries {
			continue
		}
		if best < 0 || p.better(s.shard, c, &s.copies[best]) {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	k := copyName{shard: s.name(), peer: s.copies[best].Peer, lead: true}
	if p.c.memory.mayTry(p.c.now, k) {
		p.hand(s.job, s.copies[best].Peer, why)
	} else {
		p.c.passAt(p.c.memory.attempts[k].next)
	}
	return true
}

// better tells whether a should lead rather than b.
func (p *pass) better(sh *topology.Shard, a, b *copyState) bool {
	if a.Peer == sh.Preferred || b.Peer == sh.Preferred {
		return a.Peer == sh.Preferred
	}
	return p.t.peers[a.at].leads < p.t.peers[b.at].leads
}

func (p *pass) hand(j *job, to topology.PeerID, why Reason) {
	p.c.memory.try(p.c.now, copyName{shard: j.name(), peer: to, lead: true}, &p.c.opt)
	p.countHand(j.shard.Leader, to)
	p.do(j, Hand{Shard: j.name(), Epoch: j.shard.Epoch, From: j.shard.Leader, To: to, Reason: why})
}

// fillJoining sees to copies that are to be filled and that nobody fills: their transfer
// failed, or their disk was lost.
func (p *pass) fillJoining(s *shardState) bool {
	for i := range s.copies {
		c := &s.copies[i]
		if c.Kind != topology.Joining || c.inSync || c.filling || c.leaving || p.t.peers[c.at].fenced {
			continue
		}
		k := copyName{shard: s.name(), peer: c.Peer}
		tried := p.c.memory.attempts[k]
		switch {
		case s.seated >= s.want && s.staying > s.want:
			p.do(s.job, Drop{Shard: s.name(), Peer: c.Peer, Reason: "it isn't filled, and not needed any more"})
		case tried.n >= p.c.opt.Tries:
			p.do(s.job, Drop{Shard: s.name(), Peer: c.Peer, Reason: Reason(fmt.Sprintf("it couldn't be filled %d times", tried.n))})
		case p.c.now < tried.next:
			p.c.passAt(tried.next)
			return true
		default:
			from := p.source(s)
			if from < 0 || p.t.peers[c.at].in >= p.c.opt.TransfersIn {
				return true
			}
			p.replicate(s, from, c.at, false, "the copy is to be filled and nobody fills it")
		}
		return true
	}
	return false
}

// source returns which copy is to be copied, -1 when none can be now. A draining node's
// comes first (it is moved), then one that doesn't lead.
func (p *pass) source(s *shardState) int {
	best, least := -1, [3]int{}
	for i := range s.copies {
		c := &s.copies[i]
		if !c.seated || c.Kind != topology.Voter || p.t.peers[c.at].out >= p.c.opt.TransfersOut {
			continue
		}
		rank := [3]int{1, 0, p.t.peers[c.at].out}
		if c.leaving {
			rank[0] = 0
		}
		if c.Peer == s.shard.Leader {
			rank[1] = 1
		}
		if best < 0 || slices.Compare(rank[:], least[:]) < 0 {
			best, least = i, rank
		}
	}
	return best
}

// replicate starts a transfer from a copy to the node at a place.
func (p *pass) replicate(s *shardState, from, to int, move bool, why Reason) {
	source, target := s.copies[from].Peer, p.t.peers[to].id
	p.c.memory.try(p.c.now, copyName{shard: s.name(), peer: target}, &p.c.opt)
	_, has := s.shard.Replica(target)
	p.countTransfer(source, target, move, !has)
	p.do(s.job, Replicate{Shard: s.name(), From: source, To: target, Move: move, Reason: why})
}

// add plans another copy. It is false when there is nothing to be done about it now.
func (p *pass) add(s *shardState) bool {
	draining := -1
	for i := range s.copies {
		if c := &s.copies[i]; c.leaving && !c.gone {
			draining = i
		}
	}
	if p.c.opt.NoRereplication && draining < 0 {
		return false
	}
	to, possible := p.choose(s)
	if to < 0 && possible {
		return false // as soon as a node has a hand free
	}
	if to < 0 {
		p.blocked(s.job, Reason(fmt.Sprintf("%d of %d copies: no other peer can take one", s.staying, s.want)))
		return draining >= 0 && p.drop(s, true)
	}
	from := p.source(s)
	if from < 0 {
		if s.seated == 0 {
			p.blocked(s.job, Reason(fmt.Sprintf("%d of %d copies: none that has all data is there", s.staying, s.want)))
		}
		return false
	}
	p.c.hurt = p.c.now
	move := s.copies[from].leaving
	p.replicate(s, from, to, move, p.whyAdd(s, move, s.copies[from].Peer))
	return true
}

func (p *pass) whyAdd(s *shardState, move bool, from topology.PeerID) Reason {
	if move {
		return Reason(fmt.Sprintf("peer %d is being drained", from))
	}
	for i := range s.copies {
		c := &s.copies[i]
		switch {
		case c.gone && c.at < 0:
			return Reason(fmt.Sprintf("peer %d was removed", c.Peer))
		case c.gone:
			return p.whyGone(c)
		case c.leaving:
			return Reason(fmt.Sprintf("peer %d is being drained", c.Peer))
		}
	}
	return Reason(fmt.Sprintf("%d of %d copies", s.staying, s.want))
}

func (p *pass) whyGone(c *copyState) Reason {
	return Reason(fmt.Sprintf("peer %d has been gone for %s", c.Peer, (p.c.now - p.c.nodes[c.Peer].gone).Round(time.Second)))
}

// choose returns the best node for another copy, -1 when there is none now. possible
// says that there may be one later without another node joining.
func (p *pass) choose(s *shardState) (best int, possible bool) {
	best = -1
	var least [5]int
	pool := p.poolThere(s)
	for i := range p.t.peers {
		n := &p.t.peers[i]
		_, has := s.shard.Replica(n.id)
		if has || s.pinned && n.id == s.rule.Avoid || pool && !slices.Contains(s.rule.Pool, n.id) {
			continue
		}
		if !n.open {
			possible = possible || n.away && !n.draining
			continue
		}
		possible = true
		k := copyName{shard: s.name(), peer: n.id}
		if n.in >= p.c.opt.TransfersIn || !p.c.memory.mayTry(p.c.now, k) {
			continue
		}
		rank := p.rank(s, i)
		if best < 0 || slices.Compare(rank[:], least[:]) < 0 {
			best, least = i, rank
		}
	}
	return best, possible
}

// poolThere tells whether a node of the user's choice could take a copy: then it is one
// of those, if not now then later.
func (p *pass) poolThere(s *shardState) bool {
	return slices.ContainsFunc(s.rule.Pool, func(id topology.PeerID) bool {
		i := p.t.find(id)
		if i < 0 || !p.t.peers[i].open {
			return false
		}
		_, has := s.shard.Replica(id)
		return !has
	})
}

// rank says how well a node suits a shard, lower is better: copies in its zone, copies
// far from it, what it has.
func (p *pass) rank(s *shardState, node int) [5]int {
	n := &p.t.peers[node]
	return [5]int{p.inZone(s, -1, node), p.far(s, -1, node), n.replicas, n.leads, node}
}

// inZone counts the staying copies in a node's zone; the copy at the place without
// doesn't count.
func (p *pass) inZone(s *shardState, without, node int) int {
	count := 0
	for i := range s.copies {
		if c := &s.copies[i]; c.staying && i != without && p.t.peers[c.at].zone == p.t.peers[node].zone {
			count++
		}
	}
	return count
}

// far counts the staying copies that aren't near to a node.
func (p *pass) far(s *shardState, without, node int) int {
	if p.t.order.Everywhere() {
		return 0
	}
	count := 0
	for i := range s.copies {
		if c := &s.copies[i]; c.staying && i != without && !p.t.order.Near(c.Peer, p.t.peers[node].id) {
			count++
		}
	}
	return count
}

// drop removes a copy that is too many. shrunk says that no node can take the copy of one
// that is being drained: then the others have to do.
func (p *pass) drop(s *shardState, shrunk bool) bool {
	best, most := -1, [5]int{}
	for i := range s.copies {
		rank := p.dropRank(s, &s.copies[i], shrunk)
		if rank[0] > 0 && (best < 0 || slices.Compare(rank[:], most[:]) > 0) {
			best, most = i, rank
		}
	}
	if best < 0 {
		return false
	}
	c := &s.copies[best]
	why := p.whyDrop(s, c, shrunk)
	if c.seated && c.Peer == s.shard.Leader && p.handOver(s, why) {
		return true
	}
	if c.at >= 0 && c.Kind != topology.Listener {
		p.t.peers[c.at].replicas--
	}
	p.do(s.job, Drop{Shard: s.name(), Peer: c.Peer, Reason: why})
	return true
}

// dropRank says how gladly a copy is dropped; what begins with 0 stays.
func (p *pass) dropRank(s *shardState, c *copyState, shrunk bool) [5]int {
	others := s.seatedWithout(c)
	lastSeat := c.inSync && len(s.shard.InSync) == 1
	enough := others >= s.want || shrunk && others >= 1 && s.seated == s.staying
	switch {
	case lastSeat || c.filling:
		return [5]int{}
	case c.at < 0 && (!c.inSync || others > 0):
		return [5]int{6}
	case c.leaving && !c.inSync && c.Kind == topology.Joining:
		return [5]int{5}
	case c.Kind == topology.Listener && c.leaving && !c.gone:
		return [5]int{4}
	case c.Kind == topology.Listener || !enough:
		return [5]int{}
	case c.gone && (!p.c.opt.NoRereplication || c.at >= 0 && p.t.peers[c.at].draining):
		return [5]int{4}
	case c.leaving && !c.gone:
		return [5]int{3}
	case s.staying <= s.want || p.c.opt.NoRereplication:
		return [5]int{}
	case !c.seated:
		return [5]int{2, p.t.peers[c.at].replicas}
	}
	rank := [5]int{1, p.inZone(s, -1, c.at), 1, 1, p.t.peers[c.at].replicas}
	if c.Peer == s.shard.Preferred {
		rank[2] = 0
	}
	if c.Peer == s.shard.Leader {
		rank[3] = 0
	}
	return rank
}

func (p *pass) whyDrop(s *shardState, c *copyState, shrunk bool) Reason {
	switch {
	case c.at < 0:
		return Reason(fmt.Sprintf("peer %d was removed", c.Peer))
	case c.gone:
		return p.whyGone(c)
	case shrunk:
		return Reason(fmt.Sprintf("peer %d is being drained, and no other can take a copy", c.Peer))
	case c.leaving:
		return Reason(fmt.Sprintf("peer %d is being drained", c.Peer))
	default:
		return Reason(fmt.Sprintf("%d copies, %d are wanted", s.staying+s.leaving, s.want))
	}
}
