package issuer_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/operator/issuer"
)

const (
	day = 24 * time.Hour
	pod = "c-q-0.c-q-headless.demo.svc.cluster.local"
)

var (
	start = time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC)
	names = issuer.Names{Subject: "demo/c-q", DNS: []string{"localhost", "*.c-q-headless.demo.svc.cluster.local", "c-q"}, IPs: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("::1")}}
)

// keeper keeps what Renew returns.
type keeper struct {
	t     *testing.T
	have  issuer.Authorities
	files issuer.Files
}

// at looks at a moment, and tells whether the authorities and the certificate changed.
func (k *keeper) at(now time.Time, names issuer.Names) (ca, leaf bool, next time.Time) {
	k.t.Helper()
	have, files, next, err := issuer.Renew(now, k.have, k.files, names)
	require.NoError(k.t, err)
	ca, leaf = string(files.CA) != string(k.files.CA), string(files.Cert) != string(k.files.Cert)
	k.have, k.files = have, files
	require.True(k.t, next.After(now), "it is never due again at once")
	_, err = issuer.Check(now, files, []string{pod, "localhost"}, 0)
	require.NoError(k.t, err)
	again, same, _, err := issuer.Renew(now, have, files, names)
	require.NoError(k.t, err)
	require.Equal(k.t, have, again)
	require.Equal(k.t, files, same, "what holds stays")
	return ca, leaf, next
}

func certs(t *testing.T, text []byte) (all []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		all = append(all, c)
	}
	return all
}

func TestACertificateIsMadeAndRenewed(t *testing.T) {
	k := keeper{t: t}
	ca, leaf, next := k.at(start, names)
	require.True(t, ca && leaf)
	require.Equal(t, start.Add(issuer.Spread), next)
	_, leaf, next = k.at(start.Add(2*day), names)
	require.False(t, leaf)
	require.Equal(t, start.Add(issuer.Keep), next)
	_, leaf, next = k.at(start.Add(200*day), names)
	require.False(t, leaf)
	require.InDelta(t, 243, next.Sub(start).Hours()/24, 1)
	ca, leaf, _ = k.at(start.Add(244*day), names)
	require.False(t, ca)
	require.True(t, leaf, "two thirds of its life are over")
	require.Len(t, certs(t, k.files.CA), 1)
}

func TestNames(t *testing.T) {
	k := keeper{t: t}
	k.at(start, names)
	turned := names
	turned.DNS = []string{names.DNS[2], names.DNS[0], names.DNS[1], names.DNS[0]}
	_, leaf, _ := k.at(start.Add(day), turned)
	require.False(t, leaf, "the order doesn't matter")
	turned.DNS = append(turned.DNS, "c-internet.example.com")
	ca, leaf, _ := k.at(start.Add(day), turned)
	require.False(t, ca)
	require.True(t, leaf)
	_, err := issuer.Check(start.Add(day), k.files, []string{"c-internet.example.com"}, 0)
	require.NoError(t, err)
	_, err = issuer.Check(start.Add(day), k.files, []string{"elsewhere"}, 0)
	require.ErrorContains(t, err, "elsewhere")
}

// TestAuthoritiesChangeWithoutAGap walks 30 years: whoever has the files of the last look, and whoever has those of now, trust
// each other.
func TestAuthoritiesChangeWithoutAGap(t *testing.T) {
	k := keeper{t: t}
	k.at(start, names)
	changes, most := 0, 1
	for d := 10; d < 30*365; d += 10 {
		now, before := start.Add(time.Duration(d)*day), k.files
		ca, leaf, _ := k.at(now, names)
		if ca {
			changes++
		}
		most = max(most, len(certs(t, k.files.CA)))
		if !ca && !leaf {
			continue
		}
		for _, pair := range [][2]issuer.Files{{before, k.files}, {k.files, before}} {
			_, err := issuer.Check(now, issuer.Files{CA: pair[0].CA, Cert: pair[1].Cert, Key: pair[1].Key}, []string{pod}, 0)
			require.NoError(t, err, "day %d", d)
		}
	}
	require.Equal(t, 8, changes, "four successors: each is added, and takes the place of the one before a month later")
	require.Equal(t, 2, most)
}

// TestLostAuthority: certificates that are there go on, and the new authority is known before it issues.
func TestLostAuthority(t *testing.T) {
	k := keeper{t: t}
	k.at(start, names)
	k.have = issuer.Authorities{}
	old := k.files
	ca, leaf, _ := k.at(start.Add(10*day), names)
	require.True(t, ca)
	require.False(t, leaf)
	require.Len(t, certs(t, k.files.CA), 2)
	_, leaf, _ = k.at(start.Add(10*day+issuer.Spread), names)
	require.True(t, leaf)
	check := func(d time.Duration) error {
		_, err := issuer.Check(start.Add(d), issuer.Files{CA: k.files.CA, Cert: old.Cert, Key: old.Key}, []string{pod}, 0)
		return err
	}
	require.NoError(t, check(12*day), "some may still have the old certificate")
	ca, leaf, _ = k.at(start.Add(10*day+issuer.Spread+issuer.Keep), names)
	require.True(t, ca)
	require.False(t, leaf)
	require.ErrorContains(t, check(42*day), "unknown authority")
}

func TestWhatMakesNoSenseIsMadeAnew(t *testing.T) {
	for _, spoil := range []func(*keeper){
		func(k *keeper) { k.files = issuer.Files{} },
		func(k *keeper) { k.files.Key = []byte("?") },
		func(k *keeper) { k.files.CA = nil },
		func(k *keeper) { k.have.Keys = []byte("?"); k.files.Cert = nil },
	} {
		k := keeper{t: t}
		k.at(start, names)
		spoil(&k)
		k.at(start.Add(day), names)
		_, err := tls.X509KeyPair(k.files.Cert, k.files.Key)
		require.NoError(t, err)
	}
}

func TestChecksOfOthersFiles(t *testing.T) {
	k := keeper{t: t}
	k.at(start, names)
	soon, err := issuer.Check(start.Add(360*day), k.files, []string{pod}, 14*day)
	require.NoError(t, err)
	require.Equal(t, start.Add(issuer.Life), soon)
	_, err = issuer.Check(start.Add(366*day), k.files, []string{pod}, 0)
	require.ErrorContains(t, err, "expired")
	other := keeper{t: t}
	other.at(start, names)
	_, err = issuer.Check(start, issuer.Files{CA: other.files.CA, Cert: k.files.Cert, Key: k.files.Key}, []string{pod}, 0)
	require.Error(t, err)
	_, err = issuer.Check(start, issuer.Files{CA: k.files.CA, Cert: k.files.Cert, Key: other.files.Key}, []string{pod}, 0)
	require.Error(t, err)
	_, err = issuer.Check(start, issuer.Files{Cert: k.files.Cert, Key: k.files.Key}, []string{pod}, 0)
	require.ErrorContains(t, err, "no certificate")
}
