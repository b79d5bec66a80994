package secure

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// revocations are the certificates that authorities have revoked (RFC 5280 section 5).
type revocations struct {
	of    map[string]map[string]struct{} // by the authority's name, then serial number
	until time.Time                      // the first of the lists ends here
}

// Extensions of a list that may be critical, and are nevertheless understood: none is needed but for these, which say who has issued it and its number.
var harmless = []asn1.ObjectIdentifier{{2, 5, 29, 20}, {2, 5, 29, 35}}

// parseRevocations reads lists in PEM. Each has to be signed by one of the authorities, valid now, and whole.
func parseRevocations(data []byte, authorities []*x509.Certificate, now time.Time) (*revocations, error) {
	blocks, err := blocksOf(data, "X509 CRL")
	if err != nil {
		return nil, err
	}
	r := &revocations{of: map[string]map[string]struct{}{}}
	for i, b := range blocks {
		l, err := x509.ParseRevocationList(b)
		if err != nil {
			return nil, fmt.Errorf("list %d: %w", i+1, err)
		}
		if err := r.add(l, authorities, now); err != nil {
			return nil, fmt.Errorf("list %d, of %q, %w", i+1, l.Issuer, err)
		}
	}
	return r, nil
}

func (r *revocations) add(l *x509.RevocationList, authorities []*x509.Certificate, now time.Time) error {
	signed := slices.ContainsFunc(authorities, func(a *x509.Certificate) bool {
		return bytes.Equal(a.RawSubject, l.RawIssuer) && l.CheckSignatureFrom(a) == nil
	})
	switch {
	case !signed:
		return errors.New("is signed by none of the authorities in ca")
	case l.NextUpdate.IsZero():
		return errors.New("does not say until when it is valid")
	case now.After(l.NextUpdate):
		return fmt.Errorf("has expired on %s", l.NextUpdate.UTC().Format(time.RFC3339))
	case now.Before(l.ThisUpdate):
		return fmt.Errorf("is valid from %s on only", l.ThisUpdate.UTC().Format(time.RFC3339))
	}
	for _, e := range l.Extensions {
		if e.Critical && !slices.ContainsFunc(harmless, e.Id.Equal) {
			return fmt.Errorf("is not the authority's whole list: it has the critical extension %v", e.Id) // a delta, or for some certificates only
		}
	}
	serials := r.of[string(l.RawIssuer)]
	if serials == nil {
		serials = map[string]struct{}{}
		r.of[string(l.RawIssuer)] = serials
	}
	for _, e := range l.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return fmt.Errorf("has an entry with the critical extension %v", x.Id) // such as certificates of other authorities
			}
		}
		serials[string(e.SerialNumber.Bytes())] = struct{}{}
	}
	if r.until.IsZero() || l.NextUpdate.Before(r.until) {
		r.until = l.NextUpdate
	}
	return nil
}

// check tells whether a chain is free of revoked certificates. Nothing is known after the lists have expired, nor of an authority that has none.
func (r *revocations) check(chain []*x509.Certificate, now time.Time) error {
	if now.After(r.until) {
		return fmt.Errorf("the list of revoked certificates has expired on %s", r.until.UTC().Format(time.RFC3339))
	}
	for i, x := range chain {
		serials, known := r.of[string(x.RawIssuer)]
		if _, revoked := serials[string(x.SerialNumber.Bytes())]; revoked {
			return fmt.Errorf("the certificate of %q is revoked", x.Subject)
		}
		if !known && i < len(chain)-1 { // the last one is trusted by itself
			return fmt.Errorf("there is no list of revoked certificates of %q", x.Issuer)
		}
	}
	return nil
}

// countBegins counts how many blocks of PEM begin.
func countBegins(data []byte) int { return bytes.Count(data, []byte("-----BEGIN")) }
