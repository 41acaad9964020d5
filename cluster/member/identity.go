package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"

	"github.com/sextantdb/sextant/cluster/topology"
	"github.com/sextantdb/sextant/internal/fsx"
)

// identity is who this node is: the content of the file `peer.json` in its storage
// directory (docs/format/peer.md).
type identity struct {
	// Peer is chosen at the first start and stays.
	Peer topology.PeerID `json:"peer_id"`
	// Incarnation counts the starts. It is on disk before the process says a word.
	Incarnation uint64 `json:"incarnation"`
	// Cluster is the cluster that the node belongs to, empty before it founded or joined one.
	Cluster string `json:"cluster"`
}

// maxPeerID is the largest number that JavaScript and JSON keep exactly.
const maxPeerID = 1<<53 - 1

// identityFile keeps the identity.
type identityFile struct {
	fs   fsx.FS
	name string
}

// next reads the file and counts this start. A node without one becomes the peer that is wanted, or
// (0) a random one.
func (f identityFile) next(wanted topology.PeerID) (id identity, err error) {
	raw, err := fsx.ReadFile(f.fs, f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if id.Peer = wanted; wanted == 0 {
			id.Peer = topology.PeerID(rand.Uint64N(maxPeerID) + 1)
		}
	case err != nil:
		return id, fmt.Errorf("read peer file: %w", err)
	default:
		if err := json.Unmarshal(raw, &id); err != nil || id.Peer == 0 {
			return id, fmt.Errorf("%s is damaged: it says who this node is; restore it, or begin with an empty directory", f.name)
		}
		if wanted != 0 && wanted != id.Peer {
			return id, fmt.Errorf("%s is of peer %d, the configuration says %d", f.name, id.Peer, wanted)
		}
	}
	id.Incarnation++
	return id, f.store(id)
}

// store makes an identity durable.
func (f identityFile) store(id identity) error {
	raw, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := fsx.WriteAtomic(f.fs, f.name, raw); err != nil {
		return fmt.Errorf("write peer file: %w", err)
	}
	return nil
}
