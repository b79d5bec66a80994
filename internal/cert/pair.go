package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Pair is a certificate with its key, as two files have them.
type Pair struct {
	*tls.Certificate
	chain []*x509.Certificate
	lines []int // of each of chain in its file
}

// Parse makes a pair of what is in the two files. Without flaws it can be used; nil with any.
func Parse(chain, key []byte) (*Pair, []Flaw) {
	var flaws []Flaw
	certs, lines, flaw := chainOf(chain)
	if flaw != nil {
		flaws = append(flaws, *flaw)
	}
	signer, flaw := keyOf(key)
	if flaw != nil {
		flaws = append(flaws, *flaw)
	}
	if len(flaws) > 0 {
		return nil, flaws
	}
	if f := belongs(certs, lines, signer); f != nil {
		return nil, []Flaw{*f}
	}
	if weak := weakness(certs[0].PublicKey); weak != "" {
		return nil, []Flaw{{Line: lines[0], Message: "the certificate is for " + weak, Hint: "get one for an ECDSA key on P-256, or an RSA key of 2048 bits or more"}}
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, []Flaw{{Message: "the certificate cannot be used: " + err.Error()}}
	}
	return &Pair{Certificate: &c, chain: certs, lines: lines}, nil
}

// belongs looks whether the first certificate is for the key.
func belongs(chain []*x509.Certificate, lines []int, key crypto.Signer) *Flaw {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return ok && public.Equal(c.PublicKey) })
	switch {
	case at < 0:
		return &Flaw{
			In: InKey,
			Message: fmt.Sprintf("the key (%s) does not belong to the certificate (%s, of %s)",
				kindOf(key.Public()), kindOf(chain[0].PublicKey), titleOf(chain[0])),
			Hint: "name the key that the certificate was asked for with",
		}
	case at > 0:
		return &Flaw{
			Line: lines[at], Message: fmt.Sprintf("the certificate for the key is not the first in the file, but number %d", at+1),
			Hint: "put it first, and behind it those that lead from it to its authority",
		}
	}
	return nil
}

// weakness is what a public key is, where clients do not take it.
func weakness(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < leastRSA {
			return fmt.Sprintf("an RSA key of %d bits, which can be broken", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return "an ECDSA key on " + k.Curve.Params().Name + ", which TLS does not have"
		}
	}
	return ""
}

// leastRSA is what authorities may sign since 2014 (CA/Browser Forum, Baseline Requirements, 6.1.5).
const leastRSA = 2048

// Doubts are what can go wrong with clients, all of it warnings. roots are the authorities that this system trusts.
func (p *Pair) Doubts(now time.Time, roots *x509.CertPool) []Flaw {
	flaws := p.times(now)
	flaws = append(flaws, p.order(now, roots)...)
	for i, c := range p.chain {
		if weak := weakness(c.PublicKey); weak != "" { // not the first's
			flaws = append(flaws, p.doubt(i, "this authority's certificate is for "+weak, "get a certificate from another authority"))
		}
		if outdated(c.SignatureAlgorithm) && (i == 0 || !selfSigned(c)) {
			what := fmt.Sprintf("the certificate is signed with %v, which clients do not take any more", c.SignatureAlgorithm)
			flaws = append(flaws, p.doubt(i, what, "get one that is signed with SHA-256"))
		}
	}
	return flaws
}

// Names are doubts about a certificate that clients look for a name in.
func (p *Pair) Names() []Flaw {
	c := p.chain[0]
	var flaws []Flaw
	if len(c.DNSNames)+len(c.IPAddresses) == 0 {
		what := "the certificate is for no name"
		if c.Subject.CommonName != "" {
			what += fmt.Sprintf(": clients do not look at its common name, %q, any more", c.Subject.CommonName)
		}
		flaws = append(flaws, p.doubt(0, what, "get one that has the names of its hosts as subjectAltName"))
	}
	forServers := slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !forServers {
		flaws = append(flaws, p.doubt(0, "the certificate is not for servers: its extended key usage does not say so", "get one with serverAuth"))
	}
	return flaws
}

func (p *Pair) doubt(i int, message, hint string) Flaw {
	return Flaw{Line: p.lines[i], Warning: true, Message: message, Hint: hint}
}

func (p *Pair) times(now time.Time) (flaws []Flaw) {
	for i, c := range p.chain {
		what := "the certificate"
		if i > 0 {
			what = "the certificate of " + titleOf(c)
		}
		switch {
		case now.After(c.NotAfter):
			flaws = append(flaws, p.doubt(i, what+" has expired on "+date(c.NotAfter), "get a new one: until then clients refuse it"))
		case now.Before(c.NotBefore):
			what += " is valid only from " + date(c.NotBefore) + " on"
			flaws = append(flaws, p.doubt(i, what, "look at this system's clock; until then clients refuse the certificate"))
		}
	}
	return flaws
}

// order looks whether each certificate is signed by the one behind it (RFC 5246 section 7.4.2; RFC 8446 lets clients be generous), and whether one is missing.
func (p *Pair) order(now time.Time, roots *x509.CertPool) (flaws []Flaw) {
	for i, c := range p.chain[1:] {
		if i := i + 1; !signed(c, p.chain[i-1]) {
			f := p.doubt(i, "the certificate of "+titleOf(c)+" has not signed the one before it", "leave it out")
			if slices.ContainsFunc(p.chain, func(other *x509.Certificate) bool { return other != c && signed(c, other) }) {
				f.Hint = "put the certificates in order: each behind the one that it has signed"
			}
			return append(flaws, f) // what follows is out of order too
		}
	}
	leaf := p.chain[0]
	if len(p.chain) > 1 || len(leaf.IssuingCertificateURL) == 0 || selfSigned(leaf) {
		return nil // an authority of one's own need not say where it is to be had
	}
	at := now
	if at.After(leaf.NotAfter) || at.Before(leaf.NotBefore) {
		at = leaf.NotBefore // that is another flaw
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		return nil
	}
	return []Flaw{p.doubt(0, "the certificate that signed this one is missing: it is of "+leaf.Issuer.String()+", which is no authority that this system trusts",
		"append it to FILE, in PEM; it is to be had at "+leaf.IssuingCertificateURL[0])}
}

func signed(by, c *x509.Certificate) bool {
	return string(by.RawSubject) == string(c.RawIssuer) && (c.CheckSignatureFrom(by) == nil || outdated(c.SignatureAlgorithm))
}

func selfSigned(c *x509.Certificate) bool { return string(c.RawSubject) == string(c.RawIssuer) }

// outdated tells of signatures that can be forged. crypto/x509 does not check them.
func outdated(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{
		x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256, x509.ECDSAWithSHA1,
	}, a)
}

// titleOf is what people know a certificate by.
func titleOf(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.RawSubject) > 2: // an empty sequence has two bytes
		return c.Subject.String()
	}
	return "number " + c.SerialNumber.String()
}

func kindOf(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA on " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", key)
}

func date(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 UTC") }
