package node_test

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/server/node"
)

// TestKeysOfPeers lets a node join one that has other keys, as happens when keys are changed node by node.
func TestKeysOfPeers(t *testing.T) {
	const enforced = "QDRANT__SERVICE__ENFORCE_INTERNAL_AUTH=true"
	for name, c := range map[string]struct {
		founder, joiner []string
		refused         string
	}{
		"the first key of a cluster": {nil, []string{"QDRANT__SERVICE__API_KEY=new"}, ""},
		"another key":                {[]string{"QDRANT__SERVICE__API_KEY=old"}, []string{"QDRANT__SERVICE__API_KEY=new"}, ""},
		"another key, demanded":      {[]string{"QDRANT__SERVICE__API_KEY=old", enforced}, []string{"QDRANT__SERVICE__API_KEY=new"}, "another api key"},
		"no key, demanded":           {[]string{"QDRANT__SERVICE__API_KEY=old", enforced}, nil, "no api key"},
		"demanded, but there is none": {
			[]string{enforced}, []string{"QDRANT__SERVICE__API_KEY=new", enforced}, "",
		},
		"one in common": {
			[]string{"QDRANT__SERVICE__API_KEY=old", "QDRANT__SERVICE__ALT_API_KEY=new", enforced},
			[]string{"QDRANT__SERVICE__API_KEY=new", enforced},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, uri := clustered(t, c.founder)
			founder := start(t, o)
			if c.refused != "" {
				c.joiner = append(c.joiner, "QDRANT__CLUSTER__CONSENSUS__BOOTSTRAP_TIMEOUT_SEC=1") // it tries again until then
			}
			o, _ = clustered(t, c.joiner)
			o.Bootstrap = uri
			n, err := node.Start(t.Context(), o)
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			defer func() { require.NoError(t, n.Stop(t.Context())) }()
			code, body := get(t, "http://"+founder.HTTPAddr()+"/cluster", "api-key", "old")
			require.Equal(t, http.StatusOK, code, body)
			require.Equal(t, 2, strings.Count(body, `"uri":`), body)
		})
	}
}

// clustered are options of a node of a cluster, and where others reach it.
func clustered(t *testing.T, environ []string) (o node.Options, uri string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
	require.NoError(t, l.Close())
	uri = "http://127.0.0.1:" + strconv.Itoa(port)
	environ = append([]string{
		"QDRANT__CLUSTER__ENABLED=true", "QDRANT__CLUSTER__P2P__PORT=" + strconv.Itoa(port),
	}, environ...)
	return node.Options{Config: configure(t, t.TempDir(), environ...), URI: uri}, uri
}
