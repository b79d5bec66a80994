package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is one that a test has made, for an hour, whose certificates clients show.
type Authority struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
	up   *Authority // nil: it has signed itself
}

// NewAuthority makes an authority. change, where not nil, makes its certificate unusual.
func NewAuthority(t testing.TB, name string, change func(*x509.Certificate)) *Authority {
	t.Helper()
	return newAuthority(t, nil, name, change)
}

// Below makes an authority whose certificate a has signed.
func (a *Authority) Below(t testing.TB, name string, change func(*x509.Certificate)) *Authority {
	t.Helper()
	return newAuthority(t, a, name, change)
}

func newAuthority(t testing.TB, up *Authority, name string, change func(*x509.Certificate)) *Authority {
	t.Helper()
	template := templateOf(name)
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	if change != nil {
		change(template)
	}
	cert, key := sign(t, up, template)
	return &Authority{cert, key, up}
}

func templateOf(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// sign makes a key, and a certificate for it; by is nil for one that signs itself.
func sign(t testing.TB, by *Authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Cert, by.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// Client makes a client's certificate, with those that lead to the authority that has signed itself, without that one.
func (a *Authority) Client(t testing.TB, name string, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := templateOf(name)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if change != nil {
		change(template)
	}
	cert, key := sign(t, a, template)
	c := &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	for ; a.up != nil; a = a.up {
		c.Certificate = append(c.Certificate, a.Cert.Raw)
	}
	return c
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw})
}

// CRL is the list, in PEM, of certificates that the authority has revoked; change, where not nil, makes it unusual.
func (a *Authority) CRL(t testing.TB, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, x := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: x.SerialNumber, RevocationTime: time.Now()})
	}
	if change != nil {
		change(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.Cert, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// WriteFile writes data into a new file, and returns its path.
func WriteFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
