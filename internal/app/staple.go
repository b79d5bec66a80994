package app

import (
	"crypto/sha256"
	"time"

	"poise/internal/cert"
	"poise/internal/config"
)

// staple is the authority's word that a certificate is sent with.
type staple struct {
	sum      [sha256.Size]byte // of the file
	response []byte            // nil: none is sent
	until    time.Time         // response is good for; zero: for ever

	flaw    *cert.Flaw // of the file, be there a response from before or not
	trouble trouble    // flaw is
}

// renew looks at the file again; another: for another certificate than before. It reports whether another response is to be sent, or none any more.
func (s *staple) renew(of *config.Certificate, pair *cert.Pair, another bool, now time.Time) bool {
	response, err := readUpTo(of.OCSP, maxCertificate)
	sum := sha256.Sum256(response)
	over := !s.until.IsZero() && now.After(s.until)
	if err == nil && sum == s.sum && !another && !over {
		return false
	}
	s.sum = sum
	until, flaw := time.Time{}, &cert.Flaw{}
	if err != nil {
		*flaw = unread(err, of.OCSP, cert.InOCSP)
		flaw.Warning = true
	} else {
		until, flaw = pair.Staple(response, now)
	}
	if flaw == nil {
		*s = staple{sum: sum, response: response, until: until}
		return true
	}
	if s.flaw == nil || s.flaw.Message != flaw.Message {
		s.flaw, s.trouble = flaw, trouble{}
	}
	if s.response == nil || !another && !over {
		return false
	}
	s.response, s.until = nil, time.Time{}
	return true
}

// tellOfStaple logs once why a response cannot be used, when there was time to write all files.
func (a *App) tellOfStaple(f *fromFiles, listener string) {
	s := &f.staple
	var err error
	if s.flaw != nil {
		err = &flaws{of: f.of, list: []cert.Flaw{*s.flaw}}
	}
	again, tell := s.trouble.of(err)
	switch {
	case again:
		a.renewals.soon()
	case tell && s.response == nil:
		a.o.Log.Warn("an OCSP response cannot be used; the certificate is shown without", "listener", listener, "cert", f.of.Cert, "reason", err)
	case tell:
		a.o.Log.Warn("a new OCSP response cannot be used; the one of before is sent as long as it lasts", "listener", listener, "cert", f.of.Cert, "reason", err)
	}
}
