package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/secure"
)

// How clients of a scenario speak TLS.
const tlsFull, tlsResumed = "full", "resumed" // every handshake is a full one; all but the first resume the session of the one before

// tlsName is the host that the certificate is for.
const tlsName = "bench.test"

// client is what clients speak; nil: clear text. All products get the same: TLS 1.3 with X25519, which OpenSSL 3.0 and Go both have; ciphersuite is the one
// that Go prefers.
func (s *scenario) client() *tls.Config {
	if s.TLS == "" {
		return nil
	}
	// The certificate is one that was made for this run, and what is measured is the other side.
	c := &tls.Config{ServerName: tlsName, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
	if s.Streams > 0 {
		c.NextProtos = []string{"h2"}
	}
	if s.TLS == tlsResumed {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

const ciphersuite = "TLS_AES_128_GCM_SHA256"

var errNotResumed, errNotHTTP2 = errors.New("a session was not resumed"), errors.New("HTTP/2 was not chosen")

// handshake speaks TLS on a connection that was dialled.
func (g *generator) handshake(conn *fiber.Conn, by clock.Instant) error {
	conn.ReadBy(by)
	conn.WriteBy(by)
	s, err := secure.Client(conn, g.tls, &g.secured)
	if err != nil {
		return err
	}
	resumed := s.State().DidResume
	if g.scenario.Streams > 0 && s.State().NegotiatedProtocol != "h2" {
		return errNotHTTP2
	}
	if g.scenario.TLS == tlsResumed && !resumed && g.sessions > g.scenario.Connections {
		return errNotResumed // the first ones began before there was a session
	}
	g.sessions++
	return nil
}

// certificate writes one, with its key: cert.pem, key.pem, and both in both.pem.
func certificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{tlsName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for name, data := range map[string][]byte{"cert.pem": cert, "key.pem": secret, "both.pem": slices.Concat(cert, secret)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil { // HAProxy and nginx may read it as others
			return fmt.Errorf("certificate: %w", err)
		}
	}
	return nil
}
