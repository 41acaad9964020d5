// Package issuer makes certificates for the nodes of a component, renews them, and changes the authority that vouches for them, so
// that at no moment somebody meets a certificate of an authority that he can't know yet. It is pure but for the
// random numbers of keys: what there is and what time it is go in, what there is to be comes out.
//
// A certificate lives a year and is renewed after two thirds of that, or when the names change. An authority lives ten years; after two
// thirds of that a second one is made beside it. From then on both are trusted; a Spread later certificates come
// from the new one; and the old one is forgotten after another Keep.
//
// Callers: component.
package issuer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// How long things live.
const (
	// Life is that of a certificate.
	Life = 365 * 24 * time.Hour
	// AuthorityLife is that of an authority.
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// Spread is how long an authority is trusted before it issues anything: files reach pods within minutes, nodes read
	// them again within an hour.
	Spread = 24 * time.Hour
	// Keep is how long an authority is trusted after its successor has begun to issue.
	Keep = 30 * 24 * time.Hour
	// skew is how far clocks may differ.
	skew = 5 * time.Minute
)

// Authorities are the certificates and keys of authorities, the newest first, as they are kept where only the operator
// reads them.
type Authorities struct{ Certs, Keys []byte }

// Files are what nodes get, in PEM: whom to trust, the certificate and its key.
type Files struct{ CA, Cert, Key []byte }

// Names are the names and addresses under which nodes are reached.
type Names struct {
	// Subject is who the certificate is for, in words.
	Subject string
	DNS     []string
	IPs     []net.IP
}

// authority is one that can sign.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issued is when an authority was made.
func (a authority) issued() time.Time { return a.cert.NotBefore.Add(skew) }

// due is when two thirds of a certificate's life are over.
func due(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// Renew returns what there is to be, and when to look again at the latest. What still holds is returned as it is.
func Renew(now time.Time, have Authorities, files Files, names Names) (Authorities, Files, time.Time, error) {
	all := parseAuthorities(have)
	leaf := parseLeaf(files)
	all = slices.DeleteFunc(all, func(a authority) bool { return now.After(a.cert.NotAfter) })
	all = forget(now, all, leaf)
	if len(all) == 0 || !now.Before(due(all[0].cert)) {
		made, err := newAuthority(now, names.Subject)
		if err != nil {
			return have, files, now, err
		}
		all = append([]authority{made}, all...)
	}
	trusted := bundle(now, all, files, leaf)
	signer := signerOf(now, all)
	if leaf == nil || !usable(now, leaf, trusted) || replaced(now, leaf, signer) || issuerOf(leaf, trusted[:len(all)]) != nil && !names.are(leaf) {
		made, key, err := newLeaf(now, signer, names)
		if err != nil {
			return have, files, now, err
		}
		leaf, files.Cert, files.Key = made, encode("CERTIFICATE", made.Raw), key
	}
	files.CA = encodeCerts(trusted)
	out, err := encodeAuthorities(all)
	return out, files, next(now, all[0], leaf), err
}

// signerOf is the newest authority that everybody knows by now; when there is none the oldest.
func signerOf(now time.Time, all []authority) authority {
	for _, a := range all {
		if !now.Before(a.issued().Add(Spread)) {
			return a
		}
	}
	return all[len(all)-1]
}

// replaced tells whether another authority than that of the certificate is to issue now. One that isn't known everywhere yet
// leaves certificates alone that are good: those of an authority whose key was lost, or of somebody else's.
func replaced(now time.Time, leaf *x509.Certificate, signer authority) bool {
	return leaf.CheckSignatureFrom(signer.cert) != nil && !now.Before(signer.issued().Add(Spread))
}

// switched tells whether the certificate has been there for so long that everybody has it, and nobody an older one.
func switched(now time.Time, leaf *x509.Certificate) bool {
	return leaf != nil && !now.Before(leaf.NotBefore.Add(skew+Keep))
}

// forget drops authorities whose successor has long taken their place.
func forget(now time.Time, all []authority, leaf *x509.Certificate) []authority {
	if !switched(now, leaf) {
		return all
	}
	for i := range all {
		if leaf.CheckSignatureFrom(all[i].cert) == nil {
			return all[:i+1]
		}
	}
	return all
}

// bundle are the authorities to trust: those that there are, and others that were trusted before, as long as certificates of theirs may
// be about.
func bundle(now time.Time, all []authority, files Files, leaf *x509.Certificate) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, a := range all {
		certs = append(certs, a.cert)
	}
	ours := len(certs)
	for _, c := range parseCerts(files.CA) {
		needed := !switched(now, leaf) || leaf.CheckSignatureFrom(c) == nil
		if needed && leaf != nil && now.Before(c.NotAfter) && !slices.ContainsFunc(certs[:ours], c.Equal) {
			certs = append(certs, c)
		}
	}
	return certs
}

func issuerOf(leaf *x509.Certificate, certs []*x509.Certificate) *x509.Certificate {
	for _, c := range certs {
		if leaf.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

// usable tells whether a certificate is trusted, and not due yet.
func usable(now time.Time, leaf *x509.Certificate, trusted []*x509.Certificate) bool {
	return now.Before(due(leaf)) && issuerOf(leaf, trusted) != nil
}

// are tells whether a certificate is for these names.
func (n Names) are(leaf *x509.Certificate) bool {
	dns, ips := n.sorted()
	return slices.Equal(leaf.DNSNames, dns) && slices.EqualFunc(leaf.IPAddresses, ips, func(a, b net.IP) bool { return a.Equal(b) })
}

// next is when something will be due.
func next(now time.Time, newest authority, leaf *x509.Certificate) time.Time {
	at := due(leaf)
	for _, moment := range []time.Time{due(newest.cert), newest.issued().Add(Spread), leaf.NotBefore.Add(skew + Keep)} {
		if moment.After(now) && moment.Before(at) {
			at = moment
		}
	}
	return at
}

func (n Names) sorted() ([]string, []net.IP) {
	dns := slices.Clone(n.DNS)
	slices.Sort(dns)
	ips := slices.Clone(n.IPs)
	slices.SortFunc(ips, func(a, b net.IP) int { return bytes.Compare(a.To16(), b.To16()) })
	return slices.Compact(dns), slices.CompactFunc(ips, func(a, b net.IP) bool { return a.Equal(b) })
}

func newAuthority(now time.Time, subject string) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make the key of an authority: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "authority of " + subject},
		NotBefore: now.Add(-skew), NotAfter: now.Add(AuthorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(t, t, key, key)
	if err != nil {
		return authority{}, fmt.Errorf("make an authority: %w", err)
	}
	return authority{cert: cert, key: key}, nil
}

func newLeaf(now time.Time, by authority, names Names) (*x509.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the key of a certificate: %w", err)
	}
	dns, ips := names.sorted()
	end := now.Add(Life)
	if end.After(by.cert.NotAfter) {
		end = by.cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: names.Subject},
		NotBefore: now.Add(-skew), NotAfter: end, DNSNames: dns, IPAddresses: ips,
		KeyUsage: x509.KeyUsageDigitalSignature,
		// Nodes show it to each other, too.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := sign(t, by.cert, key, by.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("write the key of a certificate: %w", err)
	}
	return cert, encode("PRIVATE KEY", raw), nil
}

func sign(t, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	raw, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}

func serial() *big.Int {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // it never fails
	raw[0] &= 0x7f
	raw[15] |= 1
	return new(big.Int).SetBytes(raw)
}
