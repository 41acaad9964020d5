package coordinator

// OpenOwn opens the topology and the shards of a node alone, for tests that put
// something between them and the front desk.
func OpenOwn(o Options) (Topology, Shards, error) {
	c := &Coordinator{opts: o}
	err := c.openOwn()
	return c.topology, c.shards, err
}

// Settle waits until what is open is in line with the topology.
func (c *Coordinator) Settle() { c.settle() }

// Waited tells whether somebody waits for the caretaker's next round.
func (c *Coordinator) Waited() bool {
	c.care.mu.Lock()
	defer c.care.mu.Unlock()
	return c.care.next != nil
}
