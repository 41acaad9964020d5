package simulation

import (
	"fmt"
	"strings"

	"github.com/sextantdb/sextant/cluster/replication"
)

// tellStep tells what a copy was told and what it does.
func (w *world) tellStep(r *replica, ev replication.Event, fx *replication.Effects) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d shard %d: %s →", r.p.n.id, r.p.inc, r.name.Shard, eventText(ev))
	for i := range fx.Disk {
		switch d := &fx.Disk[i]; {
		case d.Truncate:
			fmt.Fprintf(&b, " cut after %d", d.TruncateAfter)
		case d.Epoch != 0:
			fmt.Fprintf(&b, " store epoch %d history %d", d.Epoch, d.History)
		default:
			fmt.Fprintf(&b, " append %d.%d…%d", d.Append[0].Epoch, d.Append[0].Seq, d.Append[len(d.Append)-1].Seq)
		}
	}
	for i := range fx.Messages {
		e := &fx.Messages[i]
		fmt.Fprintf(&b, " [to %d epoch %d %T%+v]", e.To, e.Epoch, e.Message, e.Message)
	}
	if fx.Commit != 0 {
		fmt.Fprintf(&b, " commit %d", fx.Commit)
	}
	if fx.Visible != 0 {
		fmt.Fprintf(&b, " visible %d", fx.Visible)
	}
	for _, a := range fx.Alter {
		fmt.Fprintf(&b, " alter epoch %d version %d to %v leader %d", a.Epoch, a.Version, a.InSync, a.Leader)
	}
	if len(fx.Took)+len(fx.Rejected)+len(fx.ReadReady) > 0 {
		fmt.Fprintf(&b, " took %v rejected %v ready %v", fx.Took, fx.Rejected, fx.ReadReady)
	}
	w.trace("%s", b.String())
}

func eventText(ev replication.Event) string {
	switch ev := ev.(type) {
	case replication.Received:
		return fmt.Sprintf("from %d/%d epoch %d %T%+v", ev.From, ev.FromIncarnation, ev.Epoch, ev.Message, ev.Message)
	case replication.ConfigChanged:
		c := ev.Config
		return fmt.Sprintf("record version %d epoch %d history %d leader %d in sync %v copies %v fenced %v processes %v",
			c.Version, c.Epoch, c.History, c.Leader, c.InSync, c.Replicas, c.Fenced, c.Incarnations)
	default:
		return fmt.Sprintf("%T%+v", ev, ev)
	}
}
