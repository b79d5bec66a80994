package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"poise/internal/config"
)

// ownLife is how long a certificate of Poise's own lasts; it is exchanged when two thirds are over.
const ownLife = 90 * day

// ownName stands for its file in logs and metrics.
const ownName = "self_signed"

// own is the certificate that Poise signs itself, for listeners that have self_signed. All of them have the same, over reloads too: who has looked at its
// fingerprint once need not again.
type own struct {
	names []string
	addrs []net.IP

	mu   sync.Mutex // guards cert
	cert *tls.Certificate
}

// hostName is what a certificate may have as a name.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$`)

// ownOf is for this host, and for the addresses that listeners have.
func ownOf(listeners []*config.Listener) *own {
	o := &own{names: []string{"localhost"}, addrs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	host, _ := os.Hostname() // without one it is not for it
	hosts := []string{host}
	for _, l := range listeners {
		for _, a := range l.Addresses {
			if host, _, err := net.SplitHostPort(string(a)); err == nil {
				hosts = append(hosts, host)
			}
		}
	}
	for _, h := range hosts {
		switch ip := net.ParseIP(h); {
		case ip != nil && !ip.IsUnspecified() && !slices.ContainsFunc(o.addrs, ip.Equal):
			o.addrs = append(o.addrs, ip)
		case ip == nil && hostName.MatchString(h) && !slices.Contains(o.names, h):
			o.names = append(o.names, h)
		}
	}
	return o
}

// get returns the certificate. It makes one where there is none yet, or the time has come for another.
func (o *own) get(now time.Time) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cert != nil && now.Before(o.cert.Leaf.NotAfter.Add(-ownLife/3)) {
		return o.cert, nil
	}
	c, err := o.sign(now)
	if err != nil {
		return nil, fmt.Errorf("self_signed: %w", err)
	}
	o.cert = c
	return c, nil
}

func (o *own) sign(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.names[len(o.names)-1], Organization: []string{"Poise, self-signed"}},
		DNSNames: o.names, IPAddresses: o.addrs, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ownLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// fingerprint is that of the certificate that listeners have now.
func (o *own) fingerprint() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fingerprint(o.cert.Leaf)
}

// source is the certificate for a listener.
func (o *own) source() *fromFiles { return &fromFiles{of: &config.Certificate{Cert: ownName}, own: o} }

// fingerprint is a certificate's, as other programs print it.
func fingerprint(c *x509.Certificate) string {
	var parts []string
	for _, b := range sha256.Sum256(c.Raw) {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}
