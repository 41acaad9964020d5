package member

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sextantdb/sextant/cluster/replication"
	"github.com/sextantdb/sextant/cluster/topology"
)

// A record of a shard's log (docs/format/entry.md) is the kind of the entry, then as unsigned
// varints the operation's peer, incarnation and counter, then the body. Position and checksums
// are the log's.

// maxRecordHead is the most that comes before the body.
const maxRecordHead = 1 + 3*binary.MaxVarintLen64

var errRecord = errors.New("record of a shard's log can't be read")

// appendRecord appends an entry as a record to dst.
func appendRecord(dst []byte, e *replication.Entry) []byte {
	dst = append(dst, byte(e.Kind))
	dst = binary.AppendUvarint(dst, uint64(e.Op.Peer))
	dst = binary.AppendUvarint(dst, e.Op.Incarnation)
	dst = binary.AppendUvarint(dst, e.Op.Counter)
	return append(dst, e.Body...)
}

// readRecord reads an entry from a record; the body is a part of data.
func readRecord(pos replication.Position, data []byte) (replication.Entry, error) {
	e := replication.Entry{Position: pos}
	if len(data) == 0 || data[0] < byte(replication.Data) || data[0] > byte(replication.Checksum) {
		return e, fmt.Errorf("%w: entry %d: unknown kind", errRecord, pos.Seq)
	}
	e.Kind = replication.EntryKind(data[0])
	rest := data[1:]
	var fields [3]uint64
	for i := range fields {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return e, fmt.Errorf("%w: entry %d: cut off", errRecord, pos.Seq)
		}
		fields[i], rest = v, rest[n:]
	}
	e.Op = replication.OpID{Peer: topology.PeerID(fields[0]), Incarnation: fields[1], Counter: fields[2]}
	e.Body = rest
	return e, nil
}
