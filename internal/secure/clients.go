package secure

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Clients is a listener's rule on the certificates of its clients. It never changes.
type Clients struct {
	// Required: a client without a certificate is refused. Otherwise it may come without one; one that it shows has to be good all the same.
	Required bool

	roots   *x509.CertPool
	hint    *x509.CertPool // named to clients, so that they know which certificate to show; nil: nothing is
	revoked *revocations   // nil: there is no list
	digest  [32]byte
}

const (
	// maxAuthorities bounds the certificates of a file.
	maxAuthorities = 1000
	// maxChain is how many certificates a client may show. crypto/tls takes as many as are in 256 KiB, and x509 then checks 100 signatures for a chain that leads
	// nowhere, which is 30 to 250 ms by the kind of key; and a loop does nothing else meanwhile. That is why checking is done here, and not there.
	maxChain = 5
	// maxHint bounds the names of authorities that a client is told: more than 64 KiB can not be told at all (RFC 8446 section 4.2.4).
	maxHint = 16 << 10
)

// NewClients makes the rule that a client's certificate leads to one of the authorities, which are certificates in PEM, and, where crl is not nil, that no
// certificate on the way is on the lists in crl. The error says what is wrong with which of them.
func NewClients(authorities, crl []byte, required bool, now time.Time) (*Clients, error) {
	list, err := parseAuthorities(authorities, now)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	c := &Clients{Required: required, roots: x509.NewCertPool(), hint: x509.NewCertPool()}
	digest, names := sha256.New(), 0
	_, _ = fmt.Fprintf(digest, "required %t\n", required)
	for _, a := range list {
		c.roots.AddCert(a)
		c.hint.AddCert(a)
		names += len(a.RawSubject) + 2
		sum := sha256.Sum256(a.Raw)
		digest.Write(sum[:])
	}
	digest.Sum(c.digest[:0])
	if names > maxHint {
		c.hint = nil
	}
	if crl != nil {
		if c.revoked, err = parseRevocations(crl, list, now); err != nil {
			return nil, fmt.Errorf("crl: %w", err)
		}
	}
	return c, nil
}

// Digest tells apart rules by which different clients may come. Lists of revoked certificates make no difference: they are asked for each connection.
func (c *Clients) Digest() [32]byte {
	if c == nil {
		return [32]byte{}
	}
	return c.digest
}

// Apply has handshakes by config ask for certificates, and refuse those that the rule does not allow. Resumed sessions are checked like new ones.
func (c *Clients) Apply(config *tls.Config) {
	config.ClientAuth, config.ClientCAs = tls.RequestClientCert, c.hint
	if c.Required {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			if c.Required {
				return errors.New("the client has no certificate")
			}
			return nil
		}
		_, err := c.Verify(s.PeerCertificates, time.Now())
		return err
	}
}

// Verify returns the chain from a client's certificate, which is the first of those that it has shown, to an authority.
func (c *Clients) Verify(shown []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if len(shown) > maxChain {
		return nil, fmt.Errorf("the client shows %d certificates, and %d is the most", len(shown), maxChain)
	}
	o := x509.VerifyOptions{
		Roots: c.roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, x := range shown[1:] {
		o.Intermediates.AddCert(x)
	}
	chains, err := shown[0].Verify(o)
	if err != nil {
		return nil, fmt.Errorf("the client's certificate: %w", err)
	}
	if c.revoked == nil {
		return chains[0], nil
	}
	// A certificate that is revoked on one way is revoked, also where another way leads past it.
	for _, chain := range chains {
		if err := c.revoked.check(chain, now); err != nil {
			return nil, err
		}
	}
	return chains[0], nil
}

// Until is when the lists of revoked certificates end to be valid, and no client is let in any more; zero: there is none.
func (c *Clients) Until() time.Time {
	if c == nil || c.revoked == nil {
		return time.Time{}
	}
	return c.revoked.until
}

// parseAuthorities reads certificates of authorities in PEM. A file with anything else in it is not what its owner thinks it is.
func parseAuthorities(data []byte, now time.Time) (list []*x509.Certificate, err error) {
	blocks, err := blocksOf(data, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	if len(blocks) > maxAuthorities {
		return nil, fmt.Errorf("%d certificates, and %d is the most", len(blocks), maxAuthorities)
	}
	for i, b := range blocks {
		x, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		switch who := fmt.Sprintf("certificate %d, of %q,", i+1, x.Subject); {
		case !x.BasicConstraintsValid || !x.IsCA:
			return nil, fmt.Errorf("%s is not one of an authority", who)
		case x.KeyUsage != 0 && x.KeyUsage&x509.KeyUsageCertSign == 0:
			return nil, fmt.Errorf("%s may not sign certificates", who)
		case now.After(x.NotAfter):
			return nil, fmt.Errorf("%s has expired on %s", who, x.NotAfter.UTC().Format(time.RFC3339))
		}
		list = append(list, x)
	}
	return list, nil
}

// blocksOf returns what the blocks of PEM hold, which all have to be of a kind. Text beside blocks is a comment.
func blocksOf(data []byte, kind string) (blocks [][]byte, err error) {
	begun := countBegins(data)
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != kind {
			return nil, fmt.Errorf("there is a %s, and only a %s may be there", b.Type, kind)
		}
		blocks = append(blocks, b.Bytes)
	}
	switch {
	case len(data) == 0:
		return nil, errors.New("empty")
	case begun != len(blocks):
		return nil, fmt.Errorf("PEM that cannot be read: %d blocks begin, and %d are whole", begun, len(blocks))
	case begun == 0:
		return nil, fmt.Errorf("no %s in PEM", kind)
	}
	return blocks, nil
}
