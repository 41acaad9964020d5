package peer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/topology"
)

// Protocol is the version of what nodes say to each other. A node understands all from
// oldestProtocol on.
const (
	Protocol       = 1
	oldestProtocol = 1
)

// Metadata of every call and stream.
const (
	handshakeKey = "sextant-handshake-bin"
	apiKeyKey    = "api-key"
)

// Identity is who this process is.
type Identity struct {
	// Cluster is the identity of the cluster; empty before the node has joined one.
	Cluster string
	// Peer is the node's ID, Incarnation numbers its processes.
	Peer        topology.PeerID
	Incarnation uint64
}

// From is who calls.
type From struct {
	Peer        topology.PeerID
	Incarnation uint64
}

// RefusedReason is why a handshake was refused.
type RefusedReason uint8

// The reasons.
const (
	// RefusedOther is a reason that this version doesn't know.
	RefusedOther RefusedReason = iota
	// RefusedKey: a key is demanded, and the caller has none of them.
	RefusedKey
	// RefusedProtocol: the versions don't fit.
	RefusedProtocol
	// RefusedCluster: the node is of another cluster.
	RefusedCluster
	// RefusedPeer: the node is another peer.
	RefusedPeer
	// RefusedIncarnation: another process than the one that was meant, or the caller's
	// isn't its latest.
	RefusedIncarnation
	// RefusedMalformed: the handshake makes no sense.
	RefusedMalformed
)

// Refused is a handshake that the other side didn't take.
type Refused struct {
	Reason RefusedReason
	// Text says what doesn't fit.
	Text string
}

// Error returns the text.
func (r *Refused) Error() string { return "peer refused the connection: " + r.Text }

// refuse makes the status of a refusal.
func refuse(reason RefusedReason, format string, args ...any) error {
	code := codes.FailedPrecondition
	if reason == RefusedKey {
		code = codes.Unauthenticated
	}
	s, err := status.New(code, fmt.Sprintf(format, args...)).
		WithDetails(&peerpb.Refusal{Reason: peerpb.Refusal_Reason(reason)})
	if err != nil { // only when the code were OK
		return err
	}
	return s.Err()
}

// refusedOf returns the refusal in a status, nil when it is another failure.
func refusedOf(err error) *Refused {
	s, ok := status.FromError(err)
	if !ok {
		return nil
	}
	for _, d := range s.Details() {
		if r, ok := d.(*peerpb.Refusal); ok {
			reason := RefusedReason(r.GetReason())
			if reason > RefusedMalformed {
				reason = RefusedOther
			}
			return &Refused{Reason: reason, Text: s.Message()}
		}
	}
	return nil
}

// outgoing adds a handshake and keys to a call.
func outgoing(ctx context.Context, h *peerpb.Handshake, keys []string) (context.Context, error) {
	h.Protocol = Protocol
	raw, err := proto.Marshal(h)
	if err != nil {
		return nil, err
	}
	kv := []string{handshakeKey, string(raw)}
	for _, key := range keys {
		kv = append(kv, apiKeyKey, key)
	}
	return metadata.AppendToOutgoingContext(ctx, kv...), nil
}

// handshakeIn reads a handshake from metadata.
func handshakeIn(md metadata.MD) (*peerpb.Handshake, error) {
	raw := md.Get(handshakeKey)
	if len(raw) != 1 {
		return nil, errors.New("there is no handshake: is this the port for peers, and the caller a peer?")
	}
	h := new(peerpb.Handshake)
	if err := proto.Unmarshal([]byte(raw[0]), h); err != nil {
		return nil, fmt.Errorf("the handshake can't be read: %w", err)
	}
	return h, nil
}

// gatekeeper decides about handshakes.
type gatekeeper struct {
	self Identity
	// keys are those of which a caller must have one; empty demands none.
	keys [][sha256.Size]byte
	// latest returns the highest incarnation of a peer that is known, 0 for none.
	latest func(topology.PeerID) uint64
}

func newGatekeeper(self Identity, keys []string, latest func(topology.PeerID) uint64) gatekeeper {
	g := gatekeeper{self: self, latest: latest}
	for _, key := range keys {
		g.keys = append(g.keys, sha256.Sum256([]byte(key)))
	}
	return g
}

// mostKeys is how many keys a caller may have.
const mostKeys = 4

// admit checks a call's metadata. A stranger is one who may not know the cluster's identity nor
// this node's ID.
func (g *gatekeeper) admit(md metadata.MD, stranger bool) (*peerpb.Handshake, error) {
	if err := g.checkKey(md); err != nil {
		return nil, err
	}
	h, err := handshakeIn(md)
	if err != nil {
		return nil, refuse(RefusedMalformed, "%v", err)
	}
	anyCluster, anyPeer := stranger && h.GetCluster() == "", stranger && h.GetTo() == 0
	switch {
	case h.GetProtocol() < oldestProtocol:
		err = refuse(RefusedProtocol, "the caller speaks version %d of the peers' protocol, this node %d to %d",
			h.GetProtocol(), oldestProtocol, Protocol)
	case !anyCluster && h.GetCluster() != g.self.Cluster:
		err = refuse(RefusedCluster, "this node is of cluster %q, the caller wants %q", g.self.Cluster, h.GetCluster())
	case !anyPeer && topology.PeerID(h.GetTo()) != g.self.Peer:
		err = refuse(RefusedPeer, "this node is peer %d, the caller wants %d", g.self.Peer, h.GetTo())
	case h.GetFrom() == 0 && !stranger:
		err = refuse(RefusedMalformed, "the caller doesn't say which peer it is")
	case topology.PeerID(h.GetFrom()) == g.self.Peer && h.GetFrom() != 0:
		err = refuse(RefusedPeer, "the caller says it is peer %d, which this node is", h.GetFrom())
	case h.GetToIncarnation() != 0 && h.GetToIncarnation() != g.self.Incarnation:
		err = refuse(RefusedIncarnation, "this is process %d of peer %d, the caller wants process %d",
			g.self.Incarnation, g.self.Peer, h.GetToIncarnation())
	default:
		err = g.checkCaller(From{topology.PeerID(h.GetFrom()), h.GetFromIncarnation()})
	}
	return h, err
}

// checkKey looks for a key that both sides have: while keys are changed node by node they have one in common. It
// compares in constant time.
func (g *gatekeeper) checkKey(md metadata.MD) error {
	if len(g.keys) == 0 {
		return nil
	}
	given := md.Get(apiKeyKey)
	if len(given) == 0 {
		return refuse(RefusedKey, "the caller has no api key")
	}
	shared := 0
	for _, key := range given[:min(len(given), mostKeys)] {
		sum := sha256.Sum256([]byte(key))
		for i := range g.keys {
			shared |= subtle.ConstantTimeCompare(sum[:], g.keys[i][:])
		}
	}
	if shared != 1 {
		return refuse(RefusedKey, "the caller has another api key")
	}
	return nil
}

// checkCaller refuses a process that isn't the peer's latest.
func (g *gatekeeper) checkCaller(f From) error {
	if g.latest == nil {
		return nil
	}
	if known := g.latest(f.Peer); f.Incarnation < known {
		return refuse(RefusedIncarnation, "process %d of peer %d isn't its latest, which is %d", f.Incarnation, f.Peer, known)
	}
	return nil
}
