package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is one that a test has made, with its key: of its own authority, and for an hour.
type Certificate struct {
	tls.Certificate
	CertFile, KeyFile string
	Pool              *x509.CertPool // what trusts it
}

// NewCertificate makes a certificate for names.
func NewCertificate(t testing.TB, names ...string) *Certificate {
	t.Helper()
	dir := t.TempDir()
	c := &Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Pool: x509.NewCertPool()}
	c.Renew(t, names...)
	return c
}

// Renew puts another certificate into the same files.
func (c *Certificate) Renew(t testing.TB, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for path, data := range map[string][]byte{c.CertFile: cert, c.KeyFile: block} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c.Certificate, err = tls.X509KeyPair(cert, block); err != nil {
		t.Fatal(err)
	}
	c.Pool.AddCert(c.Leaf)
}

// Client is what a client needs to trust the certificate for a name.
func (c *Certificate) Client(name string) *tls.Config {
	return &tls.Config{RootCAs: c.Pool, ServerName: name}
}

// YAML is the certificate in a listener's list of certificates.
func (c *Certificate) YAML() string {
	return fmt.Sprintf("{ cert: %q, key: %q }", c.CertFile, c.KeyFile)
}
