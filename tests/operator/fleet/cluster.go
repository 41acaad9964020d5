package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// cluster is what a consensus has agreed on, and how far each copy is. It goes on in steps:
// nothing here waits, and the same steps have the same outcome.
type cluster struct {
	id     string
	term   uint64
	commit uint64
	leader uint64
	// members are by peer, shards in the order they were made.
	members map[uint64]*member
	shards  []*shard
	// lost is what must not be lost.
	lost []string
}

type member struct {
	uri              string
	fenced, draining bool
	// silent is how many steps on end it didn't take part.
	silent int
}

// pod is the name of the pod in which the member's node runs.
func (m *member) pod() string {
	name, _, _ := strings.Cut(hostOf(m.uri), ".")
	return name
}

type shard struct {
	collection string
	number     int
	factor     int
	leader     uint64
	epoch      uint64
	copies     map[uint64]*replica
	inSync     map[uint64]bool
	// length is how many writes are acknowledged.
	length            uint64
	unread, unwritten int
}

// replica is one copy.
type replica struct {
	length uint64
	// wait is how many steps it still needs, once there is someone to copy from.
	wait int
	// instead is the peer whose copy goes when this one is complete.
	instead uint64
}

func (s *shard) String() string { return fmt.Sprintf("shard %d of %s", s.number, s.collection) }

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// peers lists the members in order.
func (c *cluster) peers() []uint64 { return slices.Sorted(maps.Keys(c.members)) }

func (c *cluster) has(peer uint64) (n int) {
	for _, s := range c.shards {
		if s.copies[peer] != nil {
			n++
		}
	}
	return n
}

func (c *cluster) leads(peer uint64) (n int) {
	for _, s := range c.shards {
		if s.leader == peer {
			n++
		}
	}
	return n
}

// quorum tells whether something can be agreed on.
func (c *cluster) quorum(alive map[uint64]bool) bool { return 2*len(alive) > len(c.members) }

var errNoQuorum = errors.New("no majority of the nodes can be reached, so nothing can be agreed on")

// step lets the cluster go on.
func (c *cluster) step(alive map[uint64]bool) {
	if !c.quorum(alive) {
		c.leader = 0
		return
	}
	if !alive[c.leader] {
		c.term++
		c.leader = slices.Min(slices.Collect(maps.Keys(alive)))
	}
	for peer, m := range c.members {
		if alive[peer] {
			m.silent, m.fenced = 0, false
		} else if m.silent++; m.silent >= fenceAfter && !m.fenced {
			m.fenced = true
			c.commit++
		}
	}
	for _, s := range c.shards {
		s.elect(alive)
		s.catchUp(alive)
	}
	for _, s := range c.shards {
		c.place(s, alive)
	}
	c.balance(alive)
}

// elect has a copy in sync lead that is there, and takes those out of sync that aren't.
func (s *shard) elect(alive map[uint64]bool) {
	if !alive[s.leader] || !s.inSync[s.leader] {
		s.leader = 0
		for _, peer := range slices.Sorted(maps.Keys(s.inSync)) {
			if alive[peer] {
				s.leader = peer
				s.epoch++
				break
			}
		}
	}
	if s.leader == 0 {
		return
	}
	for peer := range s.inSync {
		if !alive[peer] {
			delete(s.inSync, peer)
			if r := s.copies[peer]; r != nil {
				r.wait = catchUp
			}
		}
	}
}

// catchUp brings copies into sync.
func (s *shard) catchUp(alive map[uint64]bool) {
	if s.leader == 0 {
		return
	}
	for _, peer := range slices.Sorted(maps.Keys(s.copies)) {
		r := s.copies[peer]
		if r == nil || s.inSync[peer] || !alive[peer] {
			continue
		}
		if r.wait > 0 {
			r.wait--
			continue
		}
		r.length = s.length
		s.inSync[peer] = true
		if r.instead != 0 && r.instead != peer {
			s.drop(r.instead)
		}
		r.instead = 0
	}
}

// drop takes a copy away.
func (s *shard) drop(peer uint64) {
	delete(s.copies, peer)
	delete(s.inSync, peer)
	if s.leader == peer {
		s.leader = 0
	}
}

// filling tells whether a copy is under way.
func (s *shard) filling() bool {
	for peer := range s.copies {
		if !s.inSync[peer] {
			return true
		}
	}
	return false
}

// add has another copy made.
func (s *shard) add(peer, instead uint64) { s.copies[peer] = &replica{wait: fill, instead: instead} }

// usable lists who may have copies, those with the fewest first.
func (c *cluster) usable(alive map[uint64]bool) []uint64 {
	var all []uint64
	for _, peer := range c.peers() {
		if m := c.members[peer]; alive[peer] && !m.draining && !m.fenced {
			all = append(all, peer)
		}
	}
	slices.SortStableFunc(all, func(a, b uint64) int { return cmp.Compare(c.has(a), c.has(b)) })
	return all
}

// place has copies where they should be: off nodes that are drained, and as many as there should be.
func (c *cluster) place(s *shard, alive map[uint64]bool) {
	if s.leader == 0 || s.filling() && s.transfers() {
		return
	}
	free := slices.DeleteFunc(c.usable(alive), func(peer uint64) bool { return s.copies[peer] != nil })
	for _, peer := range slices.Sorted(maps.Keys(s.copies)) {
		if m := c.members[peer]; m == nil || !m.draining || !alive[peer] {
			continue
		}
		staying := 0
		for other := range s.inSync {
			if m := c.members[other]; m != nil && !m.draining {
				staying++
			}
		}
		switch {
		case len(free) > 0:
			s.add(free[0], peer)
			return
		case staying > 0:
			s.drop(peer)
			return
		}
	}
	counted := 0
	for peer := range s.copies {
		if m := c.members[peer]; m != nil && !m.fenced {
			counted++
		}
	}
	if counted < s.factor && len(free) > 0 && len(s.copies) < s.factor {
		s.add(free[0], 0)
	}
}

// transfers tells whether a copy is being made that wasn't there before.
func (s *shard) transfers() bool {
	for _, r := range s.copies {
		if r.instead != 0 {
			return true
		}
	}
	return false
}

// balance moves a copy from who has most to who has fewest.
func (c *cluster) balance(alive map[uint64]bool) {
	order := c.usable(alive)
	if len(order) < 2 || len(order) < len(c.members) {
		return
	}
	few, most := order[0], order[len(order)-1]
	if c.has(most)-c.has(few) < 2 {
		return
	}
	for _, s := range c.shards {
		if s.transfers() || s.filling() {
			return
		}
	}
	for _, s := range c.shards {
		if s.copies[most] != nil && s.copies[few] == nil {
			s.add(few, most)
			return
		}
	}
}

// serve reads and writes every shard once.
func (c *cluster) serve(alive map[uint64]bool, load *Load) {
	for _, s := range c.shards {
		read, silent := false, false
		for peer := range s.inSync {
			read = read || alive[peer]
			silent = silent || !alive[peer]
		}
		s.unread++
		if read {
			s.unread = 0
		}
		s.unwritten++
		if alive[s.leader] && s.inSync[s.leader] && !silent {
			s.unwritten = 0
			load.Acknowledged++
			s.length++
			for peer := range s.inSync {
				s.copies[peer].length = s.length
			}
		}
		load.Unread, load.Unwritten = max(load.Unread, s.unread), max(load.Unwritten, s.unwritten)
	}
}

// create makes a collection.
func (c *cluster) create(name string, shards, factor int, alive map[uint64]bool) error {
	if !c.quorum(alive) {
		return errNoQuorum
	}
	for number := range shards {
		s := &shard{collection: name, number: number, factor: factor, copies: map[uint64]*replica{}, inSync: map[uint64]bool{}, epoch: 1, length: 100}
		c.shards = append(c.shards, s)
		for _, peer := range c.usable(alive) {
			if len(s.copies) == factor {
				break
			}
			s.copies[peer] = &replica{length: s.length}
			s.inSync[peer] = true
			s.leader = cmp.Or(s.leader, peer)
		}
	}
	return nil
}

// incomplete tells what is missing, empty is nothing.
func (c *cluster) incomplete() string {
	for _, s := range c.shards {
		want := min(s.factor, len(c.members))
		if s.leader == 0 || len(s.inSync) < want || len(s.copies) != len(s.inSync) {
			return fmt.Sprintf("%s has %d copies in sync of %d, %d are wanted, leader %d", s, len(s.inSync), len(s.copies), want, s.leader)
		}
		for peer := range s.inSync {
			if s.copies[peer].length != s.length {
				return fmt.Sprintf("%s has %d writes on %d, %d were acknowledged", s, s.copies[peer].length, peer, s.length)
			}
		}
	}
	return ""
}

// emptied forgets what a peer has, and lists the shards of which it had the last complete copy.
func (c *cluster) emptied(peer uint64) (lost []string) {
	for _, s := range c.shards {
		r := s.copies[peer]
		if r == nil {
			continue
		}
		if s.lastOn(peer) {
			lost = append(lost, s.String())
		}
		*r = replica{wait: fill, instead: r.instead}
		delete(s.inSync, peer)
	}
	return lost
}

// lastOn tells whether no other copy has all that is acknowledged.
func (s *shard) lastOn(peer uint64) bool {
	r := s.copies[peer]
	if r == nil || s.length == 0 || r.length < s.length {
		return false
	}
	for other, o := range s.copies {
		if other != peer && o.length == s.length {
			return false
		}
	}
	return true
}

// remove takes a member out.
func (c *cluster) remove(peer uint64, force bool, alive map[uint64]bool) error {
	m := c.members[peer]
	switch {
	case m == nil:
		return fmt.Errorf("peer %d does not exist", peer)
	case !c.quorum(alive):
		return errNoQuorum
	case !force && c.has(peer) > 0:
		return fmt.Errorf("cannot remove peer %d as there are shards on it", peer)
	}
	for _, s := range c.shards {
		if s.lastOn(peer) {
			c.lost = append(c.lost, fmt.Sprintf("%s was removed with the last complete copy of %s", m.uri, s))
		}
		s.drop(peer)
	}
	delete(c.members, peer)
	c.commit++
	if c.leader == peer {
		c.leader = 0
	}
	return nil
}

// handOver has a member lead nothing any more.
func (c *cluster) handOver(peer, to uint64, alive map[uint64]bool) error {
	if !c.quorum(alive) {
		return errNoQuorum
	}
	for _, s := range c.shards {
		if s.leader != peer {
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(s.inSync)) {
			if other != peer && alive[other] {
				s.leader = other
				s.epoch++
				break
			}
		}
	}
	if c.leader != peer {
		return nil
	}
	for _, other := range append([]uint64{to}, c.peers()...) {
		if other != peer && alive[other] {
			c.leader = other
			c.term++
			break
		}
	}
	return nil
}

// join makes a new member. One that had the same address before is gone: the new one takes its
// place, with copies that are still empty.
func (c *cluster) join(peer uint64, uri string, alive map[uint64]bool) error {
	if !c.quorum(alive) {
		return errNoQuorum
	}
	for old, m := range c.members {
		if hostOf(m.uri) != hostOf(uri) {
			continue
		}
		for _, s := range c.shards {
			if s.copies[old] == nil {
				continue
			}
			if s.lastOn(old) {
				c.lost = append(c.lost, fmt.Sprintf("%s joined anew, and the last complete copy of %s is gone", uri, s))
			}
			s.drop(old)
			s.add(peer, 0)
		}
		delete(c.members, old)
	}
	c.members[peer] = &member{uri: uri}
	c.commit++
	return nil
}
