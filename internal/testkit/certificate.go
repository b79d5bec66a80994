package testkit

import (
	"crypto"
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
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Certificate is one that a test has made, with its key: of its own authority, and for 90 days.
type Certificate struct {
	tls.Certificate
	CertFile, KeyFile string
	Pool              *x509.CertPool // what trusts it

	certPEM, keyPEM []byte
}

// NewCertificate makes a certificate for names.
func NewCertificate(t testing.TB, names ...string) *Certificate {
	t.Helper()
	dir := t.TempDir()
	c := &Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Pool: x509.NewCertPool()}
	c.Renew(t, names...)
	return c
}

// ofServers is the certificate of all servers of a process: one may stand behind several Poises.
var ofServers = sync.OnceValue(func() *Certificate {
	c := &Certificate{Pool: x509.NewCertPool()}
	if err := c.make("server.test"); err != nil {
		panic(err)
	}
	return c
})

// serverCertificate is it, with files for the test.
func serverCertificate(t testing.TB) *Certificate {
	t.Helper()
	c := *ofServers()
	c.CertFile = filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(c.CertFile, c.certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return &c
}

// Renew puts another certificate into the same files.
func (c *Certificate) Renew(t testing.TB, names ...string) {
	t.Helper()
	if err := c.make(names...); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{c.CertFile: c.certPEM, c.KeyFile: c.keyPEM} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// make makes a certificate for names, and has Pool trust it too.
func (c *Certificate) make(names ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	c.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if c.Certificate, err = tls.X509KeyPair(c.certPEM, c.keyPEM); err != nil {
		return err
	}
	c.Pool.AddCert(c.Leaf)
	return nil
}

// OCSP is the word that the certificate is not revoked, good for a time. It is its own authority.
func (c *Certificate) OCSP(t testing.TB, life time.Duration) []byte {
	t.Helper()
	now := time.Now()
	der, err := ocsp.CreateResponse(c.Leaf, c.Leaf, ocsp.Response{
		Status: ocsp.Good, SerialNumber: c.Leaf.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(life),
	}, c.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Client is what a client needs to trust the certificate for a name.
func (c *Certificate) Client(name string) *tls.Config {
	return &tls.Config{RootCAs: c.Pool, ServerName: name}
}

// YAML is the certificate in a listener's list of certificates.
func (c *Certificate) YAML() string {
	return fmt.Sprintf("{ cert: %q, key: %q }", c.CertFile, c.KeyFile)
}
