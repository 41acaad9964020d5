// Package certificates makes TLS configurations of certificate files that are read again
// from time to time, so that certificates can be replaced while the process runs.
//
// Callers: server/node for the doors and the port for peers; client for who asks a node.
package certificates

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

// Files name what TLS needs.
type Files struct {
	// Cert and Key are the own certificate and its key, shown in both directions. Who only
	// calls may have none.
	Cert, Key string
	// CA has the certificates that vouch for the other side; without it the called side is
	// checked by the system's.
	CA string
	// AskCallers has callers show a certificate that CA vouches for.
	AskCallers bool
	// TTL is after how long the files are read again; 0 is never.
	TTL    time.Duration
	Logger *slog.Logger
}

// Certificates are the TLS configurations for both directions. It is safe for concurrent use.
type Certificates struct {
	files Files

	mu             sync.Mutex
	read           time.Time
	server, client *tls.Config
}

// Load reads the files. They must be right now; if they aren't later, those read before stay
// in use.
func Load(f Files) (*Certificates, error) {
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Certificates{files: f}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Server is the configuration for connections that come in. It must not be changed.
func (c *Certificates) Server() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.server
}

// Client is the configuration for connections that go out. It must not be changed.
func (c *Certificates) Client() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.client
}

// Door is a configuration that stays the same, for a server that keeps one: each connection
// gets the certificates of its time. protocols are those spoken behind it, best first.
func (c *Certificates) Door(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			t := c.Server().Clone()
			t.NextProtos = protocols
			return t, nil
		},
	}
}

// refresh reads the files again when it is time; c.mu is held.
func (c *Certificates) refresh() {
	if c.files.TTL <= 0 || time.Since(c.read) < c.files.TTL {
		return
	}
	if err := c.load(); err != nil {
		c.read = time.Now() // not again with each connection
		c.files.Logger.Error("can't read the certificates again, those read before stay in use", "error", err)
	}
}

// load reads the files.
func (c *Certificates) load() error {
	server := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.files.Cert != "" || c.files.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
		if err != nil {
			return fmt.Errorf("read the certificate %s and its key: %w", c.files.Cert, err)
		}
		server.Certificates = []tls.Certificate{pair}
	}
	client := server.Clone()
	if c.files.CA != "" {
		pool, err := readPool(c.files.CA)
		if err != nil {
			return err
		}
		client.RootCAs = pool
		if c.files.AskCallers {
			server.ClientCAs, server.ClientAuth = pool, tls.RequireAndVerifyClientCert
		}
	} else if c.files.AskCallers {
		return errors.New("callers are to show certificates, but there is no file of an authority to check them by")
	}
	c.server, c.client, c.read = server, client, time.Now()
	return nil
}

// readPool reads the certificates of authorities.
func readPool(name string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of an authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("read the certificate of an authority: there is no certificate in %s", name)
	}
	return pool, nil
}
