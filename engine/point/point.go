// Package point holds the identity of a point: a number or a UUID, with the
// order in which the public API lists them (all numbers before all UUIDs).
//
// It is imported by nearly every engine package and by the cluster's hash ring,
// and knows nothing of either.
package point

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strconv"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/sextantdb/sextant/internal/apierror"
)

// ID identifies a point within a collection. The zero value is number 0. IDs
// are comparable with == and ordered by Compare.
type ID struct {
	isUUID bool
	hi, lo uint64 // a number has hi = 0
}

// Num returns the ID of a number.
func Num(n uint64) ID { return ID{lo: n} }

// UUID returns the ID of a UUID.
func UUID(u uuid.UUID) ID {
	return ID{isUUID: true, hi: binary.BigEndian.Uint64(u[:8]), lo: binary.BigEndian.Uint64(u[8:])}
}

// Parts returns the ID as plain numbers, for files and hash functions: a
// number is (false, 0, n), a UUID its two big-endian halves.
func (id ID) Parts() (isUUID bool, hi, lo uint64) { return id.isUUID, id.hi, id.lo }

// FromParts is the reverse of Parts.
func FromParts(isUUID bool, hi, lo uint64) ID { return ID{isUUID: isUUID, hi: hi, lo: lo} }

// Compare orders numbers by value before UUIDs by their bytes.
func (id ID) Compare(other ID) int {
	if id.isUUID != other.isUUID {
		if id.isUUID {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(id.hi, other.hi), cmp.Compare(id.lo, other.lo))
}

// uuid returns the 16 bytes of a UUID.
func (id ID) uuid() (u uuid.UUID) {
	binary.BigEndian.PutUint64(u[:8], id.hi)
	binary.BigEndian.PutUint64(u[8:], id.lo)
	return u
}

// String returns the number in decimal or the UUID in its hyphenated form.
func (id ID) String() string {
	if id.isUUID {
		return id.uuid().String()
	}
	return strconv.FormatUint(id.lo, 10)
}

// Proto returns the message form.
func (id ID) Proto() *pb.PointId {
	p := &pb.PointId{}
	id.PutProto(p, &pb.PointId_Num{})
	return p
}

// PutProto writes the message form to p. num is the memory for a number, so that
// a caller with many IDs allocates nothing for each.
func (id ID) PutProto(p *pb.PointId, num *pb.PointId_Num) {
	if id.isUUID {
		p.PointIdOptions = &pb.PointId_Uuid{Uuid: id.String()}
		return
	}
	num.Num = id.lo
	p.PointIdOptions = num
}

// FromProto reads the message form; every textual form of a UUID is accepted.
// A missing or malformed ID is a BadInput error.
func FromProto(p *pb.PointId) (ID, error) {
	switch v := p.GetPointIdOptions().(type) {
	case *pb.PointId_Num:
		return Num(v.Num), nil
	case *pb.PointId_Uuid:
		return ParseUUID(v.Uuid)
	default:
		return ID{}, apierror.New(apierror.BadInput, "Empty point id")
	}
}

// ParseUUID reads a UUID in any of its textual forms.
func ParseUUID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, apierror.New(apierror.BadInput, "Unable to parse UUID: %s", s)
	}
	return UUID(u), nil
}

// Hashed returns the bytes over which slices and the hash ring hash an ID: the
// number as 8 little-endian bytes, or the 16 bytes of the UUID.
func (id ID) Hashed() []byte {
	var b bytes.Buffer
	if id.isUUID {
		u := id.uuid()
		b.Write(u[:])
	} else {
		b.Write(binary.LittleEndian.AppendUint64(nil, id.lo))
	}
	return b.Bytes()
}
