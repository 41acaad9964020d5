package certificates_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/certificates"
	"github.com/sextantdb/sextant/internal/testbed/authority"
)

func issue(a *authority.Authority, dir string) (certificates.Files, int64) {
	f, serial := a.Issue(dir, "127.0.0.1")
	return certificates.Files{Cert: f.Cert, Key: f.Key, CA: f.CA, AskCallers: true, TTL: time.Nanosecond}, serial
}

func serial(t *testing.T, c *certificates.Certificates) int64 {
	t.Helper()
	door, err := c.Door("h2").GetConfigForClient(nil)
	require.NoError(t, err)
	require.Equal(t, []string{"h2"}, door.NextProtos)
	n := c.Client().Certificates[0].Leaf.SerialNumber
	require.Equal(t, n, c.Server().Certificates[0].Leaf.SerialNumber)
	require.Equal(t, n, door.Certificates[0].Leaf.SerialNumber)
	return n.Int64()
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir, a := t.TempDir(), authority.New(t)
	f, first := issue(a, dir)
	c, err := certificates.Load(f)
	require.NoError(t, err)
	require.Equal(t, first, serial(t, c))
	_, second := issue(a, dir)
	require.NotEqual(t, first, second)
	require.Equal(t, second, serial(t, c))
	require.NoError(t, os.WriteFile(f.Cert, []byte("half writ"), 0o600))
	require.Equal(t, second, serial(t, c), "those read before stay in use")
	_, third := issue(a, dir)
	require.Equal(t, third, serial(t, c))

	f.TTL = 0
	fixed, err := certificates.Load(f)
	require.NoError(t, err)
	issue(a, dir)
	require.Equal(t, third, serial(t, fixed))
}

func TestCertificatesThatArentThere(t *testing.T) {
	f, _ := issue(authority.New(t), t.TempDir())
	for name, spoil := range map[string]func(*certificates.Files){
		"read the certificate " + f.Cert + "x": func(f *certificates.Files) { f.Cert += "x" },
		"read the certificate of an authority": func(f *certificates.Files) { f.CA += "x" },
		"there is no certificate":              func(f *certificates.Files) { f.CA = f.Key },
		"there is no file of an authority":     func(f *certificates.Files) { f.CA = "" },
	} {
		spoiled := f
		spoil(&spoiled)
		_, err := certificates.Load(spoiled)
		require.ErrorContains(t, err, name)
	}
	c, err := certificates.Load(certificates.Files{CA: f.CA})
	require.NoError(t, err, "who only calls needs no certificate")
	require.Empty(t, c.Client().Certificates)
	require.NotNil(t, c.Client().RootCAs)
}
