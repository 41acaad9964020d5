package member

import (
	"time"

	"github.com/sextantdb/sextant/cluster/consensus"
)

// electionTime is how long the consensus may be without a leader's message before it elects
// another.
func (m *Member) electionTime() time.Duration {
	tick := m.o.Tick
	if tick <= 0 {
		tick = consensus.DefaultTickInterval
	}
	return consensus.DefaultElectionTicks * tick
}
