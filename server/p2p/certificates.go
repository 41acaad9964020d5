package p2p

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// CertificateFiles name what TLS between peers needs.
type CertificateFiles struct {
	// Cert and Key are this node's certificate and its key, shown in both directions.
	Cert, Key string
	// CA has the certificates that vouch for peers. With it callers must show a
	// certificate, too; without it only the called side is checked, by the system's.
	CA string
	// TTL is after how long the files are read again; 0 is never.
	TTL    time.Duration
	Logger *slog.Logger
}

// Certificates are the TLS configurations for both directions, made of files that are read
// again from time to time. It is safe for concurrent use.
type Certificates struct {
	files CertificateFiles

	mu             sync.Mutex
	read           time.Time
	server, client *tls.Config
}

// LoadCertificates reads the files. They must be right now; if they aren't later, those
// read before stay in use.
func LoadCertificates(f CertificateFiles) (*Certificates, error) {
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Certificates{files: f}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Server is the configuration for connections that come in.
func (c *Certificates) Server() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.server
}

// Client is the configuration for connections that go out.
func (c *Certificates) Client() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.client
}

// refresh reads the files again when it is time; c.mu is held.
func (c *Certificates) refresh() {
	if c.files.TTL <= 0 || time.Since(c.read) < c.files.TTL {
		return
	}
	if err := c.load(); err != nil {
		c.read = time.Now() // not again with each connection
		c.files.Logger.Error("can't read the certificates for peers again, those read before stay in use", "error", err)
	}
}

// load reads the files.
func (c *Certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("read the certificate for peers: %w", err)
	}
	server := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	client := server.Clone()
	if c.files.CA != "" {
		raw, err := os.ReadFile(c.files.CA)
		if err != nil {
			return fmt.Errorf("read the authority for peers: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(raw) {
			return errors.New("read the authority for peers: there is no certificate in " + c.files.CA)
		}
		client.RootCAs = pool
		server.ClientCAs, server.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	c.server, c.client, c.read = server, client, time.Now()
	return nil
}
