package node

import (
	"context"
	"net/http"

	"github.com/sextantdb/sextant/server/auth"
	"github.com/sextantdb/sextant/server/rest"
)

// restGuard lets the REST door ask the guard.
type restGuard struct{ guard *auth.Guard }

// Check implements rest.Authorizer. A level it doesn't know needs the most.
func (g restGuard) Check(r *http.Request, t rest.Target) (context.Context, error) {
	need := auth.Manage
	switch t.Access {
	case rest.Public:
		need = auth.Public
	case rest.Read:
		need = auth.Read
	case rest.Write:
		need = auth.Write
	case rest.Manage:
	}
	return g.guard.CheckContext(r.Context(), r.Header.Get, need)
}
