// Package auth decides who may do what at the doors: it compares the key that a
// client presents with the configured ones, and knows what each remote procedure
// needs. The REST door asks a Guard for each matched route, the gRPC door for
// each method; the composition root (server/node) makes the Guard.
//
// Invariants: without configured keys everybody may do everything; with keys, a
// call without a known key gets nowhere beyond Public; what a call needs is
// decided by its route, never by its path's text, and a route that nobody has
// thought about needs the most. Keys are compared in constant time.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/sextantdb/sextant/internal/apierror"
)

// Access is what a call needs, each level including the ones before it.
type Access int

const (
	// Manage changes collections, aliases, snapshots or the node. It is the zero
	// value: a forgotten entry of a table is closed, not open.
	Manage Access = iota
	// Write changes the points of a collection.
	Write
	// Read looks at points, collections or the node.
	Read
	// Public needs no key.
	Public
)

// String names the level.
func (a Access) String() string {
	switch a {
	case Public:
		return "public"
	case Read:
		return "read"
	case Write:
		return "write"
	case Manage:
		return "manage"
	}
	return "unknown"
}

// Options are the configured keys; empty ones are not set.
type Options struct {
	// APIKey and AltAPIKey may do everything. Two of them let a key be changed
	// without refusing anyone in between.
	APIKey, AltAPIKey string
	// ReadOnlyAPIKey may only read.
	ReadOnlyAPIKey string
}

// Guard compares keys. It is safe for concurrent use.
type Guard struct {
	full, readOnly [][sha256.Size]byte
}

// New makes a Guard.
func New(o Options) *Guard {
	g := new(Guard)
	for _, k := range []string{o.APIKey, o.AltAPIKey} {
		if k != "" {
			g.full = append(g.full, sha256.Sum256([]byte(k)))
		}
	}
	if o.ReadOnlyAPIKey != "" {
		g.readOnly = append(g.readOnly, sha256.Sum256([]byte(o.ReadOnlyAPIKey)))
	}
	return g
}

// Enabled tells whether any key is configured.
func (g *Guard) Enabled() bool { return len(g.full)+len(g.readOnly) > 0 }

// Check returns nil when a client that presents key may do what needs access.
// An error has kind Unauthorized (no key, or one nobody knows) or Forbidden (the
// key may not do this). A key is wanted for reading even if only a read-only key
// is configured, and then nothing can write.
func (g *Guard) Check(key string, need Access) error {
	if need == Public || !g.Enabled() {
		return nil
	}
	if key == "" {
		return apierror.New(apierror.Unauthorized, "Must provide an API key or an Authorization bearer token")
	}
	sum := sha256.Sum256([]byte(key))
	full, readOnly := oneOf(sum, g.full), oneOf(sum, g.readOnly)
	switch {
	case full || readOnly && need == Read:
		return nil
	case readOnly && need == Write:
		return apierror.New(apierror.Forbidden, "Write access is required")
	case readOnly:
		return apierror.New(apierror.Forbidden, "Global manage access is required")
	}
	return apierror.New(apierror.Unauthorized, "Invalid API key or JWT")
}

// oneOf compares with every key, whatever the earlier results were. Hashing
// first makes all comparisons equally long, so that not even a key's length
// shows in the time.
func oneOf(sum [sha256.Size]byte, keys [][sha256.Size]byte) bool {
	found := 0
	for i := range keys {
		found |= subtle.ConstantTimeCompare(sum[:], keys[i][:])
	}
	return found == 1
}

// Header names under which a client presents its key; gRPC metadata has the
// same names in lower case.
const (
	keyHeader    = "api-key"
	bearerHeader = "authorization"
)

// Key finds the presented key: the api-key header, or else the token of an
// Authorization: Bearer header. get returns a header's first value or "".
func Key(get func(name string) string) string {
	if k := get(keyHeader); k != "" {
		return k
	}
	scheme, token, ok := strings.Cut(strings.TrimSpace(get(bearerHeader)), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// CheckContext is Check for a call whose headers are reached through get; it
// returns the context to go on with. (Tokens that carry rights will put them
// there.)
func (g *Guard) CheckContext(ctx context.Context, get func(string) string, need Access) (context.Context, error) {
	if need == Public || !g.Enabled() {
		return ctx, nil
	}
	return ctx, g.Check(Key(get), need)
}
