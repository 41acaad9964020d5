package replication_test

import (
	"fmt"
	"strings"

	"github.com/sextantdb/sextant/cluster/replication"
)

// text is an effect that is printed if somebody looks.
type text struct{ of any }

func (t text) String() string {
	switch v := t.of.(type) {
	case *replication.DiskEffect:
		return diskText(v)
	case *replication.Envelope:
		return messageText(v)
	case *replication.Alter:
		return alterText(v)
	}
	return "?"
}

func diskText(d *replication.DiskEffect) string {
	switch {
	case len(d.Append) > 0:
		var b strings.Builder
		for _, e := range d.Append {
			fmt.Fprintf(&b, " %d.%d", e.Epoch, e.Seq)
			if e.Kind == replication.Barrier {
				b.WriteString("(barrier)")
			}
		}
		return fmt.Sprintf("disk #%d append%s", d.Number, b.String())
	case d.Truncate:
		return fmt.Sprintf("disk #%d cut after %d", d.Number, d.TruncateAfter)
	case d.History != 0:
		return fmt.Sprintf("disk #%d epoch %d history %d", d.Number, d.Epoch, d.History)
	}
	return fmt.Sprintf("disk #%d epoch %d", d.Number, d.Epoch)
}

func positionText(p replication.Position) string { return fmt.Sprintf("%d.%d", p.Epoch, p.Seq) }

func messageText(e *replication.Envelope) string {
	s := fmt.Sprintf("to %d, epoch %d: ", e.To, e.Epoch)
	switch m := e.Message.(type) {
	case replication.Hello:
		s += fmt.Sprintf("Hello history %d first %d last %s applied %d epochs", m.History, m.First, positionText(m.Last), m.Applied)
		var b strings.Builder
		for _, ep := range m.Epochs {
			fmt.Fprintf(&b, " %d@%d", ep.Epoch, ep.First)
		}
		s += b.String()
	case replication.Welcome:
		s += fmt.Sprintf("Welcome at %s commit %d barrier %d", positionText(m.At), m.Commit, m.Barrier)
	case replication.TakeFiles:
		s += fmt.Sprintf("TakeFiles history %d first %d", m.History, m.First)
	case replication.Refused:
		s += fmt.Sprintf("Refused epoch %d", m.Epoch)
	case replication.Append:
		s += "Append behind " + positionText(m.Prev)
		if m.First <= m.Last {
			s += fmt.Sprintf(" entries %d-%d", m.First, m.Last)
		}
		s += fmt.Sprintf(" commit %d visible %d", m.Commit, m.Visible)
	case replication.Appended:
		s += fmt.Sprintf("Appended durable %d applied %d", m.Durable, m.Applied)
		if m.Gap {
			s += " gap"
		}
		if m.Full {
			s += " full"
		}
	case replication.Confirm:
		s += fmt.Sprintf("Confirm %d", m.Round)
	case replication.Confirmed:
		s += fmt.Sprintf("Confirmed %d", m.Round)
	}
	return s
}

func alterText(a *replication.Alter) string {
	s := fmt.Sprintf("alter epoch %d version %d in sync %v", a.Epoch, a.Version, a.InSync)
	if a.Leader != 0 {
		s += fmt.Sprintf(" leader %d", a.Leader)
	}
	if len(a.Allocs) > 0 {
		s += fmt.Sprintf(" allocs %v", a.Allocs)
	}
	return s
}

func reasonText(r replication.Reason) string {
	names := [...]string{"", "not leader", "too few in sync", "overloaded", "disk full", "lost leadership", "too old"}
	return names[r]
}
