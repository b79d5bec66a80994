package secure_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/secure"
	"poise/internal/testkit"
)

var longAgo = time.Now().Add(-30 * time.Minute)

// TestTQ6Files: what cannot be a rule on clients is none, and the error says what is wrong.
func TestTQ6Files(t *testing.T) {
	ca, other := testkit.NewAuthority(t, "ca", nil), testkit.NewAuthority(t, "other", nil)
	below := ca.Below(t, "below", nil)
	client := ca.Client(t, "client", nil)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	key, err := x509.MarshalPKCS8PrivateKey(ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	corrupt := slices.Clone(ca.PEM())
	corrupt[60] = '!'
	expired := testkit.NewAuthority(t, "expired", func(c *x509.Certificate) { c.NotAfter = longAgo })
	noSigner := testkit.NewAuthority(t, "no signer", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	list := func(change func(*x509.RevocationList)) []byte { return ca.CRL(t, change) }
	forged := bytes.Clone(ca.CRL(t, nil, client.Leaf))
	if b, _ := pem.Decode(forged); b != nil {
		b.Bytes[len(b.Bytes)-1] ^= 1
		forged = block("X509 CRL", b.Bytes)
	}
	critical := []pkix.Extension{{Id: []int{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0x03, 0x81, 0x01, 0xff}}}
	for _, row := range []struct {
		name    string
		ca, crl []byte
		want    string // in the error; empty: there is none
	}{
		{"an authority", ca.PEM(), nil, ""},
		{"several", slices.Concat([]byte("# ours\n"), ca.PEM(), []byte("\ntext\n"), below.PEM(), other.PEM()), nil, ""},
		{"a list", ca.PEM(), ca.CRL(t, nil, client.Leaf), ""},
		{"lists", slices.Concat(ca.PEM(), other.PEM()), slices.Concat(ca.CRL(t, nil), other.CRL(t, nil)), ""},
		{"as many as may be", bytes.Repeat(ca.PEM(), 1000), nil, ""},

		{"an empty file", nil, nil, "ca: empty"},
		{"text", []byte("a certificate"), nil, "ca: no CERTIFICATE in PEM"},
		{"bytes", ca.Cert.Raw, nil, "ca: no CERTIFICATE in PEM"},
		{"a corrupt block", slices.Concat(other.PEM(), corrupt), nil, "ca: PEM that cannot be read: 2 blocks begin, and 1 are whole"},
		{"a block without an end", slices.Concat(other.PEM(), ca.PEM()[:200]), nil, "2 blocks begin, and 1 are whole"},
		{"a block of bytes", block("CERTIFICATE", []byte("nothing")), nil, "ca: certificate 1: x509"},
		{"a certificate that is cut", slices.Concat(other.PEM(), block("CERTIFICATE", ca.Cert.Raw[:200])), nil, "ca: certificate 2: x509"},
		{"a key", block("PRIVATE KEY", key), nil, "there is a PRIVATE KEY"},
		{"a key beside", slices.Concat(ca.PEM(), block("PRIVATE KEY", key)), nil, "there is a PRIVATE KEY"},
		{"a client's certificate", slices.Concat(ca.PEM(), block("CERTIFICATE", client.Leaf.Raw)), nil, `certificate 2, of "CN=client", is not one of an authority`},
		{"one that may not sign", noSigner.PEM(), nil, "may not sign certificates"},
		{"one that has expired", slices.Concat(ca.PEM(), expired.PEM()), nil, `certificate 2, of "CN=expired", has expired on`},
		{"too many", bytes.Repeat(ca.PEM(), 1001), nil, "ca: 1001 certificates, and 1000 is the most"},

		{"an empty list", ca.PEM(), []byte{}, "crl: empty"},
		{"text as a list", ca.PEM(), []byte("none"), "crl: no X509 CRL in PEM"},
		{"a certificate as a list", ca.PEM(), ca.PEM(), "crl: there is a CERTIFICATE"},
		{"a corrupt list", ca.PEM(), block("X509 CRL", []byte("nothing")), "crl: list 1: x509"},
		{"a list of another", ca.PEM(), other.CRL(t, nil), `crl: list 1, of "CN=other", is signed by none`},
		{"a list of another of the same name", ca.PEM(), testkit.NewAuthority(t, "ca", nil).CRL(t, nil), "is signed by none"},
		{"a forged list", ca.PEM(), forged, "is signed by none"},
		{"a list that has expired", ca.PEM(), list(func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = longAgo, longAgo.Add(time.Minute) }), "has expired on"},
		{"a list of the future", ca.PEM(), list(func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) }), "is valid from"},
		{"a list of a part", ca.PEM(), list(func(l *x509.RevocationList) { l.ExtraExtensions = critical }), "critical extension 2.5.29.28"},
		{"an entry of another", ca.PEM(), list(func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{
				SerialNumber: big.NewInt(1), RevocationTime: longAgo, ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}},
			}}
		}), "an entry with the critical extension 2.5.29.29"},
	} {
		_, err := secure.NewClients(row.ca, row.crl, true, time.Now())
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v, want no error", row.name, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want an error with %q", row.name, err, row.want)
		}
	}
}

// shownOf are the certificates that a client with c shows.
func shownOf(t *testing.T, c *tls.Certificate) (shown []*x509.Certificate) {
	t.Helper()
	for _, der := range c.Certificate {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, x)
	}
	return shown
}

// TestTQ6Verify: who is let in.
func TestTQ6Verify(t *testing.T) {
	ca, other := testkit.NewAuthority(t, "ca", nil), testkit.NewAuthority(t, "other", nil)
	below := ca.Below(t, "below", nil)
	deep := below.Below(t, "1", nil).Below(t, "2", nil).Below(t, "3", nil)
	good, revoked, lower := ca.Client(t, "good", nil), ca.Client(t, "revoked", nil), below.Client(t, "lower", nil)
	rule := func(authorities, crl []byte) *secure.Clients {
		t.Helper()
		c, err := secure.NewClients(authorities, crl, true, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain, listed := rule(ca.PEM(), nil), rule(ca.PEM(), ca.CRL(t, nil, revoked.Leaf))
	both := rule(slices.Concat(ca.PEM(), below.PEM()), slices.Concat(ca.CRL(t, nil, below.Cert), below.CRL(t, nil)))
	whole := rule(slices.Concat(ca.PEM(), below.PEM()), slices.Concat(ca.CRL(t, nil), below.CRL(t, nil)))
	soon := rule(ca.PEM(), ca.CRL(t, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(time.Minute) }))
	alone := *lower
	alone.Certificate = alone.Certificate[:1]
	many := *good
	for range 5 {
		many.Certificate = append(many.Certificate, ca.Cert.Raw)
	}
	usage := ca.Client(t, "for servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	now, later := time.Now(), time.Now().Add(2*time.Minute)
	for _, row := range []struct {
		name   string
		rule   *secure.Clients
		client *tls.Certificate
		at     time.Time
		want   string
	}{
		{"good", plain, good, now, ""},
		{"through another", plain, lower, now, ""},
		{"five in all", plain, below.Below(t, "1", nil).Below(t, "2", nil).Below(t, "3", nil).Client(t, "x", nil), now, ""},
		{"six", plain, deep.Below(t, "4", nil).Client(t, "x", nil), now, "shows 6 certificates, and 5 is the most"},
		{"too many", plain, &many, now, "shows 6 certificates"},
		{"without what leads to it", plain, &alone, now, "unknown authority"},
		{"of another", plain, other.Client(t, "x", nil), now, "unknown authority"},
		{"expired", plain, ca.Client(t, "x", func(c *x509.Certificate) { c.NotAfter = longAgo }), now, "expired"},
		{"of the future", plain, ca.Client(t, "x", func(c *x509.Certificate) { c.NotBefore = later }), now, "not yet valid"},
		{"for servers", plain, usage, now, "incompatible key usage"},
		{"not revoked", listed, good, now, ""},
		{"revoked", listed, revoked, now, `the certificate of "CN=revoked" is revoked`},
		{"of one without a list", listed, lower, now, `no list of revoked certificates of "CN=below"`},
		{"all with lists", whole, lower, now, ""},
		{"of a revoked authority", both, lower, now, `the certificate of "CN=below" is revoked`},
		{"in time", soon, good, now, ""},
		{"after the list's time", soon, good, later, "the list of revoked certificates has expired"},
	} {
		chain, err := row.rule.Verify(shownOf(t, row.client), row.at)
		switch {
		case row.want == "" && (err != nil || len(chain) < 2 || !chain[0].Equal(row.client.Leaf)):
			t.Errorf("%s: %d certificates, %v, want a chain and no error", row.name, len(chain), err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want an error with %q", row.name, err, row.want)
		}
	}
}

// TestClientsDigest: rules by which others may come are told apart.
func TestClientsDigest(t *testing.T) {
	a, b := testkit.NewAuthority(t, "a", nil), testkit.NewAuthority(t, "a", nil)
	seen := map[[32]byte]string{(*secure.Clients)(nil).Digest(): "none"}
	for name, x := range map[string]struct {
		ca       []byte
		required bool
	}{"a": {a.PEM(), true}, "a, not required": {a.PEM(), false}, "b": {b.PEM(), true}, "both": {slices.Concat(a.PEM(), b.PEM()), true}} {
		c, err := secure.NewClients(x.ca, nil, x.required, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[c.Digest()]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[c.Digest()] = name
		again, _ := secure.NewClients(x.ca, a.CRL(t, nil), x.required, time.Now())
		if again != nil && again.Digest() != c.Digest() {
			t.Errorf("%s: another digest with a list", name)
		}
	}
}
