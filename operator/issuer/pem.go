package issuer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

func encode(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

func encodeCerts(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		out.Write(encode("CERTIFICATE", c.Raw))
	}
	return out.Bytes()
}

func encodeAuthorities(all []authority) (Authorities, error) {
	var out Authorities
	for _, a := range all {
		raw, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return Authorities{}, fmt.Errorf("write the key of an authority: %w", err)
		}
		out.Certs = append(out.Certs, encode("CERTIFICATE", a.cert.Raw)...)
		out.Keys = append(out.Keys, encode("PRIVATE KEY", raw)...)
	}
	return out, nil
}

// parseAuthorities reads those that can sign; what makes no sense is left out.
func parseAuthorities(have Authorities) []authority {
	keys := map[string]*ecdsa.PrivateKey{}
	for block, rest := pem.Decode(have.Keys); block != nil; block, rest = pem.Decode(rest) {
		if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := parsed.(*ecdsa.PrivateKey); ok {
				keys[public(&key.PublicKey)] = key
			}
		}
	}
	var all []authority
	for _, cert := range parseCerts(have.Certs) {
		if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); ok && cert.IsCA && keys[public(pub)] != nil {
			all = append(all, authority{cert: cert, key: keys[public(pub)]})
		}
	}
	return all
}

func public(key *ecdsa.PublicKey) string {
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	return string(raw)
}

func parseCerts(text []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// parseLeaf reads the certificate; nil when there is none that fits its key.
func parseLeaf(files Files) *x509.Certificate {
	pair, err := tls.X509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil
	}
	return pair.Leaf
}

// Check says what is wrong with files that somebody else made: the certificate must have its key, and be one that the authority
// vouches for, under the given names, as a server and as a client. Soon tells that it ends within the given time.
func Check(now time.Time, files Files, names []string, within time.Duration) (soon time.Time, err error) {
	pair, err := tls.X509KeyPair(files.Cert, files.Key)
	if err != nil {
		return time.Time{}, fmt.Errorf("certificate and key: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(files.CA) {
		return time.Time{}, errors.New("the authority is no certificate in PEM")
	}
	between := x509.NewCertPool()
	for _, raw := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			between.AddCert(c)
		}
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		for _, name := range names {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{
				DNSName: name, Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
			}); err != nil {
				return time.Time{}, fmt.Errorf("the certificate: %w", err)
			}
		}
	}
	if end := pair.Leaf.NotAfter; end.Sub(now) < within {
		return end, nil
	}
	return time.Time{}, nil
}
