package cert

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// early is how far the clocks of an authority and of this system may be apart.
const early = 5 * time.Minute

// Staple looks whether the certificate may be shown with an authority's word that it is not revoked (RFC 6960, in DER), and until when; zero: for ever. A flaw,
// which is a warning, says why not.
func (p *Pair) Staple(response []byte, now time.Time) (until time.Time, flaw *Flaw) {
	r, flaw := p.responseOf(response)
	if flaw == nil {
		flaw = judge(r, now)
	}
	if flaw != nil {
		flaw.In, flaw.Warning = InOCSP, true
		flaw.Message += "; it is not sent"
		return time.Time{}, flaw
	}
	return r.NextUpdate, nil
}

// responseOf looks whether a response is for the certificate, and signed by its authority.
func (p *Pair) responseOf(response []byte) (*ocsp.Response, *Flaw) {
	again := "ask the authority for it again, as with openssl ocsp -issuer CA -cert CERT -url URL -respout FILE"
	if len(bytes.TrimSpace(response)) == 0 {
		return nil, &Flaw{Message: "the file is empty", Hint: again}
	}
	if _, err := ocsp.ParseResponse(response, nil); err != nil && bytes.Contains(response, []byte(begin)) {
		return nil, &Flaw{Message: "the response is in PEM, not in DER", Hint: again}
	}
	leaf := p.chain[0]
	r, err := ocsp.ParseResponseForCert(response, leaf, nil)
	if err != nil {
		return nil, &Flaw{Message: fmt.Sprintf("this is no OCSP response in DER for the certificate of %s: %v", titleOf(leaf), err), Hint: again}
	}
	issuer := leaf
	switch {
	case len(p.chain) > 1:
		issuer = p.chain[1]
	case !selfSigned(leaf):
		return nil, &Flaw{
			Message: "who signed the response cannot be checked: the certificate's file ends before its authority",
			Hint:    "append the authority's certificate to it",
		}
	}
	if err := signedFor(r, issuer); err != nil {
		return nil, &Flaw{Message: fmt.Sprintf("the response is not signed for the certificate's authority, %s: %v", titleOf(issuer), err), Hint: again}
	}
	return r, nil
}

// signedFor checks a response's signature: by the authority, or by one that it let do so (RFC 6960 section 4.2.2.2).
func signedFor(r *ocsp.Response, issuer *x509.Certificate) error {
	signer := issuer
	if c := r.Certificate; c != nil && !c.Equal(issuer) {
		if err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
			return err
		}
		if !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			return fmt.Errorf("%s may not sign OCSP responses", titleOf(c))
		}
		signer = c
	}
	return r.CheckSignatureFrom(signer)
}

// judge says why a response that is genuine is not sent.
func judge(r *ocsp.Response, now time.Time) *Flaw {
	newer := "get a newer one, and have that done again and again: each is good for a few days"
	switch {
	case r.Status == ocsp.Revoked:
		return &Flaw{Message: "the authority says that the certificate was revoked on " + date(r.RevokedAt), Hint: "get another certificate"}
	case r.Status != ocsp.Good:
		return &Flaw{Message: "the authority says that it does not know the certificate", Hint: "ask the authority that signed it"}
	case !r.NextUpdate.IsZero() && now.After(r.NextUpdate):
		return &Flaw{Message: "the response has expired on " + date(r.NextUpdate), Hint: newer}
	case now.Add(early).Before(r.ThisUpdate):
		return &Flaw{Message: "the response is valid only from " + date(r.ThisUpdate) + " on", Hint: "look at this system's clock"}
	}
	return nil
}
