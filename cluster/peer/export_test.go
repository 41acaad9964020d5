package peer

// OpenLanes is how many lanes are open.
func OpenLanes(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.open
}
